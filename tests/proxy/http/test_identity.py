"""What of a caller an account's provider hears: nothing that says who it is."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from multidict import CIMultiDict

from proxy.http.caller_secrets import Secrets, brings_credential, is_secret
from proxy.http.identity import FORWARDED_HEADERS, anonymous_lines, anonymous_target
from tests.support.headers import by_name

if TYPE_CHECKING:
    from tests.proxy.conftest import Scene, Wire

CANARY = "CANARY-0123456789"
OK = b'{"model":"gpt-5.4","usage":{"input_tokens":1000,"output_tokens":100}}'
ACCOUNTS: dict[str, Any] = {"accounts": {"anna": {"credential": "env:KEY_ANNA"}}}

TELLING = [
    "Authorization: Bearer {}",
    "Authorization: Basic {}",
    "Proxy-Authorization: Bearer {}",
    "x-api-key: {}",
    "api-key: {}",
    "X-Goog-Api-Key: {}",
    "x-goog-user-project: {}",
    "anthropic-api-key: {}",
    "Ocp-Apim-Subscription-Key: {}",
    "X-Auth-Token: {}",
    "X-Amz-Security-Token: {}",
    "X-Litellm-Key: {}",
    "Helicone-Auth: Bearer {}",
    "cf-aig-authorization: Bearer {}",
    "Cookie: session={}",
    "ChatGPT-Account-Id: {}",
    "OpenAI-Organization: {}",
    "OpenAI-Project: {}",
    "OpenAI-Safety-Identifier: {}",
    "x-codex-installation-id: {}",
    "X-Forwarded-For: {}",
    "X-Forwarded-User: {}",
    "X-Real-IP: {}",
    "Forwarded: for={}",
    "Via: 1.1 {}",
    "From: {}",
    "Referer: https://{}.example",
    "Origin: https://{}.example",
    "HTTP-Referer: {}",
    "X-Title: {}",
    "X-User: {}",
    "X-Anything-At-All: {}",
    "Sec-WebSocket-Protocol: realtime, openai-insecure-api-key.{}",
    "Sec-WebSocket-Protocol: openai-organization.{}, openai-project.{}",
    "Sec-Fetch-Site: {}",
    "baggage: user={}",
]

PARAMETERS = [
    "key={}",
    "api_key={}",
    "api-version=1&key={}",
    "%6bey={}",
    "KEY={}",
    "access_token={}",
    "limit=1;key={}",
    "limit=1&&key={}",
    "user={}",
    "{}",
    "key[]={}",
    "+key={}",
]


@pytest.fixture(autouse=True)
def key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KEY_ANNA", "sk-anna")


@pytest.mark.parametrize("telling", TELLING)
async def test_no_header_of_the_caller_s_tells_the_account_s_provider(
    scene: Scene, wire: type[Wire], telling: str
) -> None:
    await scene.begin(wire.answer(OK), callers={"hosts": ["proxy"], "proxies": ["127.0.0.1"]}, **ACCOUNTS)
    header = telling.replace("{}", CANARY)
    if header.startswith(("Origin", "Sec-Fetch")):  # refused before
        header = f"X-{header}"
    answer = await scene.ask(wire.request(b"{}", header))
    assert answer.start == b"HTTP/1.1 200 OK"
    (asked,) = scene.upstream.requests
    assert CANARY.encode() not in asked.head
    assert asked.values(b"Authorization") == [b"Bearer sk-anna"]


@pytest.mark.parametrize("parameter", PARAMETERS)
async def test_no_parameter_does(scene: Scene, wire: type[Wire], parameter: str) -> None:
    await scene.begin(wire.answer(OK), **ACCOUNTS)
    path = f"/v1/responses?{parameter.replace('{}', CANARY)}"
    assert (await scene.ask(wire.request(b"{}", path=path))).start == b"HTTP/1.1 200 OK"
    assert CANARY.encode() not in scene.upstream.requests[0].head


async def test_what_is_configured_goes_on_too(scene: Scene, wire: type[Wire]) -> None:
    more = {"forward_headers": ["X-Title"], "forward_parameters": ["skip"]}
    await scene.begin(wire.answer(OK), routing=more, **ACCOUNTS)
    await scene.ask(wire.request(b"{}", "x-title: mine", path="/v1/responses?skip=1&user=x"))
    (asked,) = scene.upstream.requests
    assert asked.values(b"X-Title") == [b"mine"]
    assert asked.start == b"POST /v1/responses?skip=1 HTTP/1.1"


async def test_a_caller_s_own_way_is_left_alone(scene: Scene, wire: type[Wire]) -> None:
    await scene.begin(wire.answer(OK))
    headers = [
        h.replace("{}", CANARY) for h in TELLING if not h.startswith(("Proxy", "Authorization: Basic"))
    ]
    await scene.ask(wire.request(b"{}", *headers, path=f"/v1/responses?key={CANARY}"))
    (asked,) = scene.upstream.requests
    assert asked.head.count(CANARY.encode()) == sum(h.count(CANARY) for h in headers) + 1


def lines_of(*raw: tuple[bytes, bytes]) -> list[bytes]:
    return anonymous_lines(raw, by_name(raw))


@given(st.lists(st.binary(min_size=1, max_size=20)))
def test_a_header_goes_on_as_it_came_or_not_at_all(names: list[bytes]) -> None:
    came = {name + b": v" for name in names}
    for line in lines_of(*((name, b"v") for name in names)):
        assert line in came
        assert line.lower().startswith((*FORWARDED_HEADERS, b"x-stainless-"))


@pytest.mark.parametrize("name", sorted(FORWARDED_HEADERS))
def test_known_names_go_on_whatever_their_case(name: bytes) -> None:
    assert lines_of((name.upper(), b"v")) == [name.upper() + b": v"]
    assert not is_secret(name.decode())


def test_what_a_connection_names_does_not_go_on() -> None:
    headers = ((b"Connection", b"close, Accept"), (b"Accept", b"x"), (b"Prefer", b"y"))
    assert lines_of(*headers) == [b"Prefer: y"]


@pytest.mark.parametrize(
    ("offered", "goes"),
    [
        (b"realtime", b"realtime"),
        (
            b"realtime, openai-insecure-api-key.sk, openai-beta.realtime-v1",
            b"realtime, openai-beta.realtime-v1",
        ),
        (b"openai-insecure-api-key.sk", b""),
        (b"realtime.sk", b""),
        (b"", b""),
    ],
)
def test_of_offered_protocols_those_go_on_that_are_none_of_a_key(offered: bytes, goes: bytes) -> None:
    name = b"Sec-WebSocket-Protocol"
    assert lines_of((name, offered)) == ([name + b": " + goes] if goes else [])


@pytest.mark.parametrize(
    ("target", "goes"),
    [
        ("/models", "/models"),
        ("/models?limit=2&after=x", "/models?limit=2&after=x"),
        ("/models?include[]=a&include%5B%5D=b", "/models?include[]=a&include%5B%5D=b"),
        ("/models?key=x", "/models"),
        ("/models?limit=2&key=x&order=asc", "/models?limit=2&order=asc"),
        ("/models?", "/models?"),
        ("/models?limit=a?key=x", "/models?limit=a?key=x"),
    ],
)
def test_targets(target: str, goes: str) -> None:
    assert anonymous_target(target) == goes


def test_what_a_request_has_to_hide() -> None:
    headers = {
        "Authorization": "Bearer sk-1",
        "x-api-key": "sk-2",
        "Cookie": "a=cookie-1; b=cookie-2",
        "Sec-WebSocket-Protocol": "realtime, openai-insecure-api-key.sk-3",
        "X-Auth-Token": "sk-4",
        "Proxy-Authorization": "Basic YW5uYTpwYXNzd29yZA==",
        "User-Agent": "agent/1",
        "Idempotency-Key": "once",
    }
    found = Secrets(headers, "limit=1&key=sk%2D5&access_token=sk-6")
    found.lend("sk-7", None)
    assert {f"sk-{n}" for n in range(1, 8)} | {"cookie-1", "cookie-2", "anna", "password"} <= set(found())
    assert not {"agent/1", "once", "1", "realtime"} & set(found())
    assert list(found()) == sorted(found(), key=len, reverse=True)


@pytest.mark.parametrize(
    ("headers", "query", "brings"),
    [
        ({}, "", False),
        ({"Accept": "*/*", "Idempotency-Key": "1", "Sec-WebSocket-Key": "x"}, "limit=1", False),
        ({"Authorization": "Bearer x"}, "", True),
        ({"X-GOOG-API-KEY": "x"}, "", True),
        ({"Cookie": "a=b"}, "", True),
        ({}, "key=x", True),
        ({}, "key=", False),
    ],
)
def test_whether_a_caller_brings_a_credential(headers: dict[str, str], query: str, brings: bool) -> None:
    assert brings_credential(headers.items(), query) is brings


def test_a_key_goes_from_values_that_are_stored() -> None:
    secrets = Secrets(key="my-own-key-of-words")
    assert secrets.hide("agent my-own-key-of-words") == "agent [...]"
    assert secrets.hide("agent/1") == "agent/1"
    assert secrets.hide(None) is None
    for disguised in (
        "\u200b".join("my-own-key-of-words"),
        "my-own-k\u00e9y-of-words",
        "my-own-\0key-of-words",
    ):
        assert secrets.hide(f"agent {disguised}") == "[...]"
    assert secrets.hide("agent of Zo\u00eb") == "agent of Zo\u00eb"
    assert Secrets(key="short").hide("a short agent") == "a short agent"


def test_all_keys_of_repeated_headers_go() -> None:
    keys = ("my-first-key", "my-second-key")
    headers = CIMultiDict([("Authorization", f"Bearer {keys[0]}"), ("authorization", f"Bearer {keys[1]}")])
    first, none, second, plain = Secrets(headers, key=keys[0]).hide_all(*keys[:1], None, keys[1], "plain")
    assert (none, plain) == (None, "plain")
    assert "key" not in f"{first}{second}"


@pytest.mark.parametrize(
    "headers",
    [
        {"Authorization": "Bearer my-Own-key.of words"},
        {"X-Goog-Api-Key": "my-Own-key.of words"},
        {"Sec-WebSocket-Protocol": "openai-insecure-api-key.my-Own-key.of words"},
        {},
    ],
)
def test_every_key_goes_from_values_that_are_stored_however_they_spell_it(headers: dict[str, str]) -> None:
    secrets = Secrets(headers, "" if headers else "key=my-Own-key.of%20words")
    lent = Secrets()
    lent.lend("my-Own-key.of words")
    for spelled in (
        "my-Own-key.of words",
        "MY-OWN-KEY.OF WORDS",
        "my%2DOwn%2Dkey%2Eof%20words",
        "my-Own-key.of",
    ):
        for hide in (secrets.hide, lent.hide):
            text = hide(f"model {spelled}") or ""
            assert "[...]" in text
            assert "wn" not in text.lower()
    assert secrets.hide("my-model") == "my-model"


def test_a_cookie_may_be_what_names_a_session() -> None:
    assert (
        Secrets({"Cookie": "session=a-name-of-a-session"}).hide("a-name-of-a-session")
        == "a-name-of-a-session"
    )


def test_a_key_that_is_lent_later_is_hidden_from_then_on() -> None:
    secrets = Secrets({"Authorization": "Bearer my-own-key-of-words"})
    assert secrets.hide("the-key-of-an-account") == "the-key-of-an-account"
    secrets.lend("the-key-of-an-account")
    assert secrets.hide("the-key-of-an-account") == "[...]"
