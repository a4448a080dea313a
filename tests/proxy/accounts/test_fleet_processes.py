"""Several processes on one ledger, before twenty accounts in every trouble: the provider's log has the last
word. What one process learns, and what a person decides, all of them follow within two seconds."""

from __future__ import annotations

import asyncio
import json
import os
import socket
import sys
from asyncio.subprocess import PIPE, Process
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from time import time
from typing import Any

import aiohttp
import pytest
import uvloop
from sqlalchemy import FromClause, select

from ledger import store
from ledger.schema import account_audit, accounts, request_logs
from tests.support.fleet.accounts import ProviderAccount
from tests.support.fleet.attempts import Attempt, attempts
from tests.support.fleet.calls import PATH, Call, call_all
from tests.support.fleet.judging import (
    Delay,
    asked_too_late,
    asked_too_often,
    counted,
    expected,
    failed,
    summed,
    within,
)
from tests.support.fleet.twenty import TROUBLES, TWENTY, tables
from tests.support.fleet.upstream import AccountsUpstream, Book, serve_accounts

ENVIRON = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[3])}
PATIENCE = 60.0
SECONDS = 2.0
"""After which every process knows what one of them learnt."""

MOST, CALLERS = 50_000, 24
PAUSED = "steady-pro"
OVER = {
    "dead-from-the-start": "reauth_required",
    "login-ends": "reauth_required",
    "deactivated": "deactivated",
    "suspended": "deactivated",
}
"""How the ledger has accounts in the end that are no more."""

GONE = OVER.keys() | {"credit", "week-pro", "week-free"}
"""Accounts that do not come back while a test runs."""


@dataclass(frozen=True)
class Fleet:
    """Two processes on one ledger.

    Attributes:
        origins: where they listen: each at its own, or both at one.
        config: the file that they read.
        pids: the processes that serve.
    """

    origins: Sequence[str]
    config: Path
    pids: Sequence[int]

    async def act(self, action: str, account: str) -> float:
        """What a person does by command; returns when the command says that it is done, in epoch seconds."""
        command = (sys.executable, "-m", "ledger", "accounts", action, account, "--config", self.config)
        process = await asyncio.create_subprocess_exec(*command, env=ENVIRON, stdout=PIPE)
        await process.communicate()
        done = time()
        assert process.returncode == 0
        return done

    def rows(self, table: FromClause) -> list[Any]:
        """All rows of a table of the ledger."""
        engine = store.reader(store.sqlite_url(self.config.with_name("usage.db")))
        try:
            with engine.connect() as connection:
                return list(connection.execute(select(table)))
        finally:
            engine.dispose()

    def cpu_ticks(self) -> list[int]:
        """What each process has worked so far."""
        stats = (Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split() for pid in self.pids)
        return [int(fields[11]) + int(fields[12]) for fields in stats]


@asynccontextmanager
async def programs(
    folder: Path, provider: str, described: Mapping[str, Mapping[str, Any]]
) -> AsyncIterator[Fleet]:
    """Two programs, each with a port of its own."""
    config = _config(folder, provider, described, listen_addr="127.0.0.1:0")
    async with _running(config) as one, _running(config) as other:
        origins = [await _origin(one, config), await _origin(other, config)]
        yield Fleet(origins, config, [one.pid, other.pid])


