"""Asking for counts on the client's behalf: the client sees the same events as without."""

from __future__ import annotations

import json
from itertools import pairwise
from typing import Any

import aiohttp
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledger.values import Usage
from proxy.errors import Refused
from proxy.relay.include_usage import MAX_HELD, Strip, asking
from simulator.provider.script import Answer, Script
from simulator.provider.upstream import serve

CHUNK = b'data: {"choices":[{"delta":{"content":"na\xc3\xafve"}}],"usage":null}\n\n'
ADDED = b'data: {"id":"x","choices":[],"usage":{"prompt_tokens":3,"completion_tokens":4}}\n\n'
DONE = b"data: [DONE]\n\n"


@given(st.lists(st.integers(1, len(CHUNK * 2 + ADDED + DONE) - 1), unique=True).map(sorted), st.booleans())
def test_only_the_added_event_is_taken_out_however_it_is_cut(cuts: list[int], crlf: bool) -> None:
    def ended(data: bytes) -> bytes:
        return data.replace(b"\n", b"\r\n") if crlf else data

    stream = ended(CHUNK * 2 + ADDED + DONE)
    strip = Strip()
    bounds = [0, *[c for c in cuts if c < len(stream)], len(stream)]
    out = b"".join(strip(stream[a:b]) for a, b in pairwise(bounds)) + strip.end()
    assert out == ended(CHUNK * 2 + DONE)


def test_a_long_event_is_not_held_until_its_end_and_is_looked_through_once() -> None:
    """As one that carries an image; counts are short."""
    long = b"data: " + b"x" * (4 * MAX_HELD) + b"\n\n"
    stream, strip = long + ADDED + long + CHUNK + ADDED + DONE, Strip()
    out, held = b"", 0
    for start in range(0, len(stream), 1_000):
        out += strip(stream[start : start + 1_000])
        held = max(held, start + 1_000 - len(out))
    assert held <= MAX_HELD + 1_000 + len(ADDED)
    assert out + strip.end() == long + long + CHUNK + DONE


def test_the_clients_own_stream_options_stay() -> None:
    asked = json.loads(asking(b'{"model":"m","stream":true,"stream_options":{"other":1},"n":2}'))
    assert asked == {
        "model": "m",
        "stream": True,
        "stream_options": {"other": 1, "include_usage": True},
        "n": 2,
    }
    with pytest.raises(Refused, match="not a JSON object"):
        asking(b"[1]")


@pytest.mark.parametrize("on", [True, False])
async def test_a_stream_is_metered_only_when_it_is_asked_for(start_proxy: Any, on: bool) -> None:
    body = {"model": "gpt-5.4", "messages": [{"role": "user", "content": "hi"}], "stream": True}
    async with serve(Script((Answer(usage=Usage(300, 40, 0, 0)),))) as upstream:
        proxy = await start_proxy(upstream.base_url, server={"include_usage": on})
        async with aiohttp.ClientSession() as session:
            async with session.post(proxy.base_url + "/chat/completions", json=body) as answer:
                through = await answer.read()
        (sent,) = upstream.log
        assert (b"include_usage" in sent.received) is on
        assert b'"prompt_tokens"' not in through
        assert through.endswith(b"data: [DONE]\n\n")
        if not on:
            assert through == sent.sent
        (row,) = proxy.rows()
    assert row["input_tokens"] == (300 if on else None)
    missing = 'codex_lb_proxy_unpriced_success_total{api="chat_completions",reason="missing_usage"}'
    assert proxy.samples()[missing] == (0 if on else 1)
