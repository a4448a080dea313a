"""To whom a credential of ours is lent: programs here, but no page, no strange name and nobody passed on."""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from tests.proxy.conftest import Message, Scene, Wire

OURS = b"sk-ours-0123456789abcdef"
QUESTION = b'{"model":"gpt-5.4","input":"hi"}'
OK = b'{"model":"gpt-5.4","usage":{"input_tokens":1000,"output_tokens":100}}'
PAGE = "https://chat.example.org"
TEAM = {"team": {"sha256": hashlib.sha256(b"pk-team").hexdigest()}}

WAYS: dict[str, dict[str, Any]] = {
    "accounts": {"accounts": {"anna": {"credential": "env:KEY_ANNA"}}},
    "own key": {"openai_api_key": OURS.decode()},
}
CONFIGURED = {"callers": {"origins": [PAGE], "proxies": ["127.0.0.1"]}}


@pytest.fixture(autouse=True)
def key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KEY_ANNA", OURS.decode())


def code(answer: Message) -> str:
    return str(json.loads(answer.body)["error"]["code"])


def request(wire: type[Wire], *headers: str, method: str = "POST", path: str = "/v1/responses") -> bytes:
    """A request of a program on this machine, with more headers."""
    body = QUESTION if method == "POST" else b""
    asked = wire.request(body, *headers, method=method, path=path)
    if any(header.startswith("Host:") for header in headers):
        return asked.replace(b"Host: proxy\r\n", b"")
    return asked.replace(b"Host: proxy", b"Host: 127.0.0.1:8787")


UPGRADE = (
    "Connection: Upgrade",
    "Upgrade: websocket",
    "Sec-WebSocket-Version: 13",
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
)
EVIL = "Origin: https://evil.example"

ATTACKS: dict[str, tuple[str, tuple[str, ...], str]] = {
    "a form of another site": ("POST", (EVIL, "Content-Type: text/plain"), "origin_not_allowed"),
    "a script of another site": (
        "POST",
        (EVIL, "Sec-Fetch-Site: cross-site", "Content-Type: application/json"),
        "origin_not_allowed",
    ),
    "a script of a sandbox": ("POST", ("Origin: null", "Content-Type: text/plain"), "origin_not_allowed"),
    "an image of another site": ("GET", ("Sec-Fetch-Site: cross-site",), "origin_not_allowed"),
    "an image of another port": ("GET", ("Sec-Fetch-Site: same-site",), "origin_not_allowed"),
    "a page of another port": ("POST", ("Origin: http://127.0.0.1:3000",), "origin_not_allowed"),
    "a rebound name": ("POST", ("Host: evil.example:8787",), "host_not_allowed"),
    "a rebound name and its page": (
        "POST",
        ("Host: evil.example:8787", "Origin: http://evil.example:8787", "Sec-Fetch-Site: same-origin"),
        "host_not_allowed",
    ),
    "a rebound name behind ours": ("GET", ("Host: 127.0.0.1.evil.example",), "host_not_allowed"),
    "two names": ("POST", ("Host: 127.0.0.1", "Host: evil.example"), "host_not_allowed"),
    "a WebSocket of another site": ("GET", (EVIL, *UPGRADE), "origin_not_allowed"),
    "a WebSocket of a rebound name": ("GET", ("Host: evil.example", *UPGRADE), "host_not_allowed"),
    "a reverse proxy": ("POST", ("X-Forwarded-For: 8.8.8.8",), "proxy_not_allowed"),
    "another reverse proxy": ("GET", ("Forwarded: for=8.8.8.8",), "proxy_not_allowed"),
    "a DELETE of another site": ("DELETE", (EVIL,), "origin_not_allowed"),
    "a question before one": (
        "OPTIONS",
        (EVIL, "Access-Control-Request-Method: POST", "Access-Control-Request-Headers: content-type"),
        "origin_not_allowed",
    ),
}


@pytest.mark.parametrize("attack", ATTACKS)
@pytest.mark.parametrize("way", WAYS)
async def test_nothing_is_lent_to(scene: Scene, wire: type[Wire], way: str, attack: str) -> None:
    method, headers, expected = ATTACKS[attack]
    await scene.begin(wire.answer(OK, "Access-Control-Allow-Origin: *"), **WAYS[way])
    answer = await scene.ask(request(wire, *headers, method=method))
    assert (answer.start.split()[1], code(answer)) in {(b"403", expected), (b"400", "malformed_request")}
    assert not [name for name, _ in answer.fields if name.lower().startswith(b"access-control-")]
    assert scene.upstream.requests == []


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("path", ["/v1/responses", "/v1/models", "/backend-api/codex/responses"])
async def test_each_path_has_the_guard(scene: Scene, wire: type[Wire], way: str, path: str) -> None:
    await scene.begin(wire.answer(OK), server={"backend_base_url": "UPSTREAM"}, **WAYS[way])
    await scene.ask(request(wire, EVIL, path=path))
    assert not [m for m in scene.upstream.requests if m.values(b"Authorization")]


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize(
    "headers",
    [(), ("Host: localhost:8787",), ("Host: [::1]:8787",), ("Sec-Fetch-Site: none",)],
    ids=["plain", "localhost", "IPv6", "a browser's address line"],
)
async def test_it_is_lent_to_programs_here(
    scene: Scene, wire: type[Wire], way: str, headers: tuple[str, ...]
) -> None:
    await scene.begin(wire.answer(OK), **WAYS[way])
    assert (await scene.ask(request(wire, *headers))).start == b"HTTP/1.1 200 OK"
    assert scene.upstream.requests[0].values(b"Authorization") == [b"Bearer " + OURS]


