"""Which headers travel on, and what is read from them."""

from __future__ import annotations

import pytest
from multidict import CIMultiDict

from proxy.http.headers import credential, replaced, request_lines, session_id, without
from tests.support.headers import by_name


@pytest.mark.parametrize(
    ("came", "goes"),
    [
        ([b"Host: proxy", b"Content-Length: 5", b"Expect: 100-continue", b"X: 1"], [b"X: 1"]),
        ([b"b: 1", b"A: 2", b"b: 3", b"B: 4"], [b"b: 1", b"A: 2", b"b: 3", b"B: 4"]),
        ([b"Connection: close, x-a", b"X-A: 1", b"x-b: 2"], [b"x-b: 2"]),
        ([b"connection: x-a", b"Connection:  X-B ,", b"X-A: 1", b"x-b: 2"], []),
        ([b"TE: trailers", b"Upgrade: h2c", b"Trailer: x", b"Keep-Alive: 1"], []),
        ([b"Proxy-Authorization: Basic x", b"Proxy-Connection: close", b"X: 1"], [b"X: 1"]),
        ([b"Transfer-Encoding: chunked", b"Accept-Encoding: br"], [b"Accept-Encoding: br"]),
        ([b"x-latin: caf\xe9", b"x-empty: "], [b"x-latin: caf\xe9", b"x-empty: "]),
    ],
)
def test_request_lines(came: list[bytes], goes: list[bytes]) -> None:
    pairs = tuple((name, value) for name, _, value in (line.partition(b": ") for line in came))
    assert request_lines(pairs, by_name(pairs)) == goes


def test_lines_are_replaced_and_taken_out_whatever_their_case() -> None:
    lines = [b"Accept-Encoding: br", b"accept-encoding: gzip", b"Accept: */*"]
    assert without(lines, b"accept-encoding:") == [b"Accept: */*"]
    assert replaced(lines, b"Accept-Encoding", b"identity") == [b"Accept: */*", b"Accept-Encoding: identity"]


@pytest.mark.parametrize(
    ("headers", "key"),
    [
        ({"Authorization": "Bearer sk-1"}, "sk-1"),
        ({"authorization": "bearer   sk-1  "}, "sk-1"),
        ({"x-api-key": "sk-2"}, "sk-2"),
        ({"api-key": "sk-3"}, "sk-3"),
        ({"Authorization": "Bearer sk-1", "x-api-key": "sk-2"}, "sk-1"),
        ({"Authorization": "Basic eDp5"}, None),
        ({"Authorization": "Bearer"}, None),
        ({"Authorization": "Bearer a b"}, None),
        ({"Authorization": "sk-1"}, None),
        ({"x-api-key": ""}, None),
        ({}, None),
    ],
)
def test_credential(headers: dict[str, str], key: str | None) -> None:
    assert credential(CIMultiDict(headers)) == key


@pytest.mark.parametrize(
    ("headers", "session"),
    [
        ({"session_id": "s"}, "s"),
        ({"Session-Id": "s"}, "s"),
        ({"x-session-id": "", "conversation_id": "c"}, "c"),
        ({}, None),
    ],
)
def test_session_id(headers: dict[str, str], session: str | None) -> None:
    assert session_id(CIMultiDict(headers)) == session
