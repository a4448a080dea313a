"""Budgets on the wire: real sockets, a real ledger, and no way around."""

from __future__ import annotations

import asyncio
import gzip
import hashlib
import json
import socket
import sqlite3
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from time import monotonic
from typing import Any

import pytest

from proxy.metering import statement, taps
from proxy.relay.budgets import LOOK_SECONDS
from proxy.relay.charge import DEFAULT_OUTPUT

KEY = "sk-proxy-team-0001"
MINE = f"Authorization: Bearer {KEY}"
MODELS = {"m": {"prompt_per_1m": 0, "completion_per_1m": 10}}
CENT = {"usage": {"input_tokens": 1, "output_tokens": 1_000}}
UNMETERED = "codex_lb_proxy_unmetered_total{"
HITS = 'codex_lb_proxy_budget_hits_total{api_key="team",period="daily"}'


def budget(daily: str, **routing: Any) -> dict[str, Any]:
    """A proxy key with a daily budget, and a model of which a thousand tokens cost a cent."""
    return {
        "openai_api_key": "sk-upstream",
        "pricing": {"models": MODELS},
        "proxy_keys": {"team": {"sha256": hashlib.sha256(KEY.encode()).hexdigest(), "daily_usd": daily}},
        "routing": routing,
    }


def body(**members: Any) -> bytes:
    return json.dumps({"model": "m", **members}).encode()


def cent(wire: Any) -> bytes:
    return bytes(wire.answer(json.dumps({"model": "m", **CENT}).encode()))


def status(message: Any) -> int:
    return int(message.start.split()[1])


def code(message: Any) -> str:
    return str(json.loads(message.body)["error"]["code"])


def charged(scene: Any) -> tuple[float, float]:
    """Dollars charged: in all, and by estimate."""
    samples = scene.proxy.samples()
    family = 'codex_lb_proxy_budget_charged_usd_total{api_key="team",basis="%s"}'
    estimated = samples[family % "estimated"]
    return round(samples[family % "metered"] + estimated, 9), round(estimated, 9)


async def post(scene: Any, wire: Any, data: bytes, *headers: str, path: str = "/v1/responses") -> Any:
    return await scene.ask(wire.request(data, MINE, *headers, path=path))


async def test_two_hundred_at_once_on_a_cent(scene: Any, wire: Any) -> None:
    go_on = asyncio.Event()

    async def play(line: Any) -> None:
        while True:
            await line.message()
            await go_on.wait()
            await line.send(cent(wire))

    await scene.begin(play, **budget("1.00"))
    go_on.set()
    for _ in range(99):
        assert status(await post(scene, wire, body(max_output_tokens=1_000))) == 200
    go_on.clear()
    asking = [asyncio.create_task(post(scene, wire, body(max_output_tokens=1_000))) for _ in range(200)]
    await asyncio.wait(asking, return_when=asyncio.FIRST_COMPLETED)
    await scene.until(lambda: sum(task.done() for task in asking) >= 199)
    go_on.set()
    found = Counter(status(message) for message in await asyncio.gather(*asking))
    assert found == {200: 1, 429: 199}
    assert charged(scene) == (1.0, 0.0)
    message = await post(scene, wire, body())
    assert (status(message), code(message)) == (429, "budget_exceeded")
    assert int(message.values(b"Retry-After")[0]) > 1


async def test_what_is_reserved_is_told_apart_from_what_is_spent(scene: Any, wire: Any) -> None:
    go_on = asyncio.Event()

    async def play(line: Any) -> None:
        while True:
            await line.message()
            await go_on.wait()
            await line.send(cent(wire))

    await scene.begin(play, **budget("0.05"))
    running = asyncio.create_task(post(scene, wire, body(max_output_tokens=5_000)))
    await scene.until(lambda: scene.upstream.requests)
    message = await post(scene, wire, body(max_output_tokens=1))
    assert (status(message), code(message)) == (429, "budget_reserved")
    assert message.values(b"Retry-After") == [b"1"]
    assert scene.proxy.samples()[HITS] == 1
    go_on.set()
    assert status(await running) == 200

    async def again() -> bool:
        return status(await post(scene, wire, body(max_output_tokens=1))) == 200

    assert await again()  # it cost a cent: four are free again


