"""What a scrape shows: the declared families and nothing else, bounded whatever callers send."""

from __future__ import annotations

import asyncio
import json
import re
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from threading import Event
from typing import TYPE_CHECKING, Any, get_args

import aiohttp
import pytest
from prometheus_client.openmetrics.parser import (
    text_string_to_metric_families as openmetrics_families,
)
from prometheus_client.parser import text_string_to_metric_families

from ledger.accounts.budgets import Period
from ledger.pricing.cost import Unpriced
from ledger.requests.error_codes import ERROR_CLASSES
from metrics.proxy import FAMILIES
from proxy.http.routes import APIS, METHODS
from proxy.observers.metrics_observer import KINDS, STATUSES
from proxy.routing.counters import Backend
from proxy.routing.failure import EVENTS
from proxy.routing.score import TIERS
from proxy.routing.snapshot import POOLS, Outcome
from simulator.provider.script import Answer, ErrorInside, Refuse, script
from simulator.provider.upstream import serve

if TYPE_CHECKING:
    from tests.proxy.conftest import Proxy, Scene, StartProxy, Wire

MODEL = "gpt-5.4-mini"

LABELS = {
    "status": STATUSES,
    "api": APIS,
    "kind": KINDS,
    "error_class": ERROR_CLASSES,
    "reason": get_args(Unpriced),
    "pool": POOLS,
    "sticky_backend": get_args(Backend),
    "reallocate_sticky": ("false", "true"),
    "outcome": get_args(Outcome),
    "tier": TIERS,
    "event": EVENTS,
    "phase": ("usage", "token"),
    "period": get_args(Period),
    "basis": ("metered", "estimated"),
    "method": (*sorted(METHODS), "other"),
}


async def busy_proxy(start_proxy: StartProxy, upstream: str) -> Proxy:
    """A proxy to which everything has happened once that makes a series."""
    proxy: Proxy = await start_proxy(upstream)
    key = {"Authorization": "Bearer sk-0123456789abcdef", "X-Project": "atlas"}
    async with aiohttp.ClientSession(headers=key) as session:
        for path in ("/responses", "/chat/completions", "/embeddings", "/messages"):
            for stream in (True, False):
                body = {"model": MODEL, "stream": stream and path != "/embeddings", "max_tokens": 5}
                async with session.post(proxy.base_url + path, json=body) as answer:
                    await answer.read()
        async with session.get(proxy.base_url + "/models") as answer:
            await answer.read()
    return proxy


async def scraped(proxy: Proxy) -> str:
    async with aiohttp.ClientSession() as session, session.get(proxy.origin + "/metrics") as answer:
        assert answer.headers["Content-Type"].startswith("text/plain; version=")
        return await answer.text()


async def test_openmetrics_says_when_each_series_began(scene: Scene, wire: type[Wire]) -> None:
    await scene.begin(wire.answer())
    async with aiohttp.ClientSession() as session:
        begun = time.time()
        await scene.ask(wire.request())
        accept = {"Accept": "application/openmetrics-text;version=1.0.0;q=0.5,text/plain;q=0.3"}
        async with session.get(scene.proxy.origin + "/metrics", headers=accept) as answer:
            assert answer.headers["Content-Type"].startswith("application/openmetrics-text; version=1.0.0")
            text = await answer.text()
    families = {family.name: family for family in openmetrics_families(text)}  # type: ignore[no-untyped-call]
    (key,) = [s for s in families["api_key_requests"].samples if s.name.endswith("_created")]
    assert begun - 1 <= key.value <= time.time() + 1
    assert "_created" not in await scraped(scene.proxy)


PLAY = script(Answer(), Answer(fault=Refuse()), Answer(fault=ErrorInside()), Answer(reports_usage=False))


