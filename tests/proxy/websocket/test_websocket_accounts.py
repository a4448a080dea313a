"""A WebSocket goes out with an account, and stays within routing: each turn tells how the account fares,
and none begins that the account cannot take or the caller's key cannot pay."""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from time import monotonic, time
from typing import Any

import aiohttp
import pytest
from aiohttp import WSMsgType, web

from ledger import store
from ledger.accounts import changes as accounts
from ledger.accounts.pool import Member, read_fleet
from proxy.websocket import tunnel

Event = dict[str, Any]

CREATE = {"type": "response.create", "model": "gpt-5.4", "input": "hi"}
DELTA = {"type": "response.output_text.delta", "delta": "a"}
USAGE = {"input_tokens": 1000, "output_tokens": 100}
COMPLETED = {"type": "response.completed", "response": {"model": "gpt-5.4", "usage": USAGE}}
LIMIT = {"type": "usage_limit_reached", "message": "The usage limit has been reached"}


def failed(code: str, message: str = "No.") -> Event:
    return {"type": "response.failed", "response": {"error": {"code": code, "message": message}}}


class Provider:
    """Answers each `response.create` with a delta and what is scripted for the key that came; all that
    answers a turn with a `stream_id` has the same.

    Attributes:
        begins: the events before the one that ends a turn, by the last four characters of the key, or by
            the stream; a delta for all others.
        ends: the event that ends a turn, by either as well.
        asked: key and message of everything that clients sent.
        go_on: turns end when it is set, but for those of the streams in `at_once`.
        closed: the codes with which clients closed.
        cut: turns end with their connection instead.
    """

    def __init__(self) -> None:
        self.origin = ""
        self.begins: dict[str, list[Event]] = {}
        self.ends: dict[str, Event] = {}
        self.asked: list[tuple[str, Event]] = []
        self.go_on = asyncio.Event()
        self.go_on.set()
        self.at_once: set[str | None] = set()
        self.closed: list[int | None] = []
        self.cut = False

    def turns(self) -> Counter[str]:
        return Counter(key for key, message in self.asked if message["type"] == "response.create")

    async def handle(self, request: web.Request) -> web.StreamResponse:
        key = request.headers["Authorization"][-4:]
        ws = web.WebSocketResponse()
        await ws.prepare(request)
        lanes: dict[str | None, asyncio.Lock] = defaultdict(asyncio.Lock)
        async with asyncio.TaskGroup() as turns:
            async for message in ws:
                assert message.type is WSMsgType.TEXT
                event = json.loads(message.data)
                self.asked.append((key, event))
                if event["type"] == "response.create":
                    stream = event.get("stream_id")
                    turns.create_task(self._answer(request, ws, lanes[stream], stream, key))
        self.closed.append(ws.close_code)
        return ws

    async def _answer(
        self,
        request: web.Request,
        ws: web.WebSocketResponse,
        lane: asyncio.Lock,
        stream: str | None,
        key: str,
    ) -> None:
        of = {} if stream is None else {"stream_id": stream}
        async with lane:
            for event in self.begins.get(stream or key, [DELTA]):
                await ws.send_json(event | of)
            if stream not in self.at_once:
                await self.go_on.wait()
            if self.cut:
                assert request.transport is not None
                request.transport.abort()
            else:
                await ws.send_json(self.ends.get(stream or key, COMPLETED) | of)


@asynccontextmanager
async def serving() -> AsyncIterator[Provider]:
    provider = Provider()
    app = web.Application()
    app.router.add_get("/v1/responses", provider.handle)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    provider.origin = f"http://127.0.0.1:{runner.addresses[0][1]}"
    try:
        yield provider
    finally:
        provider.go_on.set()
        await runner.cleanup()


@pytest.fixture
async def provider() -> AsyncIterator[Provider]:
    async with serving() as running:
        yield running


