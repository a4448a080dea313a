"""The benchmarks' provider: what it says is what the scripted one says, byte for byte and always."""

from __future__ import annotations

import aiohttp
import pytest

from simulator.provider.fixed import STREAM_EVENTS, encoded, serve_fixed


@pytest.mark.parametrize("path", ["/v1/chat/completions", "/v1/responses"])
async def test_one_whole_answer_and_one_stream(http: aiohttp.ClientSession, path: str) -> None:
    async with serve_fixed() as origin:
        async with http.post(origin + path, json={"model": "x"}) as got:
            whole = await got.json()
        async with http.post(origin + path, data=b'{"model":"x","stream":true}') as got:
            assert got.headers["Content-Type"].startswith("text/event-stream")
            stream = await got.read()
    tokens = whole["usage"].get("prompt_tokens", whole["usage"].get("input_tokens"))
    assert tokens == 1_200
    assert stream == b"".join(encoded(events_per_write=1)[path].stream)
    assert stream.count(b'"delta":{"content":') + stream.count(b"event: response.output_text.delta\n") == (
        STREAM_EVENTS
    )


async def test_an_unknown_path_is_not_found(http: aiohttp.ClientSession) -> None:
    async with serve_fixed() as origin, http.get(origin + "/v1/x") as got:
        assert got.status == 404


def test_events_leave_together() -> None:
    stream = encoded(events=10, events_per_write=4)["/v1/chat/completions"].stream
    assert [part.count(b"data: ") for part in stream] == [4, 4, 4, 2]  # role, 10 deltas, end, usage, [DONE]