WAYS = [
    ("/v1//responses", body()),
    ("/v1/responses/", body()),
    ("/v1/%72esponses", body()),
    ("/v1/Responses", body()),
    ("/v1/responses;x", body()),
    ("/v1/responses/compact", body()),
    ("/v1/openai/deployments/m/chat/completions", body()),
    ("/v1/engines/m/completions", body()),
    ("/v1/anything/else", body()),
    ("/v1/responses", body(background=True)),
    ("/v1/responses", body(stream=1)),
    ("/v1/responses", body(x="y" * 300_000)),
]


@pytest.mark.parametrize(("path", "data"), WAYS)
async def test_counts_are_charged_whatever_way_they_come(
    scene: Any, wire: Any, path: str, data: bytes
) -> None:
    await scene.begin(cent(wire), **budget("0.01"))
    assert status(await post(scene, wire, data, path=path)) == 200
    assert charged(scene) == (0.01, 0.0)
    message = await post(scene, wire, body())
    assert (status(message), code(message)) == (429, "budget_exceeded")


@pytest.mark.parametrize(("path", "data"), WAYS)
async def test_an_answer_without_counts_is_charged_by_estimate(
    scene: Any, wire: Any, path: str, data: bytes
) -> None:
    limit = {**json.loads(data), "max_output_tokens": 1_000, "max_tokens": 1_000}
    await scene.begin(wire.answer(b'{"model":"m","status":"queued","usage":null}'), **budget("0.01"))
    assert status(await post(scene, wire, json.dumps(limit).encode(), path=path)) == 200
    cost = DEFAULT_OUTPUT / 100_000 if path == "/v1/anything/else" else 0.01  # whose limits are not known
    assert charged(scene) == (cost, cost)
    assert status(await post(scene, wire, body())) == 429


@pytest.mark.parametrize("encoding", ["gzip", "identity"])
@pytest.mark.parametrize("padding", [0, 300_000])
async def test_counts_are_asked_for_whatever_size_and_coding_a_body_has(
    scene: Any, wire: Any, encoding: str, padding: int
) -> None:
    usage = {"prompt_tokens": 1, "completion_tokens": 1_000}
    events = wire.events({"model": "m", "choices": [{"delta": {"content": "x"}}]})
    added = wire.events({"model": "m", "choices": [], "usage": usage}, "[DONE]")
    await scene.begin(
        wire.stream() + wire.chunk(events + added) + wire.end,
        server={"include_usage": True},
        **budget("0.01"),
    )
    data = body(stream=True, messages=[{"role": "user", "content": "y" * padding}])
    sent = gzip.compress(data) if encoding == "gzip" else data
    message = await post(scene, wire, sent, f"Content-Encoding: {encoding}", path="/v1/chat/completions")
    assert message.body == events + b"data: [DONE]\n\n"
    request = scene.upstream.requests[0]
    assert request.values(b"Content-Encoding") == []
    assert json.loads(request.body) == {**json.loads(data), "stream_options": {"include_usage": True}}
    assert charged(scene) == (0.01, 0.0)


@pytest.mark.parametrize("count", [10**8, 10**9, 2**48, 2**63 - 1])
@pytest.mark.parametrize("name", ["input_tokens", "output_tokens"])
async def test_impossible_counts_are_never_added(scene: Any, wire: Any, name: str, count: int) -> None:
    usage = {"input_tokens": 1, "output_tokens": 1_000, name: count}
    await scene.begin(wire.answer(json.dumps({"model": "gpt-5.4", "usage": usage}).encode()), **budget("1"))
    data = json.dumps({"model": "gpt-5.4", "max_output_tokens": 1_000}).encode()
    assert status(await post(scene, wire, data)) == 200
    row = await scene.row()
    assert None in (row["input_tokens"], row["output_tokens"])
    total, estimated = charged(scene)
    assert 0.01 < total == estimated < 0.05
    samples = scene.proxy.samples()
    assert sum(value for key, value in samples.items() if key.startswith("token_usage_total")) < 2_000
    assert samples['codex_lb_proxy_cost_usd_total{model="gpt-5.4"}'] == 0


