"""Compressed bodies pass as they are, in both directions, and are metered all the same."""

from __future__ import annotations

import json
import zlib
from collections.abc import Callable
from typing import TYPE_CHECKING

import pytest

from simulator.provider.coding import encode, encoder

if TYPE_CHECKING:
    from tests.proxy.conftest import Scene, Wire

USAGE = {"input_tokens": 1200, "output_tokens": 340}
DOCUMENT = json.dumps({"model": "gpt-5.4", "output": "naïve " * 500, "usage": USAGE}).encode()


def raw_deflate(data: bytes) -> bytes:
    """Deflate without the zlib wrapper, as many servers mean it."""
    state = zlib.compressobj(wbits=-15)
    return state.compress(data) + state.flush()


CODINGS: dict[str, tuple[str, Callable[[bytes], bytes]]] = {
    "gzip": ("gzip", lambda data: encode("gzip", data)),
    "x-gzip": ("x-gzip", lambda data: encode("gzip", data)),
    "br": ("br", lambda data: encode("br", data)),
    "zstd": ("zstd", lambda data: encode("zstd", data)),
    "deflate with zlib": ("deflate", lambda data: encode("deflate", data)),
    "raw deflate": ("deflate", raw_deflate),
    "GZIP in capitals": ("GZIP", lambda data: encode("gzip", data)),
}


@pytest.mark.parametrize("coding", CODINGS)
async def test_an_answer(scene: Scene, wire: type[Wire], coding: str) -> None:
    name, compress = CODINGS[coding]
    body = compress(DOCUMENT)
    await scene.begin(wire.answer(body, "Content-Type: application/json", f"Content-Encoding: {name}"))
    answer = await scene.ask(wire.request(b"{}", "Accept-Encoding: gzip, br, zstd;q=0.5"))
    assert answer.body == body
    assert answer.values(b"Content-Encoding") == [name.encode()]
    assert scene.upstream.requests[0].values(b"Accept-Encoding") == [b"gzip, br, zstd;q=0.5"]
    row = await scene.row()
    assert (row["model"], row["input_tokens"], row["output_tokens"]) == ("gpt-5.4", 1200, 340)


@pytest.mark.parametrize("coding", ["gzip", "deflate", "br", "zstd"])
async def test_a_stream_of_which_each_event_is_flushed(scene: Scene, wire: type[Wire], coding: str) -> None:
    delta = {"type": "response.output_text.delta", "delta": "naïve"}
    completed = {"type": "response.completed", "response": {"model": "gpt-5.4", "usage": USAGE}}
    state = encoder(coding)  # type: ignore[arg-type]
    pieces = [state.push(wire.events(d)) for d in (delta, delta, completed)] + [state.end()]
    head = wire.stream(f"Content-Encoding: {coding}")
    await scene.begin(head + b"".join(wire.chunk(p) for p in pieces if p) + wire.end)
    answer = await scene.ask(wire.request())
    assert answer.body == b"".join(pieces)
    row = await scene.row()
    assert (row["output_tokens"], row["end_reason"]) == (340, "done")
    assert row["latency_first_token_ms"] is not None


@pytest.mark.parametrize("coding", ["gzip", "br", "zstd"])
async def test_a_request(scene: Scene, wire: type[Wire], coding: str) -> None:
    await scene.begin(wire.answer(b"{}"))
    body = CODINGS[coding][1](b'{"model": "gpt-5.4-mini", "reasoning": {"effort": "high"}}')
    await scene.ask(wire.request(body, f"Content-Encoding: {coding}", "Content-Type: application/json"))
    (request,) = scene.upstream.requests
    assert request.body == body
    assert request.values(b"Content-Encoding") == [coding.encode()]
    row = await scene.row()
    assert (row["model"], row["reasoning_effort"]) == ("gpt-5.4-mini", "high")


async def test_a_request_that_ought_to_ask_for_usage(scene: Scene, wire: type[Wire]) -> None:
    await scene.begin(wire.answer(b"{}"), server={"include_usage": True})
    body = encode("gzip", b'{"model": "gpt-5.4", "stream": true}')
    answer = await scene.ask(wire.request(body, "Content-Encoding: gzip", path="/v1/chat/completions"))
    assert answer.start == b"HTTP/1.1 200 OK"


@pytest.mark.parametrize("coding", ["gzip", "br", "zstd", "deflate", "compress", "gzip, br"])
async def test_what_cannot_be_decoded_passes_and_counts_as_missing_usage(
    scene: Scene, wire: type[Wire], coding: str
) -> None:
    body = b"\x1f\x8bno such thing" * 20
    await scene.begin(wire.answer(body, "Content-Type: application/json", f"Content-Encoding: {coding}"))
    answer = await scene.ask(wire.request())
    assert answer.body == body
    row = await scene.row()
    assert (row["status"], row["input_tokens"]) == ("success", None)
    missing = 'codex_lb_proxy_unpriced_success_total{api="responses",reason="missing_usage"}'
    assert scene.proxy.samples()[missing] == 1
