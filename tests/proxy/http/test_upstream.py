"""The way to the provider: its base, its limits, and errors in our words."""

from __future__ import annotations

import asyncio
import socket
from typing import TYPE_CHECKING, Any

import pytest

from proxy.http.upstream import Limits, Upstream, base_url

if TYPE_CHECKING:
    from tests.proxy.conftest import Line, Scene, StartProxy, Wire


@pytest.mark.parametrize(
    ("configured", "base"),
    [
        ("https://api.openai.com", "https://api.openai.com/v1"),
        ("https://api.openai.com/", "https://api.openai.com/v1"),
        ("https://api.openai.com/v1", "https://api.openai.com/v1"),
        ("https://api.openai.com/v1/", "https://api.openai.com/v1"),
        ("http://127.0.0.1:9/gateway", "http://127.0.0.1:9/gateway/v1"),
        ("http://127.0.0.1:9/gateway/v1", "http://127.0.0.1:9/gateway/v1"),
    ],
)
def test_the_base_may_name_the_version_or_not(configured: str, base: str) -> None:
    assert base_url(configured) == base


@pytest.mark.parametrize(
    ("base", "host"),
    [
        ("https://api.openai.com/v1", "api.openai.com"),
        ("https://api.openai.com:443/v1", "api.openai.com"),
        ("http://gateway.internal:8080/v1", "gateway.internal:8080"),
        ("http://[::1]:8080/v1", "[::1]:8080"),
        ("https://b\u00fccher.example/v1", "xn--bcher-kva.example"),
    ],
)
async def test_the_provider_is_named_as_its_clients_name_it(base: str, host: str) -> None:
    upstream = Upstream(base, Limits(connect=1, idle=1))
    assert upstream.host == host
    await upstream.close()


@pytest.mark.parametrize("suffix", ["", "/v1"])
async def test_both_forms_reach_the_same_path(
    scene: Scene, wire: type[Wire], start_proxy: StartProxy, suffix: str
) -> None:
    await scene.begin(wire.answer())
    scene.proxy = await start_proxy(scene.upstream.url + "/gateway" + suffix)
    await scene.ask(wire.request(b"", path="/v1/models", method="GET"))
    assert scene.upstream.requests[0].start == b"GET /gateway/v1/models HTTP/1.1"


@pytest.mark.parametrize(
    ("headers", "borrowed"),
    [
        ((), True),
        (("Authorization: Bearer mine",), False),
        (("x-api-key: mine",), False),
        (("api-key: mine",), False),
        (("x-goog-api-key: mine",), False),
        (("anthropic-api-key: mine",), False),
        (("Sec-WebSocket-Protocol: realtime, openai-insecure-api-key.mine",), False),
    ],
)
async def test_our_key_goes_only_where_a_local_caller_brings_none(
    scene: Scene, wire: type[Wire], monkeypatch: pytest.MonkeyPatch, headers: tuple[str, ...], borrowed: bool
) -> None:
    settings: Any = {"openai_api_key": "sk-own-0123456789"}
    await scene.begin(wire.answer(), **settings)
    request = wire.request(b"{}", *headers).replace(b"Host: proxy", b"Host: 127.0.0.1")
    await scene.ask(request)
    sent = scene.upstream.requests[0].values(b"Authorization")
    assert (sent == [b"Bearer sk-own-0123456789"]) is borrowed


async def test_an_upstream_that_does_not_accept_is_a_timeout(scene: Scene, wire: type[Wire]) -> None:
    """A full backlog: the connection is neither made nor refused."""
    with socket.socket() as full:
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        address = full.getsockname()
        waiting = [socket.socket() for _ in range(8)]
        for one in waiting:
            one.setblocking(False)
            one.connect_ex(address)
        await asyncio.sleep(0.05)
        await scene.begin(
            wire.answer(),
            server={"upstream_base_url": f"http://127.0.0.1:{address[1]}", "connect_timeout_seconds": 0.3},
        )
        answer = await scene.ask(wire.request())
        for one in waiting:
            one.close()
    assert answer.start == b"HTTP/1.1 504 Gateway Timeout"
    row = await scene.row()
    assert (row["end_reason"], row["error_code"]) == ("timeout", "upstream_unreachable")


async def test_a_host_that_does_not_exist_is_told_by_its_name(scene: Scene, wire: type[Wire]) -> None:
    await scene.begin(wire.answer(), server={"upstream_base_url": "http://nowhere.invalid"})
    answer = await scene.ask(wire.request())
    assert answer.start == b"HTTP/1.1 502 Bad Gateway"
    assert b"nowhere.invalid" in answer.body
    assert (await scene.row())["error_code"] == "upstream_unreachable"


async def test_redirects_are_the_client_s_to_follow(scene: Scene, wire: type[Wire]) -> None:
    async def play(line: Line) -> None:
        await line.message()
        await line.send(wire.answer(b"", "Location: http://127.0.0.1:1/", status="307 Temporary Redirect"))

    await scene.begin(play)
    answer = await scene.ask(wire.request())
    assert (answer.start, answer.values(b"Location")) == (
        b"HTTP/1.1 307 Temporary Redirect",
        [b"http://127.0.0.1:1/"],
    )
    assert len(scene.upstream.requests) == 1