@pytest.mark.parametrize("path", ["/v1/chat/completions", "/v1/responses/resp_1"])
async def test_a_question_in_the_body_of_what_should_only_read_is_charged(
    scene: Any, wire: Any, path: str
) -> None:
    answer = wire.answer(json.dumps({"id": "resp_1", "model": "m", **CENT}).encode())
    await scene.begin(answer, **budget("0.01"))
    request = wire.request(body(), MINE, path=path).replace(b"POST", b"GET", 1)
    assert status(await scene.ask(request)) == 200
    assert charged(scene)[0] >= 0.01
    assert status(await scene.ask(request)) == 429


async def test_who_always_leaves_before_the_counts_does_not_make_requests_cheap(
    scene: Any, wire: Any
) -> None:
    """A first request of next to nothing says nothing of what those after it may cost."""

    async def play(line: Any) -> None:
        await line.message()
        await line.send(wire.stream() + wire.chunk(wire.events({"type": "response.output_text.delta"})))
        await line.rest()

    await scene.begin(play, **budget("0.20"))
    found = []
    for number, limit in enumerate(({"max_output_tokens": 1}, {}, {}, {}, {}), 1):
        client = await scene.connect()
        await client.send(wire.request(body(stream=True, **limit), MINE, path="/v1/responses"))
        found.append((await client.head()).split()[1])
        client.writer.close()
        await scene.until(lambda number=number: len(scene.proxy.rows()) == number)
        before = monotonic()
        await scene.until(lambda before=before: monotonic() - before > LOOK_SECONDS + 0.1)  # it is charged
    assert found == [b"200", b"200", b"200", b"200", b"429"]  # of 8 cents each: the third may cost more


@pytest.mark.parametrize("chunked", [False, True])
async def test_a_body_that_is_too_large_to_be_read_is_charged_by_its_size(
    scene: Any, wire: Any, monkeypatch: pytest.MonkeyPatch, chunked: bool
) -> None:
    """Whoever pads it and leaves before the counts must not pay less than one with a small body."""
    monkeypatch.setattr("proxy.relay.body.REPLAYED_BODY", 400_000)

    async def play(line: Any) -> None:
        await line.message()
        await line.send(wire.stream() + wire.chunk(wire.events({"type": "response.output_text.delta"})))
        await line.rest()

    await scene.begin(play, **budget("5"))
    large = body(input="x" * 500_000)
    head = ("Transfer-Encoding: chunked",) if chunked else (f"Content-Length: {len(large)}",)
    client = await scene.connect()
    await client.send(wire.head("POST /v1/responses HTTP/1.1", "Host: proxy", MINE, *head))
    await client.send(wire.chunk(large) + wire.end if chunked else large)
    await client.head()
    client.writer.close()
    await scene.until(lambda: charged(scene)[0] > 0)
    assert charged(scene)[0] >= 1  # a dollar for 100,000 tokens


async def test_a_stream_that_is_cancelled_is_charged_by_estimate(scene: Any, wire: Any) -> None:
    async def play(line: Any) -> None:
        await line.message()
        await line.send(wire.stream() + wire.chunk(wire.events({"type": "response.output_text.delta"})))
        await line.rest()

    await scene.begin(play, **budget("0.01"))
    client = await scene.connect()
    await client.send(wire.request(body(stream=True, max_output_tokens=1_000), MINE))
    await client.until(b"delta")
    client.reset()
    await scene.until(lambda: charged(scene) == (0.01, 0.01))


