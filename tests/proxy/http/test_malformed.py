"""Requests that cannot be read: answered in our own words, told once, and nothing of them is kept."""

from __future__ import annotations

import asyncio
import json
import logging
from typing import TYPE_CHECKING, Any

import pytest

from serving import connection
from serving.connection import RateLimitedLog, encoded_target

if TYPE_CHECKING:
    from tests.proxy.conftest import Scene, Wire

CANARY = b"sk-canary-0123456789abcdefSECRET"

HEADERS = [
    b"Authorization",
    b"Proxy-Authorization",
    b"x-api-key",
    b"api-key",
    b"x-goog-api-key",
    b"Cookie",
    b"Host",
    b"Origin",
    b"Content-Length",
    b"Transfer-Encoding",
    b"Content-Type",
    b"Sec-WebSocket-Protocol",
    b"session_id",
    b"X-Anything",
]
BYTES = [*range(9), *range(10, 32), 127]
"""Control bytes; a tab is none that is forbidden."""


async def sent(scene: Scene, request: bytes) -> bytes:
    """What comes back, head and body."""
    client = await scene.connect()
    await client.send(request)
    answer = await client.message()
    await client.close()
    return answer.head + answer.body


def told(scene: Scene, caplog: pytest.LogCaptureFixture) -> str:
    rows = "".join(str(row) for row in scene.proxy.rows())
    return caplog.text + scene.proxy.log.getvalue() + rows + str(scene.proxy.samples())


@pytest.mark.parametrize("name", HEADERS)
async def test_no_byte_in_any_header_brings_a_secret_out(
    scene: Scene, wire: type[Wire], caplog: pytest.LogCaptureFixture, name: bytes
) -> None:
    await scene.begin(wire.answer())
    refused = 0
    for byte in BYTES:
        for value in (CANARY + bytes((byte,)), bytes((byte,)) + CANARY, CANARY + bytes((byte,)) + b"more"):
            answer = await sent(
                scene, b"POST /v1/responses HTTP/1.1\r\nHost: a\r\n" + name + b": " + value + b"\r\n\r\n"
            )
            assert CANARY not in answer
            refused += answer.startswith(b"HTTP/1.0 400")
    assert refused >= 3 * (len(BYTES) - 3)  # of line breaks some can be read
    assert CANARY.decode() not in told(scene, caplog)
    assert len(caplog.records) < 10


LINES = [
    b"POST /v1/responses HTTP/1.1\nHost: a\nAuthorization: Bearer %b\n\n",
    b"POST /v1/responses?key=%b\x01 HTTP/1.1\r\nHost: a\r\n\r\n",
    b"POST /v1/responses?key=%b HTTP/7.7\r\nHost: a\r\n\r\n",
    b"POST /v1/responses?key=%b a HTTP/1.1\r\nHost: a\r\n\r\n",
    b"%b /v1/responses HTTP/1.1\r\nHost: a\r\n\r\n",
    b"POST %b HTTP/1.1\r\nHost: a\r\n\r\n",
    b"POST /v1/responses HTTP/1.1\r\nHost: a\r\n%b\r\n\r\n",
    b"POST /v1/responses HTTP/1.1\r\nHost: a\r\n %b: folded\r\n\r\n",
    b"POST /v1/responses HTTP/1.1\r\nHost: a\r\n%b : spaced\r\n\r\n",
    b"POST /v1/responses HTTP/1.1\r\nHost: a\r\nContent-Length: %b\r\n\r\n",
    b"POST /v1/responses HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nContent-Length: 6\r\nX: %b\r\n\r\nhello",
    b"POST /v1/responses HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: %b\r\n\r\n",
    b"POST /v1/responses HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n%b\r\n\r\n",
    b"\x16\x03\x01\x02\x00%b\r\n\r\n",
    b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n%b",
    b"POST /v1/responses HTTP/1.1\r\nHost: a\r\nX: %b" + b"x" * 200_000 + b"\r\n\r\n",
    b"POST /v1/responses?key=%b" + b"x" * 200_000 + b" HTTP/1.1\r\nHost: a\r\n\r\n",
]


@pytest.mark.parametrize("line", LINES, ids=range(len(LINES)))
async def test_no_malformed_line_brings_a_secret_out(
    scene: Scene, wire: type[Wire], caplog: pytest.LogCaptureFixture, line: bytes
) -> None:
    await scene.begin(wire.answer())
    answer = await sent(scene, line.replace(b"%b", CANARY))
    assert CANARY not in answer
    assert answer.startswith((b"HTTP/1.0 4", b"HTTP/1.1 4"))
    assert CANARY.decode() not in told(scene, caplog)
    assert "Traceback" not in caplog.text


async def test_the_answer_is_an_error_as_clients_know_it(scene: Scene, wire: type[Wire]) -> None:
    await scene.begin(wire.answer())
    answer = await sent(scene, b"POST /v1/responses HTTP/1.1\r\nX: \x01\r\n\r\n")
    head, _, body = answer.partition(b"\r\n\r\n")
    assert b"Content-Type: application/json" in head
    error = json.loads(body)["error"]
    assert (error["code"], error["type"]) == ("malformed_request", "invalid_request_error")