async def test_a_scrape_has_the_declared_families_with_their_declared_labels(start_proxy: StartProxy) -> None:
    async with serve(PLAY) as upstream:
        text = await scraped(await busy_proxy(start_proxy, upstream.base_url))
    families = list(text_string_to_metric_families(text))
    told = {f.name.removesuffix("_total"): (f.type, f.documentation) for f in families}
    assert told == {f.name.removesuffix("_total"): (f.kind, f.help) for f in FAMILIES}
    labels = {
        sample.name: set(sample.labels) - ({"le"} if family.type == "histogram" else set())
        for family in families
        for sample in family.samples
    }
    declared = {name: set(f.labels) for f in FAMILIES for name in f.series}
    assert labels.items() <= declared.items()
    assert {name for name in declared.keys() - labels.keys() if not name.startswith(OF_ROUTING)} == set()


OF_ROUTING = (
    "codex_lb_lb_",
    "codex_lb_usage_refresh_",
    "codex_lb_proxy_retries",
    "codex_lb_proxy_account_retries",
    "codex_lb_proxy_budget_",
    "codex_lb_proxy_unmetered",
)
"""Families that have no series until accounts or budgets are configured, or something passes unmetered."""


CONTRACT_MILLISECONDS = {"codex_lb_proxy_latency_ms", "codex_lb_proxy_time_to_first_token_ms"}
"""promtool wants seconds; these names are older than that rule, and dashboards know them."""


def test_the_document_has_every_family_and_every_label_value_as_declared() -> None:
    text = (Path(__file__).parents[3] / "docs" / "metrics.md").read_text(encoding="utf-8")
    section = text.partition("## Proxy")[2].partition("\n## ")[0]
    families = [
        f"| `{f.name}` | {f.kind} | {', '.join(f.labels) or '-'} | {f.unit or '-'} | {f.help} |"
        for f in FAMILIES
    ]
    labels = [f"| `{name}` | {', '.join(f'`{v}`' for v in values)} |" for name, values in LABELS.items()]
    assert re.findall(r"^\| `.*$", section, re.MULTILINE) == families + labels


async def test_promtool_has_nothing_to_say_but_for_the_names_of_the_contract(
    start_proxy: StartProxy, binary: Callable[[str], str]
) -> None:
    command = [binary("promtool"), "check", "metrics"]
    async with serve(PLAY) as upstream:
        text = await scraped(await busy_proxy(start_proxy, upstream.base_url))
    ran = await asyncio.to_thread(subprocess.run, command, input=text, text=True, capture_output=True)
    complaints = [line.partition(" ") for line in (ran.stdout + ran.stderr).splitlines()]
    assert {name for name, _, _ in complaints} <= CONTRACT_MILLISECONDS
    assert ran.returncode in (0, 3)


async def test_series_that_are_known_in_advance_begin_at_zero(scene: Scene, wire: type[Wire]) -> None:
    await scene.begin(wire.answer())
    samples = scene.proxy.samples()
    assert samples['codex_lb_proxy_requests_total{api="responses",model="gpt-5.4",status="error"}'] == 0
    assert samples['codex_lb_proxy_tokens_total{kind="input",model="gpt-5.4"}'] == 0
    assert samples['codex_lb_proxy_cost_usd_total{model="gpt-5.4"}'] == 0
    assert samples['codex_lb_proxy_errors_total{error_code="rate_limit_exceeded"}'] == 0
    unpriced = 'codex_lb_proxy_unpriced_success_total{api="messages",reason="unknown_pricing"}'
    assert samples[unpriced] == 0
    assert samples["codex_lb_request_log_buffer_dropped_total"] == 0