@pytest.mark.parametrize(
    "fault", [(statement, "_whole_output"), (taps.JsonTap, "feed"), (taps.AnswerTap, "end")]
)
async def test_what_a_fault_of_ours_keeps_from_being_read_is_charged_by_estimate(
    scene: Any,
    wire: Any,
    fault: tuple[Any, str],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    def fails(*_: object) -> None:
        raise ValueError(KEY)

    monkeypatch.setattr(*fault, fails)
    await scene.begin(cent(wire), **budget("1"))
    answer = await post(scene, wire, body(max_output_tokens=2_000))
    assert json.loads(answer.body)["usage"] == CENT["usage"]
    row = await scene.row()
    assert (row["status"], row["http_status"], row["input_tokens"]) == ("success", 200, None)
    assert sum(n for name, n in scene.proxy.samples().items() if name.startswith(UNMETERED)) == 1
    assert charged(scene) == (0.02, 0.02)
    assert "an answer could not be read: ValueError" in caplog.text
    assert KEY not in caplog.text


@pytest.mark.parametrize(
    "path", ["/v1/batches", "/v1//batches", "/v1/fine_tuning/jobs", "/v1/realtime/client_secrets"]
)
async def test_work_that_no_answer_tells_the_price_of_is_not_for_a_key_with_a_budget(
    scene: Any, wire: Any, path: str
) -> None:
    await scene.begin(cent(wire), **budget("1"))
    message = await post(scene, wire, body(), path=path)
    assert (status(message), code(message)) == (403, "not_within_a_budget")
    assert scene.upstream.requests == []


@pytest.mark.parametrize(("policy", "expected"), [("refuse", 403), ("allow", 200)])
async def test_a_model_without_a_price(scene: Any, wire: Any, policy: str, expected: int) -> None:
    answer = wire.answer(b'{"model":"nobody-knows","usage":{"input_tokens":1,"output_tokens":1}}')
    await scene.begin(answer, **budget("1", budget_unpriced_models=policy))
    message = await post(scene, wire, json.dumps({"model": "nobody-knows"}).encode())
    assert status(message) == expected
    if expected == 403:
        assert code(message) == "model_without_price"
        assert "[pricing.models]" in json.loads(message.body)["error"]["message"]
    else:
        assert charged(scene) == (0.1, 0.1)


async def test_a_price_of_one_provider_is_known_where_the_request_goes_to_it(
    scene: Any, wire: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As `ledger prices unpriced` writes it for a deployment of Azure's, of a name of one's own."""
    monkeypatch.setattr("proxy.relay.request.provider_of_host", lambda host: "azure")
    answer = wire.answer(json.dumps({"model": "mine", **CENT}).encode())
    price = {"provider": "azure", "prompt_per_1m": 0, "completion_per_1m": 10}
    await scene.begin(answer, **{**budget("1"), "pricing": {"models": {"mine": price}}})
    message = await post(scene, wire, json.dumps({"model": "mine", "max_output_tokens": 1_000}).encode())
    assert (status(message), charged(scene)) == (200, (0.01, 0.0))


async def test_a_price_of_an_accounts_own_provider_is_known(
    scene: Any, wire: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("proxy.pool.provider_of_url", lambda base: "azure")
    monkeypatch.setattr("proxy.routing.attempts.provider_of_url", lambda base: "azure")
    monkeypatch.setenv("AZURE_KEY", "key-of-azure")
    answer = wire.answer(json.dumps({"model": "mine", **CENT}).encode())
    price = {"provider": "azure", "prompt_per_1m": 0, "completion_per_1m": 10}
    sections = {**budget("1"), "pricing": {"models": {"mine": price}}}
    del sections["openai_api_key"]
    account = {"credential": "env:AZURE_KEY", "upstream_base_url": "UPSTREAM"}
    await scene.begin(answer, **sections, accounts={"lena": account})
    message = await post(scene, wire, json.dumps({"model": "mine", "max_output_tokens": 1_000}).encode())
    assert (status(message), charged(scene)) == (200, (0.01, 0.0))


async def test_what_is_stored_may_be_read_and_costs_nothing(scene: Any, wire: Any) -> None:
    await scene.begin(cent(wire), **budget("0.01"))
    for path in ("/v1/responses/resp_1", "/v1/models"):
        message = await scene.ask(wire.request(b"", MINE, path=path, method="GET"))
        assert status(message) == 200
    assert charged(scene) == (0.0, 0.0)


@pytest.mark.parametrize(("policy", "expected"), [("refuse", 503), ("allow", 200)])
async def test_a_ledger_that_does_not_answer(scene: Any, wire: Any, policy: str, expected: int) -> None:
    await scene.begin(cent(wire), **budget("0.15", budget_without_ledger=policy))
    assert status(await post(scene, wire, body(max_output_tokens=1_000))) == 200
    lock = sqlite3.connect(scene.database, isolation_level=None)
    lock.execute("BEGIN IMMEDIATE")
    began = monotonic()
    messages = await asyncio.gather(*(post(scene, wire, body(max_output_tokens=1_500)) for _ in range(10)))
    assert {status(message) for message in messages} == {expected}
    assert 2.5 < monotonic() - began < 20  # not one after the other: 30
    began = monotonic()
    assert status(await post(scene, wire, body(max_output_tokens=1_500))) == expected
    assert monotonic() - began < 2  # it is known by now
    assert {code(m) for m in messages} == {"budget_unavailable"} if expected == 503 else True
    lock.rollback()
    lock.close()
    deadline = monotonic() + 8
    while status(await post(scene, wire, body(max_output_tokens=1))) != 200:
        assert monotonic() < deadline
    served = sum(row["status"] == "success" for row in scene.proxy.rows())
    with sqlite3.connect(scene.database) as ledger:  # all of it is charged in the end
        while ledger.execute("SELECT nano_usd FROM key_spend").fetchone() != (served * 10_000_000,):
            await asyncio.sleep(0.05)
            assert monotonic() < deadline
    ledger.close()


async def test_what_was_spent_is_known_after_a_restart(scene: Any, wire: Any, start_proxy: Any) -> None:
    await scene.begin(cent(wire), **budget("0.02"))
    for _ in range(2):
        assert status(await post(scene, wire, body(max_output_tokens=1_000))) == 200
    await scene.end()
    with sqlite3.connect(scene.database) as ledger:
        assert ledger.execute("SELECT nano_usd, requests FROM key_spend").fetchall() == [(20_000_000, 2)]
        assert ledger.execute("SELECT count(*) FROM key_holds").fetchone() == (0,)
        ledger.execute("DELETE FROM key_spend")  # as after a crash: the log still knows
    ledger.close()
    proxy = await start_proxy(scene.upstream.url, **budget("0.02"))
    reader, writer = await asyncio.open_connection("127.0.0.1", proxy.port)
    writer.write(wire.request(body(), MINE))
    assert b" 429 " in await reader.readline()
    writer.close()


async def test_a_key_without_a_budget_never_asks_the_ledger(scene: Any, wire: Any, tmp_path: Path) -> None:
    sections = budget("1")
    del sections["proxy_keys"]["team"]["daily_usd"]
    await scene.begin(cent(wire), **sections)
    lock = sqlite3.connect(scene.database, isolation_level=None)
    lock.execute("BEGIN IMMEDIATE")
    began = monotonic()
    for _ in range(10):
        assert status(await post(scene, wire, body())) == 200
    assert monotonic() - began < 2.5  # as long as one of them would wait
    lock.rollback()
    lock.close()
    with sqlite3.connect(scene.database) as ledger:
        assert ledger.execute("SELECT count(*) FROM key_spend").fetchone() == (0,)
    ledger.close()


@contextmanager
def full_backlog(seconds: float) -> Iterator[dict[str, Any]]:
    """The settings of a server whose upstream neither makes nor refuses connections, for so long."""
    with socket.socket() as full, ExitStack() as stack:
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        address = full.getsockname()
        for _ in range(8):
            one = stack.enter_context(socket.socket())
            one.setblocking(False)
            one.connect_ex(address)
        yield {"upstream_base_url": f"http://127.0.0.1:{address[1]}", "connect_timeout_seconds": seconds}


async def test_a_provider_that_takes_no_connection_costs_nothing(scene: Any, wire: Any) -> None:
    """Whoever waits for it to come back must not find the day's budget spent."""
    with full_backlog(0.3) as server:
        await scene.begin(cent(wire), server=server, **budget("1"))
        for _ in range(2):
            assert status(await post(scene, wire, body())) == 504
    assert charged(scene) == (0.0, 0.0)


async def test_who_leaves_before_there_is_a_connection_pays_nothing(scene: Any, wire: Any) -> None:
    with full_backlog(60) as server:
        await scene.begin(cent(wire), server=server, **budget("1"))
        line = await scene.connect()
        await line.send(wire.request(body(), MINE))
        await asyncio.sleep(0.2)  # it waits for a connection by then, or it pays nothing anyway
        await line.close()
        row = await scene.row()
    assert (row["status"], row["end_reason"]) == ("cancelled", "client_gone")
    assert charged(scene) == (0.0, 0.0)