async def test_a_flood_of_them_is_a_line_now_and_then(
    scene: Scene, wire: type[Wire], caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    await scene.begin(wire.answer())
    for _ in range(50):
        await sent(scene, b"POST /v1/responses HTTP/1.1\r\nX: \x01\r\n\r\n")
    (record,) = caplog.records
    assert record.message == "malformed request from 127.0.0.1: BadHttpMessage"
    monkeypatch.setattr(connection, "LOG_SECONDS", 0.0)
    await sent(scene, b"POST /v1/responses HTTP/1.1\r\nX: \x01\r\n\r\n")
    assert caplog.records[-1].message.endswith("(49 more of this kind before)")


async def test_where_our_own_code_fails_no_value_is_told(
    scene: Scene, wire: type[Wire], caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fails(*_: object) -> None:
        raise ValueError(CANARY.decode())

    await scene.begin(wire.answer())
    monkeypatch.setattr("proxy.relay.relay.Relay.__call__", fails)
    answer = await scene.ask(wire.request())
    assert answer.start.endswith(b"500 Internal Server Error")
    assert json.loads(answer.body)["error"]["code"] == "internal_error"
    assert CANARY.decode() not in caplog.text
    assert "a request failed unexpectedly: ValueError" in caplog.text
    assert "in fails" in caplog.text


@pytest.mark.parametrize(
    ("raw", "goes"),
    [
        ("/v1/models?q=café".encode(), b"/v1/models?q=caf%C3%A9"),
        (b"/v1/models?q=\xff\xfe", b"/v1/models?q=%FF%FE"),
        ("/v1/models/日本?a=%20&b=ü".encode(), b"/v1/models/%E6%97%A5%E6%9C%AC?a=%20&b=%C3%BC"),
    ],
)
@pytest.mark.parametrize("cut", [0, 5, 14, 18])
async def test_bytes_beyond_ascii_pass_as_a_browser_would_spell_them(
    scene: Scene, wire: type[Wire], raw: bytes, goes: bytes, cut: int
) -> None:
    await scene.begin(wire.answer())
    client = await scene.connect()
    for _ in range(2):  # the second one on a connection that is used
        request = b"GET " + raw + b" HTTP/1.1\r\nHost: a\r\nX: caf\xc3\xa9\r\n\r\n"
        await client.send(*filter(None, (request[:cut], request[cut:])), pause=0.02)
        assert (await client.message()).start == b"HTTP/1.1 200 OK"
    for came in scene.upstream.requests:
        assert came.start == b"GET " + goes + b" HTTP/1.1"
        assert came.values(b"X") == ["café".encode()]


@pytest.mark.parametrize("chunked", [False, True])
async def test_a_body_that_looks_like_a_request_line_passes_as_it_is(
    scene: Scene, wire: type[Wire], chunked: bool
) -> None:
    body = "GET /v1/models?q=é HTTP/1.1\r\nHost: ü\r\n\r\n".encode()
    await scene.begin(wire.answer())
    client = await scene.connect()
    for _ in range(2):
        framing = "Transfer-Encoding: chunked" if chunked else f"Content-Length: {2 * len(body)}"
        head = wire.head("POST /v1/files HTTP/1.1", "Host: a", framing)
        parts = [wire.chunk(body), wire.chunk(body) + wire.end] if chunked else [body, body]
        await client.send(head, *parts, pause=0.02)
        assert (await client.message()).start == b"HTTP/1.1 200 OK"
    assert [request.body for request in scene.upstream.requests] == [2 * body] * 2


def test_only_the_request_line_is_encoded() -> None:
    assert (
        encoded_target("GET /é HTTP/1.1\r\nX: é\r\n".encode()) == "GET /%C3%A9 HTTP/1.1\r\nX: é\r\n".encode()
    )
    assert encoded_target(b"GET /\xff") == b"GET /%FF"


def test_each_kind_is_told_for_itself(caplog: pytest.LogCaptureFixture) -> None:
    tell = RateLimitedLog()
    for kind in ("a", "b", "a", "b"):
        tell(logging.WARNING, kind, f"text of {kind}")
    assert caplog.messages == ["text of a", "text of b"]


async def test_nothing_of_the_library_s_log_is_left(
    scene: Scene, wire: type[Wire], caplog: pytest.LogCaptureFixture
) -> None:
    """A parser that is new may have errors of other kinds: none has a way to the log but ours."""
    await scene.begin(wire.answer())
    junk: Any = [bytes((n,)) * 3 + CANARY + b"\r\n\r\n" for n in range(256)]
    await asyncio.gather(*(sent(scene, one) for one in junk))
    assert {record.name for record in caplog.records} <= {"quotascope.server"}
    assert CANARY.decode() not in told(scene, caplog)