async def test_a_flood_of_models_keys_paths_and_codes_is_bounded(scene: Scene, wire: type[Wire]) -> None:
    answers = (
        wire.answer(f'{{"error": {{"code": "code-{number}"}}}}'.encode(), status=f"{400 + number} No")
        for number in range(40)
    )
    await scene.begin(*answers, metrics={"max_models": 3, "max_api_keys": 4, "max_error_codes": 5}, server={})
    before = scene.proxy.samples()
    client = await scene.connect()
    for number in range(40):
        body = f'{{"model": "model-{number}"}}'.encode()
        path = f"/v1/thing-{number}/{number}" if number % 2 else "/v1/responses"
        await client.send(wire.request(body, f"x-api-key: sk-flood-{number:04}-{number:04}", path=path))
        await client.message()
    await scene.rows(40)
    new = {name for name in scene.proxy.samples() if name not in before}

    def values(label: str) -> set[str]:
        return {name.partition(f'{label}="')[2].partition('"')[0] for name in new if f"{label}=" in name}

    for label, most in (("model", 3), ("api_key", 4), ("error_code", 5)):
        assert len(values(label)) == most + 1
        assert "other" in values(label)
    assert values("path") == {"/v1/responses", "/v1/other"}


async def test_a_very_long_model_name_is_no_very_long_label(scene: Scene, wire: type[Wire]) -> None:
    await scene.begin(wire.answer(b'{"error": {"code": "' + b"c" * 50_000 + b'"}}', status="400 Bad Request"))
    await scene.ask(wire.request(b'{"model": "' + b"m" * 50_000 + b'"}'))
    await scene.row()
    assert max(len(name) for name in scene.proxy.samples()) < 1_000


@pytest.mark.parametrize(
    "key",
    [
        pytest.param(b"caf\xe9-0123456789", id="Latin-1"),
        pytest.param(b"\xff" * 12, id="no text at all"),
        pytest.param(b"caf\xc3\xa9-0123456789", id="UTF-8"),
        pytest.param(b'a"b\\-0123456789', id="quotes"),
    ],
)
async def test_no_key_whatever_its_bytes_breaks_the_scrape(
    scene: Scene, wire: type[Wire], key: bytes
) -> None:
    await scene.begin(wire.answer())
    await scene.ask(wire.request(b"{}", "Authorization: Bearer KEY").replace(b"KEY", key))
    await scene.row()
    families = text_string_to_metric_families(await scraped(scene.proxy))
    assert sum(s.value for f in families for s in f.samples if s.name == "api_key_requests_total") == 1


@pytest.mark.parametrize("model", ["line\nbreak", 'quo"te', "back\\slash", "carriage\rreturn", "\u2028", "é"])
async def test_no_model_whatever_its_name_breaks_the_scrape(
    scene: Scene, wire: type[Wire], model: str
) -> None:
    await scene.begin(wire.answer(json.dumps({"model": model}).encode()))
    await scene.ask(wire.request())
    await scene.row()
    families = text_string_to_metric_families(await scraped(scene.proxy))
    models = {s.labels["model"] for f in families for s in f.samples if "model" in s.labels}
    assert model in models


async def test_a_scrape_with_every_series_does_not_stall_requests(
    scene: Scene, wire: type[Wire], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A large exposition is written beside the loop: a scrape that is not let go on until a request has
    been answered meanwhile goes on."""
    await scene.begin(wire.answer(b'{"model": "gpt-5.4"}'))
    fill(scene.proxy)
    answered, whole = Event(), scene.proxy.service.instruments.metrics.exposition
    late = lambda accept: whole(accept) if answered.wait(30) else (b"", "text/plain")  # noqa: E731
    monkeypatch.setattr(scene.proxy.service.instruments.metrics, "exposition", late)
    async with aiohttp.ClientSession() as session:

        async def scrape() -> int:
            async with session.get(scene.proxy.origin + "/metrics") as answer:
                return len(await answer.read())

        scrapes = asyncio.gather(*(scrape() for _ in range(3)))
        client = await scene.connect()
        await client.send(wire.request())
        await client.message()
        answered.set()
        assert min(await scrapes) > 500_000


def fill(proxy: Proxy) -> None:
    counters: Any = proxy.service.instruments.metrics
    for family in FAMILIES:
        if family.kind == "histogram" and "model" in family.labels:
            for number in range(300):
                counters.histogram(family, f"model-{number}", "responses")
