"""Requests and answers byte by byte: what travels on, what does not, and how bodies are framed."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.proxy.conftest import Line, Scene, Wire

JSON = "Content-Type: application/json"


async def test_a_request_arrives_as_it_was_sent(scene: Scene, wire: type[Wire]) -> None:
    await scene.begin(wire.answer())
    headers = (
        "authorization: Bearer sk-0123456789",
        "Content-Type: application/json; charset=utf-8",
        "X-Stainless-OS: Linux",
        "accept: */*",
        "x-empty:",
        "User-Agent: a b (c)",
    )
    body = '{"model": "gpt-5.4",  "input": "naïve"}'.encode()
    await scene.ask(wire.request(body, *headers))
    (request,) = scene.upstream.requests
    assert request.start == b"POST /v1/responses HTTP/1.1"
    assert request.body == body
    expected = [(n.lower().encode(), v.strip().encode()) for n, _, v in (h.partition(":") for h in headers)]
    fields = [(name.lower(), value) for name, value in request.fields]
    assert [f for f in fields if f[0] not in (b"host", b"content-length")] == expected
    assert request.values(b"Host") == [f"127.0.0.1:{scene.upstream.port}".encode()]
    assert request.values(b"Content-Length") == [str(len(body)).encode()]


async def test_request_header_names_keep_their_spelling(scene: Scene, wire: type[Wire]) -> None:
    await scene.begin(wire.answer())
    await scene.ask(wire.request(b"{}", "authorization: Bearer sk-0123456789", "ACCEPT: */*"))
    names = [name for name, _ in scene.upstream.requests[0].fields]
    assert {b"authorization", b"ACCEPT"} <= set(names)


async def test_an_answer_arrives_as_it_was_sent(scene: Scene, wire: type[Wire]) -> None:
    sent = wire.answer(
        b'{"a": "na\xc3\xafve"}',
        "content-type: application/json",
        "X-RateLimit-Remaining: 5",
        "openai-processing-ms: 12",
        "Date: Thu, 01 Jan 1970 00:00:00 GMT",
        "x-empty:",
        status="201 Made",
    )
    await scene.begin(sent)
    answer = await scene.ask(wire.request())
    assert answer.head.replace(b"x-empty: \r\n", b"x-empty:\r\n") + answer.body == sent


async def test_nothing_is_added_to_a_bare_request_or_answer(scene: Scene, wire: type[Wire]) -> None:
    await scene.begin(wire.head("HTTP/1.1 200 OK", "Content-Length: 0"))
    answer = await scene.ask(wire.request(b"", path="/v1/models", method="GET"))
    assert answer.head == b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"
    (request,) = scene.upstream.requests
    assert [name for name, _ in request.fields] == [b"Host"]


@pytest.mark.parametrize("body", [b"{}", b"x" * 300_000], ids=["small", "large"])
async def test_a_client_that_expects_100_continue_is_told_to(
    scene: Scene, wire: type[Wire], body: bytes
) -> None:
    await scene.begin(wire.answer(b'{"got": "it"}'))
    client = await scene.connect()
    head = wire.request(body, "Expect: 100-continue").removesuffix(body)
    await client.send(head)
    assert await client.head() == b"HTTP/1.1 100 Continue\r\n\r\n"
    await client.send(body)
    assert (await client.message()).body == b'{"got": "it"}'
    (request,) = scene.upstream.requests
    assert request.body == body
    assert request.values(b"Expect") == []


async def test_interim_answers_of_the_upstream_come_before_the_answer_and_are_not_it(
    scene: Scene, wire: type[Wire]
) -> None:
    interim = b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </a>; rel=preload\r\n\r\n"
    await scene.begin(interim + wire.answer(b'{"final": true}'))
    answer = await scene.ask(wire.request())
    assert (answer.start, answer.body) == (b"HTTP/1.1 200 OK", b'{"final": true}')
    assert (await scene.row())["http_status"] == 200


@pytest.mark.parametrize(
    ("method", "head"),
    [
        ("HEAD", ("HTTP/1.1 200 OK", JSON, "Content-Length: 1234")),
        ("HEAD", ("HTTP/1.1 200 OK", JSON)),
        ("DELETE", ("HTTP/1.1 204 No Content", "x-request-id: r1")),
        ("GET", ("HTTP/1.1 304 Not Modified", 'ETag: "1"', "Content-Length: 99")),
        ("GET", ("HTTP/1.1 304 Not Modified", 'ETag: "1"')),
    ],
    ids=["HEAD with a length", "HEAD without", "204", "304 with a length", "304 without"],
)
async def test_an_answer_without_a_body_keeps_its_head_and_the_connection(
    scene: Scene, wire: type[Wire], method: str, head: tuple[str, ...]
) -> None:
    async def play(line: Line) -> None:
        while True:
            asked = await line.message()
            await line.send(wire.answer(b"second") if asked.start.startswith(b"POST") else wire.head(*head))

    await scene.begin(play)
    client = await scene.connect()
    await client.send(wire.request(b"", path="/v1/models", method=method))
    answer = await client.message(bodiless=True)
    assert answer.head == wire.head(*head)
    await client.send(wire.request())
    assert (await client.message()).body == b"second"


async def test_a_chunked_request_body_with_extensions_and_trailers_arrives_whole(
    scene: Scene, wire: type[Wire]
) -> None:
    await scene.begin(wire.answer(b"first"), wire.answer(b"second"))
    client = await scene.connect()
    head = wire.head(
        "POST /v1/responses HTTP/1.1", "Host: proxy", JSON, "Trailer: x-sum", "Transfer-Encoding: chunked"
    )
    body = b'{"model":"gpt-5.4-mini","input":"in pieces"}'
    pieces = (b"5;name=value\r\n" + body[:5] + b"\r\n", wire.chunk(body[5:]), b"0\r\nx-sum: 1\r\n\r\n")
    await client.send(head, *pieces)
    assert (await client.message()).body == b"first"
    await client.send(wire.request())
    assert (await client.message()).body == b"second"
    first, second = scene.upstream.requests
    assert first.body == body
    assert first.values(b"Content-Length") == []
    assert first.values(b"Trailer") == []
    assert second.body == wire.request().partition(b"\r\n\r\n")[2]
    assert [row["model"] for row in await scene.rows(2)] == ["gpt-5.4-mini", "gpt-5.4"]


async def test_trailers_of_an_answer_do_not_disturb_the_next_one(scene: Scene, wire: type[Wire]) -> None:
    with_trailer = wire.stream("Trailer: x-sum") + wire.chunk(b"data: {}\n\n") + b"0\r\nx-sum: 1\r\n\r\n"
    await scene.begin(with_trailer, wire.answer(b"second"))
    client = await scene.connect()
    await client.send(wire.request())
    first = await client.message()
    assert (first.body, first.complete) == (b"data: {}\n\n", True)
    await client.send(wire.request())
    assert (await client.message()).body == b"second"


async def test_repeated_headers_stay_repeated(scene: Scene, wire: type[Wire]) -> None:
    cookies = ("Set-Cookie: a=1; Path=/", "set-cookie: b=2, with a comma", "Set-Cookie: a=3")
    await scene.begin(wire.answer(b"{}", *cookies))
    answer = await scene.ask(wire.request(b"{}", "X-Part: 1", "X-Other: 0", "X-Part: 2"))
    assert answer.values(b"Set-Cookie") == [b"a=1; Path=/", b"b=2, with a comma", b"a=3"]
    assert scene.upstream.requests[0].values(b"X-Part") == [b"1", b"2"]


async def test_a_request_header_repeated_in_another_case_stays_repeated(
    scene: Scene, wire: type[Wire]
) -> None:
    await scene.begin(wire.answer())
    await scene.ask(wire.request(b"{}", "X-Part: 1", "x-part: 2"))
    assert scene.upstream.requests[0].values(b"X-Part") == [b"1", b"2"]


async def test_cookies_are_not_kept_for_the_next_client(scene: Scene, wire: type[Wire]) -> None:
    await scene.begin(wire.answer(b"{}", "Set-Cookie: session=1"), wire.answer())
    await scene.ask(wire.request())
    await scene.ask(wire.request())
    assert scene.upstream.requests[1].values(b"Cookie") == []


HOP_BY_HOP = (
    "Connection: keep-alive, X-Mine",
    "X-Mine: for this connection",
    "Keep-Alive: timeout=5",
    "Proxy-Connection: keep-alive",
    "TE: trailers",
)


async def test_headers_of_one_connection_end_here(scene: Scene, wire: type[Wire]) -> None:
    await scene.begin(wire.answer(b"{}", *HOP_BY_HOP, "Proxy-Authenticate: Basic", "X-Far: 1"))
    answer = await scene.ask(wire.request(b"{}", *HOP_BY_HOP, "Proxy-Authorization: Basic eDp5", "X-Far: 1"))
    assert [name for name, _ in answer.fields] == [b"X-Far", b"Content-Length"]
    names = [name for name, _ in scene.upstream.requests[0].fields]
    assert sorted(names) == [b"Content-Length", b"Host", b"X-Far"]


async def test_an_answer_whose_connection_header_names_its_length_is_framed_all_the_same(
    scene: Scene, wire: type[Wire]
) -> None:
    await scene.begin(wire.answer(b"hello", "Connection: content-length", "X-Far: 1"))
    client = await scene.connect()
    client.patience = 1.0
    await client.send(wire.request())
    assert (await client.message()).body == b"hello"


async def test_a_multipart_upload_arrives_byte_for_byte(scene: Scene, wire: type[Wire]) -> None:
    await scene.begin(wire.answer(b'{"id": "file-1"}'))
    body = (
        b'--b\r\nContent-Disposition: form-data; name="purpose"\r\n\r\nbatch\r\n'
        b'--b\r\nContent-Disposition: form-data; name="file"; filename="\xc3\xa4.bin"\r\n\r\n'
        + bytes(range(256))
        + b"\r\n--b--\r\n"
    )
    content = "Content-Type: multipart/form-data; boundary=b"
    answer = await scene.ask(wire.request(body, content, path="/v1/files"))
    assert answer.body == b'{"id": "file-1"}'
    (request,) = scene.upstream.requests
    assert request.body == body
    assert request.values(b"Content-Type") == [b"multipart/form-data; boundary=b"]


@pytest.mark.parametrize(
    "path",
    [
        "/v1/files/a%2Fb%20c%3F",
        "/v1/responses/resp_1/input_items?limit=2&after=%26%2B&x=a+b&&y",
        "/v1/models?",
        "/v1/models/ft:gpt-4o:me::1",
        "/v1/%e4%BD%a0",
        "/v1/models/a;b=1,c!$'()*~@:",
        '/v1/a?[]{}|^`"<>',
        "/v1/models?next=/../..",
    ],
)
async def test_a_target_arrives_as_it_was_written(scene: Scene, wire: type[Wire], path: str) -> None:
    await scene.begin(wire.answer())
    answer = await scene.ask(wire.request(b"", path=path, method="GET"))
    assert answer.start == b"HTTP/1.1 200 OK"
    assert scene.upstream.requests[0].start == f"GET {path} HTTP/1.1".encode()


async def test_an_absolute_target_does_not_choose_the_upstream(scene: Scene, wire: type[Wire]) -> None:
    await scene.begin(wire.answer())
    await scene.ask(wire.request(b"", path="http://elsewhere.example:9/v1/models?a=1", method="GET"))
    (request,) = scene.upstream.requests
    assert request.start == b"GET /v1/models?a=1 HTTP/1.1"
    assert request.values(b"Host") == [f"127.0.0.1:{scene.upstream.port}".encode()]


@pytest.mark.parametrize(
    "path", ["/v1/../admin", "/v1/%2e%2E/admin", "/v1/./x", "/v1/x/..", "/v1/a\\..\\b", "/v1/%2e"]
)
async def test_a_path_that_could_leave_the_base_is_refused(scene: Scene, wire: type[Wire], path: str) -> None:
    await scene.begin(wire.answer())
    answer = await scene.ask(wire.request(b"", path=path, method="GET"))
    assert answer.start == b"HTTP/1.1 400 Bad Request"
    assert scene.upstream.requests == []


@pytest.mark.parametrize("method", ["GET", "PUT", "PATCH", "DELETE", "OPTIONS", "PURGE"])
async def test_any_method_passes_with_its_body(scene: Scene, wire: type[Wire], method: str) -> None:
    await scene.begin(wire.answer())
    await scene.ask(wire.request(b"body", path="/v1/files/1", method=method))
    (request,) = scene.upstream.requests
    assert (request.start, request.body) == (f"{method} /v1/files/1 HTTP/1.1".encode(), b"body")


async def test_answer_headers_beyond_ascii_pass_byte_for_byte(scene: Scene, wire: type[Wire]) -> None:
    head = b"HTTP/1.1 200 OK\r\nx-latin: caf\xe9\r\nx-utf8: caf\xc3\xa9\r\nContent-Length: 0\r\n\r\n"
    await scene.begin(head)
    answer = await scene.ask(wire.request())
    assert answer.head == head


@pytest.mark.parametrize("value", [b"caf\xc3\xa9", b"caf\xe9!", b"\x80\xff"], ids=["UTF-8", "Latin-1", "any"])
async def test_request_headers_beyond_ascii_pass_byte_for_byte(
    scene: Scene, wire: type[Wire], value: bytes
) -> None:
    await scene.begin(wire.answer())
    await scene.ask(wire.request(b"{}", "x-name: NAME", "User-Agent: NAME").replace(b"NAME", value))
    (request,) = scene.upstream.requests
    assert request.values(b"x-name") == request.values(b"User-Agent") == [value]
    await scene.row()


@pytest.mark.parametrize(
    "line",
    [
        b"x-a: 1\rInjected: 1",
        b"x-a: 1\nInjected: 1",
        b"x-a: 1\r\n Injected: 1",
        b"x-a: 1\x00Injected: 1",
        b"x a: 1",
        b"x-a\r: 1",
        b": 1",
    ],
)
async def test_a_head_that_two_parsers_could_read_differently_is_refused_or_stays_one_header(
    scene: Scene, wire: type[Wire], line: bytes
) -> None:
    await scene.begin(wire.answer())
    client = await scene.connect()
    await client.send(wire.request(b"{}", "x-line: 1").replace(b"x-line: 1", line))
    answer = await client.message()
    for request in scene.upstream.requests:
        assert not request.values(b"Injected")
        assert not {b"\r", b"\n", b"\x00"} & {bytes([b]) for _, value in request.fields for b in value}
    assert answer.start.split()[1] in (b"200", b"400")
    assert scene.upstream.requests or answer.start.split()[1] == b"400"


@pytest.mark.parametrize("target", [b"/v1/a b", b"/v1/a\tb", b"/v1/a\x00b", b"/v1/a\x0bb", b"/v1/\xe9\xff"])
async def test_a_target_with_odd_bytes_is_refused_or_passes_as_it_is(
    scene: Scene, wire: type[Wire], target: bytes
) -> None:
    await scene.begin(wire.answer())
    answer = await scene.ask(wire.request(b"", path="/TARGET", method="GET").replace(b"/TARGET", target))
    if answer.start.split()[1] == b"200":
        assert scene.upstream.requests[0].start == b"GET " + target + b" HTTP/1.1"
    else:
        assert answer.start.split()[1] == b"400"
        assert scene.upstream.requests == []


@pytest.mark.parametrize("reason", [b"", b"All Right", b"caf\xc3\xa9"], ids=["none", "ASCII", "UTF-8"])
async def test_the_reason_phrase_passes(scene: Scene, wire: type[Wire], reason: bytes) -> None:
    await scene.begin(b"HTTP/1.1 299 " + reason + b"\r\nContent-Length: 0\r\n\r\n")
    assert (await scene.ask(wire.request())).start == b"HTTP/1.1 299 " + reason


async def test_an_http_1_0_client_gets_no_chunks(scene: Scene, wire: type[Wire]) -> None:
    await scene.begin(wire.stream() + wire.chunk(b"data: {}\n\n") + wire.end)
    client = await scene.connect()
    await client.send(wire.request().replace(b"HTTP/1.1", b"HTTP/1.0"))
    head, _, body = (await client.rest()).partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.0 200 OK")
    assert b"chunked" not in head
    assert body == b"data: {}\n\n"


async def test_pipelined_requests_are_answered_in_order(scene: Scene, wire: type[Wire]) -> None:
    bodies = [b"%d" % number for number in range(40)]  # more than the connection's queue holds
    await scene.begin(*map(wire.answer, bodies))
    client = await scene.connect()
    await client.send(wire.request() * len(bodies))
    assert [(await client.message()).body for _ in bodies] == bodies
    assert len(await scene.rows(len(bodies))) == len(bodies)


async def test_a_body_that_nobody_reads_does_not_become_the_next_request(
    scene: Scene, wire: type[Wire]
) -> None:
    await scene.begin(wire.answer(b"mine"))
    client = await scene.connect()
    smuggled = wire.request(path="/v1/smuggled")
    await client.send(wire.request(smuggled, path="/elsewhere"))
    assert (await client.message()).start == b"HTTP/1.1 404 Not Found"
    await client.send(wire.request())
    assert (await client.message()).body == b"mine"
    assert [r.start for r in scene.upstream.requests] == [b"POST /v1/responses HTTP/1.1"]


@pytest.mark.parametrize(
    "framing",
    [
        ("Content-Length: 4", "Transfer-Encoding: chunked"),
        ("Content-Length: 4", "Content-Length: 5"),
        ("Content-Length: 4, 5",),
        ("Transfer-Encoding: chunked, identity",),
        ("Transfer-Encoding : chunked",),
        ("Content-Length: +4",),
    ],
    ids=lambda framing: "; ".join(framing),
)
async def test_a_request_whose_end_is_ambiguous_is_refused(
    scene: Scene, wire: type[Wire], framing: tuple[str, ...]
) -> None:
    await scene.begin(wire.answer())
    client = await scene.connect()
    head = wire.head("POST /v1/responses HTTP/1.1", "Host: proxy", *framing)
    await client.send(head + b"0\r\n\r\n" + wire.request(path="/v1/smuggled"))
    received = await client.rest()
    assert received.startswith((b"HTTP/1.1 400", b"HTTP/1.0 400"))
    assert received.count(b"HTTP/1.") == 1
    assert scene.upstream.requests == []
