"""Accounts, byte by byte: what of a caller and of an account goes where, and what answers mean for both."""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import Awaitable, Callable
from pathlib import Path
from time import monotonic, time
from typing import TYPE_CHECKING, Any

import pytest

from proxy.relay import body as inbound

if TYPE_CHECKING:
    from tests.proxy.conftest import Line, Message, Scene, Wire

QUESTION = b'{"model":"gpt-5.4","input":"hi"}'
OK = b'{"model":"gpt-5.4","usage":{"input_tokens":1000,"output_tokens":100}}'

Say = Callable[["Message"], bytes]


@pytest.fixture(autouse=True)
def keys(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("anna", "ben"):
        monkeypatch.setenv(f"KEY_{name.upper()}", f"sk-{name}")


def described(*names: str) -> dict[str, Any]:
    return {name: {"credential": f"env:KEY_{name.upper()}"} for name in names}


def saying(say: Say) -> Callable[[Line], Awaitable[None]]:
    """A provider that answers by what it is asked."""

    async def play(line: Line) -> None:
        while True:
            await line.send(say(await line.message()))

    return play


def asked_with(message: Message) -> bytes:
    (credential,) = message.values(b"authorization")
    return credential.removeprefix(b"Bearer ")


def error(code: str, **more: Any) -> bytes:
    return json.dumps({"error": {"code": code, "message": "no", **more}}).encode()


def login(folder: Path) -> str:
    """The reference to a login whose token is out of date."""
    file = folder / "auth.json"
    tokens = {"access_token": "token-old", "refresh_token": "refresh-1", "account_id": "acc"}
    file.write_text(json.dumps({"tokens": tokens}))
    return f"codex:{file}"


def provider_of_logins(wire: type[Wire]) -> Say:
    """Refuses the old token, and gives a new one."""

    def say(message: Message) -> bytes:
        if b" /oauth/token " in message.start:
            return wire.answer(b'{"access_token":"token-new","refresh_token":"refresh-2"}')
        if asked_with(message) == b"token-new":
            return wire.answer(OK)
        return wire.answer(error("token_expired"), status="401 Unauthorized")

    return say


async def begin_with_login(scene: Scene, wire: type[Wire], folder: Path) -> None:
    """A proxy with one account, a login whose token has to be renewed."""
    await scene.begin(
        saying(provider_of_logins(wire)),
        accounts={"lena": {"credential": login(folder), "upstream_base_url": "UPSTREAM"}},
        routing={"token_url": "UPSTREAM/oauth/token", "poll_seconds": 0},
    )


def chunked(wire: type[Wire], *parts: bytes) -> bytes:
    head = wire.head("POST /v1/responses HTTP/1.1", "Host: proxy", "Transfer-Encoding: chunked")
    return head + b"".join(map(wire.chunk, parts)) + wire.end


async def test_a_chunked_body_is_sent_again_whole(scene: Scene, wire: type[Wire], tmp_path: Path) -> None:
    await begin_with_login(scene, wire, tmp_path)
    answer = await scene.ask(chunked(wire, QUESTION[:9], QUESTION[9:]))
    assert answer.start == b"HTTP/1.1 200 OK"
    asked = [m for m in scene.upstream.requests if b"oauth" not in m.start]
    assert [(asked_with(m), m.body) for m in asked] == [(b"token-old", QUESTION), (b"token-new", QUESTION)]


async def test_a_body_that_was_not_kept_is_not_sent_again(
    scene: Scene, wire: type[Wire], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Sent again it would be empty, and answered all the same."""
    monkeypatch.setattr(inbound, "REPLAYED_BODY", 8)
    await begin_with_login(scene, wire, tmp_path)
    refused = await scene.ask(chunked(wire, QUESTION[:9], QUESTION[9:]))
    assert refused.start == b"HTTP/1.1 503 Service Unavailable"
    assert json.loads(refused.body)["error"]["code"] == "account_token_renewed"
    assert refused.values(b"Retry-After") == [b"1"]
    assert (await scene.ask(wire.request(QUESTION))).start == b"HTTP/1.1 200 OK"
    asked = {asked_with(m): m.body for m in scene.upstream.requests if b"oauth" not in m.start}
    assert asked == {b"token-old": QUESTION, b"token-new": QUESTION}


async def test_a_body_that_is_too_large_is_refused_also_where_it_may_be_sent_again(
    scene: Scene, wire: type[Wire]
) -> None:
    await scene.begin(wire.answer(OK), accounts=described("anna"), server={"max_request_bytes": 1_024})
    answer = await scene.ask(chunked(wire, b"x" * 800, b"x" * 800))
    assert answer.start == b"HTTP/1.1 413 Request Entity Too Large"
    assert [m for m in scene.upstream.requests if m.complete] == []


async def test_what_names_an_organization_stays_on_its_side(scene: Scene, wire: type[Wire]) -> None:
    told = ("Set-Cookie: a=1", "OpenAI-Organization: org-of-anna", "openai-project: p", "X-Kept: 1")
    await scene.begin(wire.answer(OK, "Content-Type: application/json", *told), accounts=described("anna"))
    mine = ("OpenAI-Organization: org-of-the-caller", "openai-project: q", "OpenAI-Beta: 1")
    answer = await scene.ask(wire.request(QUESTION, *mine))
    (asked,) = scene.upstream.requests
    for message, kept in ((asked, b"OpenAI-Beta"), (answer, b"X-Kept")):
        names = {name.lower() for name, _ in message.fields}
        assert kept.lower() in names
        assert not names & {b"openai-organization", b"openai-project", b"set-cookie"}


async def test_a_401_that_is_not_of_the_credential_ends_no_account(scene: Scene, wire: type[Wire]) -> None:
    refused = wire.answer(error("mismatched_organization"), status="401 Unauthorized")
    await scene.begin(refused, refused, wire.answer(OK), accounts=described("anna", "ben"))
    assert (await scene.ask(wire.request(QUESTION))).start == b"HTTP/1.1 401 Unauthorized"
    assert (await scene.ask(wire.request(QUESTION))).start == b"HTTP/1.1 200 OK"


async def test_one_error_of_the_only_account_refuses_nobody_else(scene: Scene, wire: type[Wire]) -> None:
    failing = wire.answer(error("server_error"), status="500 Internal Server Error")
    await scene.begin(failing, failing, failing, wire.answer(OK), accounts=described("anna"))
    starts = [(await scene.ask(wire.request(QUESTION))).start for _ in range(4)]
    assert starts == [b"HTTP/1.1 500 Internal Server Error"] * 3 + [b"HTTP/1.1 200 OK"]


def failing_stream(wire: type[Wire], code: str, **more: Any) -> bytes:
    failed = {"type": "response.failed", "response": {"error": {"code": code, "message": "no", **more}}}
    return wire.stream() + wire.chunk(wire.events({"type": "response.created"}, failed)) + wire.end


@pytest.mark.parametrize("code", ["context_length_exceeded", "invalid_prompt"])
async def test_a_stream_whose_request_is_at_fault_leaves_the_account_alone(
    scene: Scene, wire: type[Wire], code: str
) -> None:
    await scene.begin(failing_stream(wire, code), accounts=described("anna"))
    for _ in range(3):
        assert (await scene.ask(wire.request(QUESTION))).start == b"HTTP/1.1 200 OK"
    marks = (v for n, v in scene.proxy.samples().items() if n.startswith("codex_lb_lb_mark_total"))
    assert sum(marks) == 0


async def test_a_stream_that_fails_says_how_long_its_account_rests(scene: Scene, wire: type[Wire]) -> None:
    limited = failing_stream(wire, "rate_limit_exceeded", message="Please try again in 28s.")
    await scene.begin(limited, accounts=described("anna"))
    await scene.ask(wire.request(QUESTION))
    refused = await scene.ask(wire.request(QUESTION))
    assert refused.start == b"HTTP/1.1 429 Too Many Requests"
    assert 20 <= int(refused.values(b"Retry-After")[0]) <= 29  # rounded up


@pytest.mark.parametrize("name", ["resets_at", "resets_in_seconds"])
async def test_a_stream_that_fails_says_when_its_account_comes_back(
    scene: Scene, wire: type[Wire], name: str
) -> None:
    value = int(time()) + 7_200 if name == "resets_at" else 7_200
    await scene.begin(
        failing_stream(wire, "usage_limit_reached", **{name: value}), accounts=described("anna")
    )
    await scene.ask(wire.request(QUESTION))
    refused = await scene.ask(wire.request(QUESTION))
    assert json.loads(refused.body)["error"]["code"] == "no_account_quota_exceeded"
    assert 7_100 <= int(refused.values(b"Retry-After")[0]) <= 7_200


def team(**more: str) -> dict[str, Any]:
    return {"team": {"sha256": hashlib.sha256(b"pk-team").hexdigest(), **more}}


async def test_a_proxy_key_ends_here_whether_or_not_there_are_accounts(
    scene: Scene, wire: type[Wire]
) -> None:
    await scene.begin(wire.answer(OK), proxy_keys=team())
    answer = await scene.ask(wire.request(QUESTION, "Authorization: Bearer pk-team"))
    assert answer.start == b"HTTP/1.1 503 Service Unavailable"
    assert json.loads(answer.body)["error"]["code"] == "no_account"
    assert scene.upstream.requests == []
    assert (await scene.row())["api_key_id"] == "team"
    theirs = await scene.ask(wire.request(QUESTION, "Authorization: Bearer sk-of-the-caller"))
    assert theirs.start == b"HTTP/1.1 200 OK"
    assert asked_with(scene.upstream.requests[0]) == b"sk-of-the-caller"


async def test_a_caller_with_a_proxy_key_may_use_the_key_of_last_resort(
    scene: Scene, wire: type[Wire]
) -> None:
    await scene.begin(wire.answer(OK), proxy_keys=team(), openai_api_key="sk-own")
    answer = await scene.ask(wire.request(QUESTION, "Authorization: Bearer pk-team"))
    assert answer.start == b"HTTP/1.1 200 OK"
    (asked,) = scene.upstream.requests
    assert asked_with(asked) == b"sk-own"


async def test_a_refusal_is_booked_on_the_proxy_key(scene: Scene, wire: type[Wire]) -> None:
    await scene.begin(wire.answer(OK), accounts=described("anna"), proxy_keys=team(daily_usd="0.001"))
    mine = wire.request(QUESTION, "Authorization: Bearer pk-team")
    assert (await scene.ask(mine)).start == b"HTTP/1.1 200 OK"
    scene.proxy.rows()
    await asyncio.sleep(2.6)
    assert (await scene.ask(mine)).start == b"HTTP/1.1 429 Too Many Requests"
    rows = await scene.rows(2)
    assert [(row["api_key_id"], row["http_status"]) for row in rows] == [("team", 200), ("team", 429)]


async def test_an_error_that_drips_does_not_hold_the_retry(scene: Scene, wire: type[Wire]) -> None:
    async def play(line: Line) -> None:
        while asked_with(await line.message()) == b"sk-ben":
            await line.send(wire.answer(OK))
        head = wire.head("HTTP/1.1 429 Too Many Requests", "Retry-After: 60", "Content-Length: 1000")
        await line.send(head, *[b"x"] * 1000, pause=0.2)

    await scene.begin(play, accounts=described("anna", "ben"))
    begun = monotonic()
    for _ in range(3):
        assert (await scene.ask(wire.request(QUESTION))).start == b"HTTP/1.1 200 OK"
    assert monotonic() - begun < 30
    assert "sk-anna" in {asked_with(m).decode() for m in scene.upstream.requests}


async def test_an_error_that_drips_is_passed_on_where_nobody_else_is_there(
    scene: Scene, wire: type[Wire]
) -> None:
    async def play(line: Line) -> None:
        await line.message()
        head = wire.head("HTTP/1.1 429 Too Many Requests", "Retry-After: 60", "Content-Length: 8")
        await line.send(head, *(b"%d" % n for n in range(8)), pause=0.25)
        await line.rest()

    await scene.begin(play, accounts=described("anna"))
    assert (await scene.ask(wire.request(QUESTION))).body == b"01234567"


async def test_a_caller_who_leaves_during_an_error_leaves_no_connection(
    scene: Scene, wire: type[Wire]
) -> None:
    left = asyncio.Event()

    async def play(line: Line) -> None:
        await line.message()
        await line.send(wire.head("HTTP/1.1 429 Too Many Requests", "Content-Length: 1000"), b"begun")
        await line.rest()
        left.set()

    await scene.begin(play, accounts=described("anna", "ben"))
    client = await scene.connect()
    await client.send(wire.request(QUESTION))
    await scene.until(lambda: scene.upstream.requests)
    await asyncio.sleep(0.1)
    await client.close()
    async with asyncio.timeout(20):
        await left.wait()
    assert (await scene.row())["end_reason"] == "client_gone"