@pytest.fixture(autouse=True)
def keys(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("aaaa", "bbbb", "cccc", "dddd"):
        monkeypatch.setenv(f"KEY_{name.upper()}", f"sk-upstream-{name}")


def described(*names: str) -> dict[str, Any]:
    return {name: {"credential": f"env:KEY_{name.upper()}"} for name in names}


HITS = 'codex_lb_proxy_budget_hits_total{api_key="team",period="daily"}'
Connect = Callable[..., Any]


@pytest.fixture
async def connect() -> AsyncIterator[Connect]:
    """Opens WebSockets to a proxy: `ws = await connect(proxy)`."""
    async with aiohttp.ClientSession() as session:

        async def open_one(proxy: Any, key: str = "sk-of-the-caller") -> aiohttp.ClientWebSocketResponse:
            headers = {"Authorization": f"Bearer {key}", "session_id": "conversation-1"}
            return await session.ws_connect(proxy.base_url + "/responses", headers=headers)

        yield open_one


async def turn(ws: aiohttp.ClientWebSocketResponse) -> Event:
    """Ask for a turn; the event that ends it."""
    await ws.send_json(CREATE)
    assert await ws.receive_json(timeout=20) == DELTA
    event: Event = await ws.receive_json(timeout=20)
    return event


async def end_of(ws: aiohttp.ClientWebSocketResponse) -> tuple[int | None, str]:
    """With what the proxy closes."""
    message = await ws.receive(timeout=20)
    assert message.type is WSMsgType.CLOSE, message
    await ws.receive(timeout=20)  # answers it
    return message.data, message.extra or ""


def member(proxy: Any, name: str) -> Member:
    engine = store.reader(store.sqlite_url(proxy.database))
    try:
        with engine.connect() as connection:
            return next(m for m in read_fleet(connection).members if m.account.id == name)
    finally:
        engine.dispose()


def change(proxy: Any, what: Callable[..., None], name: str) -> None:
    engine = store.writer(store.sqlite_url(proxy.database))
    with engine.begin() as connection:
        what(connection, name, datetime.now(UTC))
    engine.dispose()


async def until(true: Callable[[], object]) -> None:
    deadline = monotonic() + 5
    while not true():
        assert monotonic() < deadline, "what was awaited does not come"
        await asyncio.sleep(0.02)


async def first_account(proxy: Any, connect: Connect, provider: Provider) -> tuple[Any, str, str]:
    """A connection, the account that it was given, and the other one."""
    ws = await connect(proxy)
    assert await turn(ws) == COMPLETED
    ((mine, _),) = provider.asked
    return ws, mine, {"aaaa": "bbbb", "bbbb": "aaaa"}[mine]


def limited(**more: Any) -> Event:
    return {"type": "error", "error": {**LIMIT, **more}}


MARKING: dict[str, tuple[Callable[[], Event], str, float | None]] = {
    "reset": (lambda: {"status": 429, **limited(resets_at=int(time()) + 3_000)}, "quota_exceeded", 3_000),
    "reset in": (lambda: limited(resets_in_seconds=3_000), "quota_exceeded", 3_000),
    "rate": (
        lambda: failed("rate_limit_exceeded", "Rate limit. Please try again in 28s."),
        "rate_limited",
        28,
    ),
    "headers": (
        lambda: {
            "status_code": 429,
            "headers": {"Retry-After": "28"},
            "type": "error",
            "error": {"code": "x"},
        },
        "rate_limited",
        28,
    ),
    "dead account": (lambda: {"type": "error", "code": "account_deactivated"}, "deactivated", None),
    "dead key": (
        lambda: {"type": "error", "status": 401, "error": {"code": "invalid_api_key"}},
        "reauth_required",
        None,
    ),
}
"""An event, the status that it leads to, and the seconds until that ends."""


@pytest.mark.parametrize("name", MARKING)
async def test_a_failed_turn_marks_its_account_and_the_next_one_goes_to_another(
    start_proxy: Any, connect: Connect, provider: Provider, name: str
) -> None:
    make, status, seconds = MARKING[name]
    proxy = await start_proxy(provider.origin, accounts=described("aaaa", "bbbb"))
    ws, mine, other = await first_account(proxy, connect, provider)
    event = provider.ends[mine] = make()
    assert await turn(ws) == event
    await until(lambda: member(proxy, mine).status == status)
    reset_at = member(proxy, mine).reset_at
    assert reset_at == (seconds and pytest.approx(time() + seconds, abs=5))
    await ws.send_json(CREATE)
    code, reason = await end_of(ws)
    assert code == 1013
    assert reason.startswith("no_account_")
    again = await connect(proxy)
    assert await turn(again) == COMPLETED
    await again.close()
    assert provider.turns() == {mine: 2, other: 1}
    rows = [(row["account_id"], row["status"], row["end_reason"]) for row in proxy.rows()]
    assert rows == [
        (mine, "success", "done"),
        (mine, "error", "done"),
        (mine, "error", "refused"),
        (other, "success", "done"),
    ]
    await until(lambda: len(provider.closed) == 2)


AT_FAULT = [
    {"type": "error", "status": 400, "error": {"code": "websocket_connection_limit_reached"}},
    {"type": "error", "status": 400, "error": {"code": "previous_response_not_found"}},
    failed("context_length_exceeded"),
]


@pytest.mark.parametrize("event", AT_FAULT)
async def test_an_error_of_the_request_itself_marks_nothing(
    start_proxy: Any, connect: Connect, provider: Provider, event: Event
) -> None:
    proxy = await start_proxy(provider.origin, accounts=described("aaaa", "bbbb"))
    ws, mine, _ = await first_account(proxy, connect, provider)
    provider.ends[mine] = event
    assert await turn(ws) == event
    assert await turn(ws) == event
    marks = {v for n, v in proxy.samples().items() if n.startswith("codex_lb_lb_mark_total")}
    assert marks == {0}


async def test_a_turn_that_goes_well_forgets_failures_and_a_handshake_does_not(
    start_proxy: Any, connect: Connect, provider: Provider
) -> None:
    proxy = await start_proxy(provider.origin, accounts=described("aaaa"))
    ws = await connect(proxy)
    provider.ends["aaaa"] = failed("server_error")
    await turn(ws)
    await until(lambda: member(proxy, "aaaa").errors == 1)
    await ws.close()
    ws = await connect(proxy)  # it rests, but there is nobody else
    await turn(ws)
    await until(lambda: member(proxy, "aaaa").errors == 2)
    del provider.ends["aaaa"]
    assert await turn(ws) == COMPLETED
    await until(lambda: member(proxy, "aaaa").errors == 0)


async def test_an_account_that_rests_after_an_error_leaves_turns_to_another(
    start_proxy: Any, connect: Connect, provider: Provider
) -> None:
    proxy = await start_proxy(provider.origin, accounts=described("aaaa", "bbbb"))
    ws, mine, _ = await first_account(proxy, connect, provider)
    provider.ends[mine] = failed("server_error")
    await turn(ws)
    await ws.send_json(CREATE)
    assert await end_of(ws) == (1013, "no_account_cooldown: this account is not available now (cooldown)")
    assert provider.turns() == {mine: 2}


async def test_a_login_whose_token_is_refused_in_the_midst_is_not_given_up(
    start_proxy: Any, connect: Connect, provider: Provider, tmp_path: Path
) -> None:
    tokens = {"access_token": "token-aaaa", "refresh_token": "refresh-1", "account_id": "acc"}
    file = tmp_path / "auth.json"
    file.write_text(json.dumps({"tokens": tokens}))
    login = {"credential": f"codex:{file}", "upstream_base_url": provider.origin}
    proxy = await start_proxy(provider.origin, accounts={"anna": login})
    ws = await connect(proxy)
    provider.ends["aaaa"] = {"type": "error", "status": 401, "error": {"code": "token_expired"}}
    await turn(ws)
    del provider.ends["aaaa"]
    assert await turn(ws) == COMPLETED
    marks = {v for n, v in proxy.samples().items() if n.startswith("codex_lb_lb_mark_total")}
    assert marks == {0}


async def test_a_turn_that_the_provider_cuts_is_a_failure_of_the_account(
    start_proxy: Any, connect: Connect, provider: Provider
) -> None:
    proxy = await start_proxy(provider.origin, accounts=described("aaaa"))
    ws = await connect(proxy)
    provider.cut = True
    await ws.send_json(CREATE)
    while (await ws.receive(timeout=20)).type is WSMsgType.TEXT:
        pass
    await asyncio.sleep(0.5)  # and the end of the connection does not count as a success
    assert member(proxy, "aaaa").errors == 1
    assert proxy.rows()[-1]["end_reason"] == "upstream_error"


async def test_running_turns_of_a_paused_account_end_well_and_no_other_begins(
    start_proxy: Any, connect: Connect, provider: Provider
) -> None:
    proxy = await start_proxy(provider.origin, accounts=described("aaaa", "bbbb"))
    ws, mine, other = await first_account(proxy, connect, provider)
    provider.go_on.clear()
    await ws.send_json(CREATE)
    assert await ws.receive_json(timeout=20) == DELTA
    change(proxy, accounts.pause, mine)
    await asyncio.sleep(1.5)
    await ws.send_json(CREATE)
    await ws.send_json({"type": "response.processed", "response_id": "resp_1"})
    with pytest.raises(TimeoutError):
        await ws.receive(timeout=0.3)
    provider.go_on.set()
    assert await ws.receive_json(timeout=20) == COMPLETED
    assert await end_of(ws) == (1013, "no_account_paused: this account is not available now (paused)")
    assert [(key, message["type"]) for key, message in provider.asked] == [
        (mine, "response.create"),
        (mine, "response.create"),
        (mine, "response.processed"),
    ]
    assert await turn(await connect(proxy)) == COMPLETED
    assert provider.turns()[other] == 1
    assert provider.closed == [1000], "the client's own answer"
    refused = next(row for row in proxy.rows() if row["end_reason"] == "refused")
    assert (refused["account_id"], refused["http_status"]) == (mine, 503)
    assert (refused["error_code"], refused["model"]) == ("no_account_paused", "gpt-5.4")
    assert proxy.samples()['codex_lb_proxy_errors_total{error_code="no_account_paused"}'] == 1


async def test_an_account_that_is_resumed_goes_on_taking_turns(
    start_proxy: Any, connect: Connect, provider: Provider
) -> None:
    proxy = await start_proxy(provider.origin, accounts=described("aaaa"))
    ws = await connect(proxy)
    change(proxy, accounts.pause, "aaaa")
    await asyncio.sleep(1.5)
    await ws.send_json({"type": "response.processed"})  # no turn, so nothing is refused
    await until(lambda: provider.asked)
    change(proxy, accounts.resume, "aaaa")
    await asyncio.sleep(1.5)
    assert await turn(ws) == COMPLETED


async def test_a_removed_account_takes_no_turn(
    start_proxy: Any, connect: Connect, provider: Provider
) -> None:
    proxy = await start_proxy(provider.origin, accounts=described("aaaa", "bbbb"))
    ws, mine, _ = await first_account(proxy, connect, provider)
    change(proxy, partial(accounts.remove, origin="config"), mine)
    await asyncio.sleep(1.5)
    await ws.send_json(CREATE)
    assert await end_of(ws) == (1013, "no_account_unknown: this account is not available now (unknown)")


@pytest.mark.parametrize("names", [("aaaa",), ()])
async def test_a_spent_budget_ends_the_connection(
    start_proxy: Any, connect: Connect, provider: Provider, names: tuple[str, ...], monkeypatch: Any
) -> None:
    key = "sk-proxy-team-0001"
    proxy = await start_proxy(
        provider.origin,
        accounts=described(*names),
        openai_api_key="sk-upstream-aaaa",
        proxy_keys={"team": {"sha256": hashlib.sha256(key.encode()).hexdigest(), "daily_usd": "0.01"}},
    )
    ws = await connect(proxy, key)
    for _ in range(3):  # 0.004 dollars each
        assert await turn(ws) == COMPLETED
    await ws.send_json(CREATE)
    code, reason = await end_of(ws)
    assert (code, len(reason.encode()) <= 123) == (1013, True)
    assert reason.startswith(
        "budget_exceeded: the daily budget of $0.01 of the proxy key 'team' is exhausted"
    )
    assert provider.turns() == {"aaaa": 3}
    refused = proxy.rows()[-1]
    assert (refused["end_reason"], refused["http_status"]) == ("refused", 429)
    assert (refused["error_code"], refused["api_key_id"]) == ("budget_exceeded", "team")
    assert refused["account_id"] == (names[0] if names else "default")
    assert proxy.samples()[HITS] == 1
    with pytest.raises(aiohttp.WSServerHandshakeError) as again:
        await connect(proxy, key)
    assert again.value.status == 429


async def test_a_client_that_never_closes_is_not_waited_for(
    start_proxy: Any, provider: Provider, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tunnel, "PARTING_SECONDS", 0.3)
    proxy = await start_proxy(provider.origin, accounts=described("aaaa"))
    async with aiohttp.ClientSession() as session:
        url = proxy.base_url + "/responses"
        async with session.ws_connect(url, autoclose=False, autoping=False) as ws:
            change(proxy, accounts.pause, "aaaa")
            await asyncio.sleep(1.5)
            sent = monotonic()
            await ws.send_json(CREATE)
            await ws.send_json(CREATE)
            message = await ws.receive(timeout=20)
            assert (message.type, message.data) == (WSMsgType.CLOSE, 1013)
            await until(lambda: provider.closed)
            assert 0.2 < monotonic() - sent < 20
    assert provider.turns() == {}
    assert [row["end_reason"] for row in proxy.rows()] == ["refused", "refused"]


INFORMED = {"type": "codex.rate_limits", "rate_limits": {"primary": {"used_percent": 100}}}
ANOTHER = "; another one is free, connect again"


def retries(proxy: Any) -> dict[str, float]:
    """The retries that were counted, by the class of the error."""
    samples = proxy.samples()
    name = 'codex_lb_proxy_retries_total{api="responses",error_class="%s"}'
    found = {kind: samples[name % kind] for kind in ("quota", "rate_limit", "auth", "upstream")}
    return {kind: count for kind, count in found.items() if count}


async def ends_unanswered(ws: aiohttp.ClientWebSocketResponse, *before: Event) -> str:
    """Ask for a turn of whose answer nothing comes but what is told before it; why the proxy closes."""
    await ws.send_json(CREATE)
    for event in before:
        assert await ws.receive_json(timeout=20) == event
    code, reason = await end_of(ws)
    assert code == 1013
    assert len(reason.encode()) <= 123
    return reason


MOVING: dict[str, tuple[Callable[[], Event], str, str]] = {
    **{
        name: (MARKING[name][0], reason, kind)
        for name, reason, kind in (
            ("reset", "quota_exceeded", "quota"),
            ("reset in", "quota_exceeded", "quota"),
            ("rate", "rate_limited", "rate_limit"),
            ("headers", "rate_limited", "rate_limit"),
            ("dead account", "auth", "auth"),
            ("dead key", "auth", "auth"),
        )
    },
    "server error": (lambda: failed("server_error"), "cooldown", "upstream"),
}
"""An event, why its account takes no turn after it, and the class that its retry is counted in."""


@pytest.mark.parametrize("before", [(), (INFORMED,)])
@pytest.mark.parametrize("name", MOVING)
async def test_a_turn_that_fails_before_its_answer_begins_goes_to_another_account(
    start_proxy: Any, connect: Connect, provider: Provider, name: str, before: tuple[Event, ...]
) -> None:
    make, why, kind = MOVING[name]
    proxy = await start_proxy(provider.origin, accounts=described("aaaa", "bbbb"))
    ws, mine, other = await first_account(proxy, connect, provider)
    event = provider.ends[mine] = make()
    provider.begins[mine] = list(before)
    reason = await ends_unanswered(ws, *before)
    assert reason.startswith(f"no_account_{why}: ")
    assert reason.endswith(ANOTHER)
    again = await connect(proxy)
    assert await turn(again) == COMPLETED
    await again.close()
    assert provider.turns() == {mine: 2, other: 1}
    told = event.get("error") or event.get("response", {}).get("error") or event
    rows = [(row["account_id"], row["end_reason"], row["error_code"]) for row in proxy.rows()]
    assert rows == [
        (mine, "done", None),
        (mine, "done", told.get("code") or told["type"]),
        (other, "done", None),
    ]
    assert retries(proxy) == {kind: 1}


async def test_a_failed_turn_that_told_of_usage_is_billed(
    start_proxy: Any, connect: Connect, provider: Provider
) -> None:
    proxy = await start_proxy(provider.origin, accounts=described("aaaa", "bbbb"))
    ws, mine, _ = await first_account(proxy, connect, provider)
    provider.begins[mine] = []
    provider.ends[mine] = failed("server_error")
    provider.ends[mine]["response"] |= {"model": "gpt-5.4", "usage": USAGE}
    await ends_unanswered(ws)
    row = proxy.rows()[-1]
    assert (row["account_id"], row["status"], row["error_code"]) == (mine, "error", "server_error")
    assert (row["input_tokens"], row["output_tokens"]) == (1000, 100)


async def test_without_another_account_the_error_is_the_clients(
    start_proxy: Any, connect: Connect, provider: Provider
) -> None:
    proxy = await start_proxy(provider.origin, accounts=described("aaaa", "bbbb"))
    ws, mine, other = await first_account(proxy, connect, provider)
    change(proxy, accounts.pause, other)
    await asyncio.sleep(1.5)
    provider.begins[mine] = []
    event = provider.ends[mine] = limited(resets_in_seconds=3_000)
    await ws.send_json(CREATE)
    assert await ws.receive_json(timeout=20) == event
    await ws.close()
    assert retries(proxy) == {}


@pytest.mark.parametrize("event", AT_FAULT)
async def test_an_error_of_the_request_itself_passes_as_the_first_message_too(
    start_proxy: Any, connect: Connect, provider: Provider, event: Event
) -> None:
    proxy = await start_proxy(provider.origin, accounts=described("aaaa", "bbbb"))
    ws, mine, _ = await first_account(proxy, connect, provider)
    provider.begins[mine] = []
    provider.ends[mine] = event
    await ws.send_json(CREATE)
    assert await ws.receive_json(timeout=20) == event
    del provider.begins[mine], provider.ends[mine]
    assert await turn(ws) == COMPLETED


async def test_a_login_whose_token_is_refused_is_told_so_as_it_is_not_marked(
    start_proxy: Any, connect: Connect, provider: Provider, tmp_path: Path
) -> None:
    logins = {}
    for name in ("aaaa", "bbbb"):
        tokens = {"access_token": f"token-{name}", "refresh_token": "refresh-1", "account_id": name}
        file = tmp_path / f"{name}.json"
        file.write_text(json.dumps({"tokens": tokens}))
        logins[name] = {"credential": f"codex:{file}", "upstream_base_url": provider.origin}
    proxy = await start_proxy(provider.origin, accounts=logins)
    ws, mine, _ = await first_account(proxy, connect, provider)
    provider.begins[mine] = []
    event = provider.ends[mine] = {"type": "error", "status": 401, "error": {"code": "token_expired"}}
    await ws.send_json(CREATE)
    assert await ws.receive_json(timeout=20) == event


@pytest.mark.parametrize("pause", [0.0, 0.7])
@pytest.mark.parametrize("code", ["usage_limit_reached", "server_error"])
async def test_a_client_that_connects_again_and_again_comes_to_an_end(
    start_proxy: Any, connect: Connect, provider: Provider, code: str, pause: float
) -> None:
    """A server's error lets an account rest for a moment: with a pause it is free again every time."""
    names = ("aaaa", "bbbb", "cccc", "dddd")
    proxy = await start_proxy(provider.origin, accounts=described(*names))
    for name in names:
        provider.begins[name] = []
        provider.ends[name] = failed(code)
    reasons: list[int | None] = []
    for _ in range(10):
        ws = await connect(proxy)
        await ws.send_json(CREATE)
        message = await ws.receive(timeout=20)
        if message.type is WSMsgType.TEXT:
            await ws.close()
            break
        reasons.append(message.data)
        await ws.receive(timeout=20)
        await asyncio.sleep(pause)
    assert reasons == [1013, 1013], "three accounts in all, as with any request"
    assert set(provider.turns().values()) == {1}, "none of them twice"
    assert sum(retries(proxy).values()) == 2


async def test_a_conversation_does_not_come_back_to_an_account_that_it_left(
    start_proxy: Any, connect: Connect, provider: Provider
) -> None:
    proxy = await start_proxy(provider.origin, accounts=described("aaaa", "bbbb"))
    ws, mine, other = await first_account(proxy, connect, provider)
    provider.begins[mine] = []
    provider.ends[mine] = failed("server_error")
    await ends_unanswered(ws)
    await asyncio.sleep(0.5)  # it has rested
    for _ in range(3):
        ws = await connect(proxy)
        await ws.send_json(CREATE)
        assert await ws.receive_json(timeout=20) == DELTA
        await ws.close()
    assert provider.turns() == {mine: 2, other: 3}


async def test_turns_of_other_streams_come_to_their_end_first(
    start_proxy: Any, connect: Connect, provider: Provider
) -> None:
    proxy = await start_proxy(provider.origin, accounts=described("aaaa", "bbbb"))
    ws, mine, other = await first_account(proxy, connect, provider)
    provider.begins["lost"] = []
    provider.ends["lost"] = limited(resets_in_seconds=3_000)
    provider.at_once = {"lost"}
    provider.go_on.clear()
    await ws.send_json(CREATE | {"stream_id": "kept"})
    assert await ws.receive_json(timeout=20) == DELTA | {"stream_id": "kept"}
    await ws.send_json(CREATE | {"stream_id": "lost"})
    await until(lambda: member(proxy, mine).status == "quota_exceeded")
    await ws.send_json(CREATE | {"stream_id": "late"})
    with pytest.raises(TimeoutError):
        await ws.receive(timeout=0.3)
    provider.go_on.set()
    assert await ws.receive_json(timeout=20) == COMPLETED | {"stream_id": "kept"}
    code, reason = await end_of(ws)
    assert code == 1013
    assert reason.endswith(ANOTHER)
    assert provider.turns() == {mine: 3}
    rows = [(row["end_reason"], row["error_code"], row["input_tokens"]) for row in proxy.rows()]
    assert sorted(rows, key=str) == [
        ("done", "usage_limit_reached", None),
        ("done", None, 1000),
        ("done", None, 1000),
        ("refused", "no_account_quota_exceeded", None),
    ]
    assert await turn(await connect(proxy)) == COMPLETED
    assert provider.turns()[other] == 1


async def test_a_turn_that_another_waits_behind_is_told_its_error(
    start_proxy: Any, connect: Connect, provider: Provider
) -> None:
    """Answers come in the order of the turns: without the first, the second's would be taken for it."""
    proxy = await start_proxy(provider.origin, accounts=described("aaaa", "bbbb"))
    ws, mine, _ = await first_account(proxy, connect, provider)
    provider.begins[mine] = []
    event = provider.ends[mine] = limited(resets_in_seconds=3_000)
    provider.go_on.clear()
    await ws.send_json(CREATE)
    await ws.send_json(CREATE)
    await until(lambda: provider.turns()[mine] == 3)
    await asyncio.sleep(0.2)  # the second is under way as well
    provider.go_on.set()
    assert await ws.receive_json(timeout=20) == event
    code, reason = await end_of(ws)
    assert (code, reason.endswith(ANOTHER)) == (1013, True)
    assert [row["error_code"] for row in proxy.rows()][1:] == ["usage_limit_reached"] * 2