@asynccontextmanager
async def workers(
    folder: Path, provider: str, described: Mapping[str, Mapping[str, Any]]
) -> AsyncIterator[Fleet]:
    """One program with two workers behind one port."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    config = _config(folder, provider, described, listen_addr=f"127.0.0.1:{port}", workers=2)
    async with _running(config) as one:
        origin, _ = await _origin(one, config), await _origin(one, config)
        children = Path(f"/proc/{one.pid}/task/{one.pid}/children").read_text().split()
        yield Fleet([origin], config, [int(child) for child in children])


DELAYS: Mapping[Any, Delay] = {
    programs: within(SECONDS),
    workers: within(SECONDS, known_apart=False),
}


def _config(
    folder: Path, provider: str, described: Mapping[str, Mapping[str, Any]], **server: object
) -> Path:
    document: dict[str, Mapping[str, Any]] = {
        "server": {"upstream_base_url": provider, **server},
        "storage": {"database_path": str(folder / "usage.db")},
        "routing": {
            "token_url": f"{provider}/oauth/token",
            "poll_seconds": 0.0,
            "snapshot_refresh_seconds": 300.0,  # what is not told as news comes too late
        },
        **{f"accounts.{name}": account for name, account in described.items()},
    }
    lines: list[str] = []
    for table, values in document.items():
        lines += [f"[{table}]", *(f"{key} = {json.dumps(value)}" for key, value in values.items())]
    config = folder / "codex-usage.toml"
    config.write_text("\n".join(lines), encoding="utf-8")
    return config


@asynccontextmanager
async def _running(config: Path) -> AsyncIterator[Process]:
    command = (sys.executable, "-m", "proxy", "--config", config)
    with config.with_name("log").open("a") as log:
        process = await asyncio.create_subprocess_exec(*command, env=ENVIRON, stdout=PIPE, stderr=log)
    try:
        yield process
        process.terminate()
        async with asyncio.timeout(PATIENCE):
            assert await process.wait() == 0
    finally:
        with suppress(ProcessLookupError):
            process.kill()
        await process.communicate()


async def _origin(process: Process, config: Path) -> str:
    """Where a process says that it listens."""
    assert process.stdout is not None
    async with asyncio.timeout(PATIENCE):
        told = (await process.stdout.readline()).decode()
    assert told.startswith("proxy: http://"), config.with_name("log").read_text()
    return told.removeprefix("proxy: ").partition("/v1 ->")[0]


@dataclass(frozen=True)
class Run:
    """What everybody remembers of a run.

    Attributes:
        delay: how long a process may not know what another one learnt.
        samples: the metrics, summed over the processes.
        worked: what each process did, in ticks of CPU time.
        paused: from when until when an account was paused, in epoch seconds.
    """

    delay: Delay
    fleet: Fleet
    book: Book
    calls: Sequence[Call]
    attempts: Sequence[Attempt]
    samples: Mapping[str, float]
    worked: Sequence[int]
    paused: tuple[float, float]


@pytest.fixture(scope="module", params=[programs, workers], ids=["programs", "workers"])
def run(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """One run of each kind, which all tests look at."""
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(_run(request.param, tmp_path_factory.mktemp("fleet")))


async def _run(processes: Any, folder: Path) -> Run:
    async with serve_accounts(TWENTY) as provider:
        async with processes(folder, provider.origin, tables(TWENTY, folder, provider.origin)) as fleet:
            before = fleet.cpu_ticks()
            calls, paused = await _called(fleet, provider)
            tried = attempts(provider.book.entries, calls)
            worked = [after - n for after, n in zip(fleet.cpu_ticks(), before, strict=True)]
            samples = await _settled(fleet.origins, expected(tried, TWENTY))
        return Run(DELAYS[processes], fleet, provider.book, calls, tried, samples, worked, paused)


async def _called(fleet: Fleet, provider: AccountsUpstream) -> tuple[list[Call], tuple[float, float]]:
    """Callers at the first address; at the others not before what was learnt there must be known to all.
    Returns the calls, and from when until when an account was paused, in epoch seconds."""
    first, *others = fleet.origins
    stop = asyncio.Event()
    how: dict[str, Any] = {"callers": CALLERS // len(fleet.origins), "stop": stop}
    async with asyncio.TaskGroup() as group:
        asking = [group.create_task(call_all(first, MOST, name="first", **how))]
        await _until(lambda: _refused(provider) >= GONE)
        if others:
            await asyncio.sleep(SECONDS)
        asking += [group.create_task(call_all(origin, MOST, name="later", **how)) for origin in others]
        await _all_use(PAUSED, fleet, provider)
        since = await fleet.act("pause", PAUSED)
        await asyncio.sleep(SECONDS + 0.5)
        until = time()
        await fleet.act("resume", PAUSED)
        await _all_use(PAUSED, fleet, provider)
        stop.set()
    return [call for task in asking for call in task.result()], (since, until)


async def _all_use(account: str, fleet: Fleet, provider: AccountsUpstream) -> None:
    """Wait until requests to every address have used an account from now on."""
    before = len(provider.book.entries)

    def callers() -> set[str]:
        entries = provider.book.entries[before:]
        return {entry.request_id.partition("-")[0] for entry in entries if entry.account == account}

    await _until(lambda: len(callers()) == len(fleet.origins))


def _refused(provider: AccountsUpstream) -> set[str]:
    """The accounts that have said that they are no more, or have no quota for long."""
    refused = {entry.account for entry in provider.book.entries if entry.away_until > time() + PATIENCE}
    return refused | {refresh.account for refresh in provider.book.refreshes if not refresh.granted}


async def _settled(origins: Iterable[str], wanted: Mapping[str, float]) -> Mapping[str, float]:
    """The sum of all scrapes, as soon as it is what is wanted, or else the last one."""
    deadline = time() + 10
    async with aiohttp.ClientSession() as session:
        while True:
            total = summed([await _text(session, f"{origin}/metrics") for origin in origins])
            if counted(total) == wanted or time() > deadline:
                return total
            await asyncio.sleep(0.1)


async def _text(session: aiohttp.ClientSession, url: str) -> str:
    async with session.get(url) as answer:
        return await answer.text()


async def _until(true: Callable[[], object]) -> None:
    deadline = time() + PATIENCE
    while not true():
        assert time() < deadline, "what was awaited does not come"
        await asyncio.sleep(0.05)


def test_every_process_takes_requests(run: Run) -> None:
    """Idle ones do next to nothing."""
    assert len(run.worked) == 2
    assert min(run.worked) > 0.05 * sum(run.worked)


def test_every_trouble_was_met_that_all_must_know_of(run: Run) -> None:
    """Without it the other tests would prove little."""
    met = {attempt.code for attempt in run.attempts}
    assert met >= set(TROUBLES)


def test_no_request_fails_while_an_account_can_answer(run: Run) -> None:
    assert failed(run.attempts, run.calls) == []


def test_no_account_is_asked_when_its_trouble_is_known_everywhere(run: Run) -> None:
    assert asked_too_late(run.attempts, run.delay) == []


def test_no_request_is_tried_too_often(run: Run) -> None:
    assert asked_too_often(run.attempts) == []


def test_the_marks_that_the_ledger_keeps_hold_in_every_process(run: Run) -> None:
    marked = {
        row.account_id: row.at.timestamp()
        for row in run.fleet.rows(account_audit)
        if row.to_status in ("deactivated", "reauth_required")
    }
    assert marked.keys() == OVER.keys()
    later = {name: [a for a in run.attempts if a.not_before > at + SECONDS] for name, at in marked.items()}
    assert all(later.values())
    assert [a for name, those in later.items() for a in those if a.account == name] == []


def test_an_account_that_a_person_pauses_is_left_alone_by_all(run: Run) -> None:
    since, until = run.paused
    meanwhile = [a for a in run.attempts if a.not_before > since + SECONDS and a.asked_at < until]
    assert {a.call.origin for a in meanwhile} == set(run.fleet.origins)
    assert [a for a in meanwhile if a.account == PAUSED] == []


def test_the_processes_renew_logins_together(run: Run) -> None:
    """A refresh token works once: what one process got for it, the others use."""
    granted = Counter(refresh.account for refresh in run.book.refreshes if refresh.granted)
    assert granted["login-ends"] == 1
    assert {refresh.account for refresh in run.book.refreshes if not refresh.granted} == {"login-ends"}


def test_the_sum_of_the_metrics_equals_the_providers_log(run: Run) -> None:
    assert counted(run.samples) == expected(run.attempts, TWENTY)


def test_the_ledger_equals_the_providers_log(run: Run) -> None:
    rows = Counter((r.request_id, r.account_id, r.status == "success") for r in run.fleet.rows(request_logs))
    assert rows == Counter((a.call.request_id, a.account, a.code is None) for a in run.attempts)


def test_the_accounts_end_as_the_provider_has_them(run: Run) -> None:
    ended = {row.id: row.status for row in run.fleet.rows(accounts)}
    assert {name: ended[name] for name in OVER} == OVER
    assert ended["credit"] == "quota_exceeded"
    assert ended[PAUSED] == "active"


async def test_what_a_person_does_holds_everywhere_within_two_seconds(tmp_path: Path) -> None:
    anna = ProviderAccount("anna", "plus")
    async with serve_accounts([anna]) as provider:
        async with programs(tmp_path, provider.origin, tables([anna], tmp_path, provider.origin)) as fleet:
            seconds = {
                "pause": await _followed(fleet, await fleet.act("pause", "anna"), 503),
                "resume": await _followed(fleet, await fleet.act("resume", "anna"), 200),
            }
            attendant = provider.attendants["anna"]
            key = attendant.refresh(attendant.refresh_token)  # another one, from now on
            await _followed(fleet, time(), 503)
            (tmp_path / "anna").write_text(f"{key}\n")
            seconds["reauth"] = await _followed(fleet, await fleet.act("reauth", "anna"), 200)
        done = [(row.action, row.origin, row.to_status) for row in fleet.rows(account_audit)]
    assert {action: took for action, took in seconds.items() if took > SECONDS} == {}
    assert done == [
        ("add", "config", "active"),
        ("pause", "command", "paused"),
        ("resume", "command", "active"),
        ("mark", "proxy", "reauth_required"),
        ("reauth", "command", "active"),
    ]


async def test_a_token_that_another_process_has_used_up_is_no_end(tmp_path: Path) -> None:
    """Each takes the token that the other one got last, and needs a newer one."""
    anna = ProviderAccount("anna", "plus", login=True, token_lives=1)
    async with serve_accounts([anna]) as provider:
        async with programs(tmp_path, provider.origin, tables([anna], tmp_path, provider.origin)) as fleet:
            async with aiohttp.ClientSession() as session:
                statuses = [await _ask(session, origin) for origin in [*fleet.origins] * 3]
    assert statuses == [200] * 6
    assert [refresh.granted for refresh in provider.book.refreshes] == [True] * 5


async def _followed(fleet: Fleet, since: float, status: int) -> float:
    """Seconds since an epoch second until the last of the processes answers with a status."""
    async with aiohttp.ClientSession() as session:
        lasts = await asyncio.gather(*(_last_other(session, origin, status) for origin in fleet.origins))
    return max(lasts) - since


async def _last_other(session: aiohttp.ClientSession, origin: str, status: int) -> float:
    """When the last request was begun that was answered with another status; epoch seconds."""
    last, deadline = 0.0, time() + PATIENCE
    while time() < deadline:
        began = time()
        if await _ask(session, origin) == status:
            return last
        last = began
        await asyncio.sleep(0.02)
    pytest.fail(f"{origin} does not come to answer {status}")


async def _ask(session: aiohttp.ClientSession, origin: str) -> int:
    async with session.post(origin + PATH, json={"model": "gpt-5.5", "input": "hi"}) as answer:
        return answer.status
