"""What the provider says of quota in passing is stored; pure parsing first."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import aiohttp
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import select

from ledger import store
from ledger.schema import usage_history
from proxy.metering.quota import from_event, from_headers

NOW = datetime(2026, 9, 30, 12, tzinfo=UTC)
HEADERS = {
    "x-codex-primary-used-percent": "12.5",
    "x-codex-primary-window-minutes": "300",
    "x-codex-primary-reset-after-seconds": "60",
    "x-codex-secondary-used-percent": "40",
    "x-codex-secondary-window-minutes": "10080",
    "x-codex-secondary-reset-at": "1790000000",
    "x-codex-credits-has-credits": "true",
    "x-codex-credits-unlimited": "False",
    "x-codex-credits-balance": "7.5",
}


def test_headers_tell_both_windows() -> None:
    primary, secondary = from_headers(HEADERS, "a", NOW)
    assert (primary.window, primary.used_percent, primary.window_minutes) == ("primary", 12.5, 300)
    assert primary.reset_at == int(NOW.timestamp()) + 60
    assert (secondary.window, secondary.used_percent, secondary.reset_at) == ("secondary", 40, 1790000000)
    credits = (secondary.credits_has, secondary.credits_unlimited, secondary.credits_balance)
    assert credits == (True, False, 7.5)


def test_an_event_tells_them_too_and_other_limits_are_not_the_accounts() -> None:
    window = b'{"used_percent": 99, "window_minutes": 300, "resets_at": 1790000000}'
    event = b'{"type": "codex.rate_limits", "rate_limits": {"primary": %s, "secondary": null}}' % window
    (sample,) = from_event(event, "a", NOW)
    assert (sample.used_percent, sample.reset_at) == (99, 1790000000)
    other = event.replace(b'"rate_limits":', b'"limit_id": "gpt-review", "rate_limits":', 1)
    assert from_event(other, "a", NOW) == ()


@given(st.dictionaries(st.sampled_from(sorted(HEADERS)), st.text(max_size=12)))
def test_junk_in_headers_never_raises(headers: dict[str, str]) -> None:
    for sample in from_headers(headers, "a", NOW):
        assert sample.used_percent >= 0


@given(st.binary(max_size=60))
def test_junk_in_events_never_raises(data: bytes) -> None:
    assert from_event(data, "a", NOW) == ()


@pytest.mark.parametrize("path", ["/v1/responses", "/backend-api/codex/responses"])
async def test_what_passes_is_stored_once(start_proxy: Any, path: str) -> None:
    from aiohttp import web

    async def handle(request: web.Request) -> web.StreamResponse:
        out = web.StreamResponse(headers={**HEADERS, "Content-Type": "text/event-stream"})
        await out.prepare(request)
        await out.write(
            b'event: codex.rate_limits\ndata: {"type":"codex.rate_limits","rate_limits":'
            b'{"primary":{"used_percent":13,"window_minutes":300,"reset_at":1790000000}}}\n\n'
        )
        await out.write(
            b'data: {"type":"response.completed","response":{"model":"gpt-5.4",'
            b'"usage":{"input_tokens":10,"output_tokens":2}}}\n\n'
        )
        return out

    app = web.Application()
    app.router.add_post("/{path:.*}", handle)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    origin = f"http://127.0.0.1:{runner.addresses[0][1]}"
    try:
        proxy = await start_proxy(origin, server={"backend_base_url": origin})
        async with aiohttp.ClientSession() as session:
            for _ in range(2):
                async with session.post(proxy.origin + path, json={"model": "gpt-5.4"}) as answer:
                    await answer.read()
        rows = proxy.rows()
        proxy.service.instruments.writers.samples.flush()
    finally:
        await runner.cleanup()
    assert [(row["api"], row["input_tokens"], row["end_reason"]) for row in rows] == [
        ("responses", 10, "done")
    ] * 2
    engine = store.reader(store.sqlite_url(proxy.database))
    with engine.connect() as connection:
        stored = connection.execute(
            select(usage_history.c.window, usage_history.c.used_percent).order_by(usage_history.c.id)
        ).all()
    engine.dispose()
    assert sorted(set(map(tuple, stored))) == [("primary", 12.5), ("primary", 13.0), ("secondary", 40.0)]
    assert len([1 for window, _ in stored if window == "secondary"]) == 1, "a repetition was stored"