@pytest.mark.parametrize("attack", [name for name in ATTACKS if name != "two names"])
async def test_who_brings_its_own_credential_is_asked_nothing(
    scene: Scene, wire: type[Wire], attack: str
) -> None:
    method, headers, _ = ATTACKS[attack]
    await scene.begin(wire.answer(OK), **WAYS["own key"])
    asked = request(wire, *headers, "Authorization: Bearer sk-mine", method=method)
    assert (await scene.ask(asked)).start == b"HTTP/1.1 200 OK"
    assert scene.upstream.requests[0].values(b"Authorization") == [b"Bearer sk-mine"]


@pytest.mark.parametrize("attack", [name for name in ATTACKS if name != "two names"])
async def test_where_nothing_is_lent_nothing_is_asked(scene: Scene, wire: type[Wire], attack: str) -> None:
    method, headers, _ = ATTACKS[attack]
    await scene.begin(wire.answer(OK))
    assert (await scene.ask(request(wire, *headers, method=method))).start == b"HTTP/1.1 200 OK"


@pytest.mark.parametrize("way", WAYS)
async def test_a_proxy_key_opens_by_whatever_name_and_way_but_not_for_a_page(
    scene: Scene, wire: type[Wire], way: str
) -> None:
    await scene.begin(wire.answer(OK), proxy_keys=TEAM, **WAYS[way])
    known = ("Authorization: Bearer pk-team", "Host: usage.example.org", "X-Forwarded-For: 8.8.8.8")
    assert (await scene.ask(request(wire, *known))).start == b"HTTP/1.1 200 OK"
    assert code(await scene.ask(request(wire, *known, EVIL))) == "origin_not_allowed"
    assert len(scene.upstream.requests) == 1


@pytest.mark.parametrize("way", WAYS)
async def test_a_configured_page_may_ask_and_read(scene: Scene, wire: type[Wire], way: str) -> None:
    told = ("Content-Type: application/json", "access-control-allow-origin: *", "Access-Control-Max-Age: 9")
    await scene.begin(wire.answer(OK, *told), **WAYS[way], **CONFIGURED)
    browser = (f"Origin: {PAGE}", "Sec-Fetch-Site: cross-site")
    question = ("Access-Control-Request-Method: POST", "Access-Control-Request-Headers: x-stainless-os")
    allowed = await scene.ask(request(wire, *browser, *question, method="OPTIONS"))
    assert allowed.start.split()[1] == b"204"
    assert allowed.values(b"Access-Control-Allow-Headers") == [b"x-stainless-os"]
    assert scene.upstream.requests == []
    answer = await scene.ask(request(wire, *browser))
    for message in (allowed, answer):
        assert message.values(b"Access-Control-Allow-Origin") == [PAGE.encode()]
        assert message.values(b"Vary") == [b"Origin"]
    assert answer.body == OK
    assert answer.values(b"Access-Control-Max-Age") == []
    assert len(await scene.rows(1)) == 1  # the question before it is none


async def test_a_configured_page_can_read_why_it_is_refused(scene: Scene, wire: type[Wire]) -> None:
    await scene.begin(wire.answer(OK), proxy_keys=TEAM, routing={"require_proxy_key": True}, **CONFIGURED)
    answer = await scene.ask(request(wire, f"Origin: {PAGE}"))
    assert (answer.start.split()[1], code(answer)) == (b"401", "invalid_proxy_key")
    assert answer.values(b"Access-Control-Allow-Origin") == [PAGE.encode()]


async def test_a_configured_reverse_proxy_may_pass_requests_on(scene: Scene, wire: type[Wire]) -> None:
    await scene.begin(wire.answer(OK), **WAYS["accounts"], **CONFIGURED)
    assert (await scene.ask(request(wire, "X-Forwarded-For: 8.8.8.8"))).start == b"HTTP/1.1 200 OK"


@pytest.mark.parametrize("path", ["/metrics", "/readyz"])
@pytest.mark.parametrize(
    "headers",
    [("Host: evil.example",), (EVIL,), ("X-Forwarded-For: 8.8.8.8",), ("Sec-Fetch-Site: same-site",)],
)
async def test_metrics_and_readiness_are_for_programs_here(
    scene: Scene, wire: type[Wire], path: str, headers: tuple[str, ...]
) -> None:
    await scene.begin(wire.answer(OK))
    answer = await scene.ask(request(wire, *headers, method="GET", path=path))
    assert answer.start.split()[1] == b"403"
    assert (await scene.ask(request(wire, method="GET", path=path))).start == b"HTTP/1.1 200 OK"
    assert (await scene.ask(request(wire, *headers, method="GET", path="/healthz"))).start.split()[
        1
    ] == b"200"


async def test_the_token_of_metrics_opens_by_whatever_name(scene: Scene, wire: type[Wire]) -> None:
    await scene.begin(wire.answer(OK), metrics={"token": "scrape-secret"})
    known = ("Authorization: Bearer scrape-secret", "Host: metrics.example.org")
    answer = await scene.ask(request(wire, *known, method="GET", path="/metrics"))
    assert answer.start == b"HTTP/1.1 200 OK"
