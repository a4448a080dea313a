"""Twenty accounts with every trouble there is, behind a real proxy: the provider's log has the last word.

As many requests as fit into `SECONDS`; all 50,000, with a process for each side: `python -m bench fleet`.
"""

from __future__ import annotations

import asyncio
import io
from collections import Counter
from collections.abc import Mapping, Sequence
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
from proxy.service import serving
from settings.model import Settings
from tests.support.fleet.accounts import ProviderAccount
from tests.support.fleet.attempts import Attempt, attempts
from tests.support.fleet.calls import Call, call_all
from tests.support.fleet.judging import asked_too_late, counted, expected, failed
from tests.support.fleet.twenty import STEADY, TROUBLES, TWENTY, tables
from tests.support.fleet.upstream import Book, serve_accounts

MOST, LEAST, SECONDS = 50_000, 5_000, 18.0


@dataclass(frozen=True)
class Run:
    """What everybody remembers of it: the provider, the callers, the proxy's metrics, its ledger."""

    book: Book
    calls: Sequence[Call]
    attempts: Sequence[Attempt]
    samples: Mapping[str, float]
    database: Path

    def rows(self, table: FromClause) -> list[Any]:
        """All rows of a table of the ledger."""
        engine = store.reader(store.sqlite_url(self.database))
        try:
            with engine.connect() as connection:
                return list(connection.execute(select(table)))
        finally:
            engine.dispose()


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """One run, which all tests look at."""
    folder = tmp_path_factory.mktemp("fleet")

    async def run() -> Run:
        async with serve_accounts(TWENTY) as upstream:
            async with serving(_settings(folder, upstream.origin), io.StringIO()) as service:
                origin = f"http://127.0.0.1:{service.port}"
                calls = await call_all(origin, MOST, seconds=SECONDS, least=LEAST)
                service.instruments.deliver()
                samples = _samples(service.instruments.scrape()[0].decode())
            book = upstream.book
        return Run(book, calls, attempts(book.entries, calls), samples, folder / "usage.db")

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(run())


def _settings(folder: Path, origin: str) -> Settings:
    return Settings.model_validate(
        {
            "server": {"listen_addr": "127.0.0.1:0", "upstream_base_url": origin},
            "storage": {"database_path": str(folder / "usage.db")},
            "accounts": tables(TWENTY, folder, origin),
            "routing": {"token_url": f"{origin}/oauth/token", "poll_seconds": 0.0},
        }
    )


def _samples(text: str) -> dict[str, float]:
    pairs = (line.rpartition(" ") for line in text.splitlines() if line and not line.startswith("#"))
    return {name: float(value) for name, _, value in pairs}


def test_every_trouble_was_met(fleet: Run) -> None:
    """Without it the other tests would prove little."""
    met = Counter(attempt.code for attempt in fleet.attempts)
    assert set(met) == {None, *TROUBLES}
    assert len(fleet.calls) >= LEAST
    assert {attempt.account for attempt in fleet.attempts} == {account.id for account in TWENTY}
    renewed = Counter(refresh.account for refresh in fleet.book.refreshes if refresh.granted)
    assert renewed.keys() == {"login-plus", "login-pro", "login-ends"}
    assert renewed["login-ends"] == 1


def test_no_request_fails_while_an_account_can_answer(fleet: Run) -> None:
    assert failed(fleet.attempts, fleet.calls) == []


def test_no_account_is_asked_after_its_mark(fleet: Run) -> None:
    assert asked_too_late(fleet.attempts) == []


def test_nobody_is_asked_with_a_credential_of_no_account(fleet: Run) -> None:
    assert {entry.account for entry in fleet.book.entries} <= {account.id for account in TWENTY}


def test_the_marks_that_the_ledger_keeps_hold_from_their_own_time(fleet: Run) -> None:
    over = {
        row.account_id: row.at.timestamp()
        for row in fleet.rows(account_audit)
        if row.to_status in ("deactivated", "reauth_required")
    }
    assert over.keys() == {"dead-from-the-start", "deactivated", "suspended", "login-ends"}
    late = [a for a in fleet.attempts if a.account in over and a.not_before > over[a.account]]
    assert late == []


def test_the_metrics_equal_the_providers_log(fleet: Run) -> None:
    assert counted(fleet.samples) == expected(fleet.attempts, TWENTY)


def test_refused_tokens_are_counted(fleet: Run) -> None:
    """Each answer of the token address once, however many requests waited for it."""
    refused = sum(not refresh.granted for refresh in fleet.book.refreshes)
    name = 'codex_lb_usage_refresh_failures_total{phase="token",status_code="401"}'
    assert 1 <= refused == fleet.samples[name]


def test_the_ledger_equals_the_providers_log(fleet: Run) -> None:
    rows = Counter((r.request_id, r.account_id, r.status == "success") for r in fleet.rows(request_logs))
    assert rows == Counter((a.call.request_id, a.account, a.code is None) for a in fleet.attempts)


def test_the_accounts_end_as_the_provider_has_them(fleet: Run) -> None:
    ended = {row.id: row.status for row in fleet.rows(accounts)}
    assert {name: ended[name] for name in STEADY} == dict.fromkeys(STEADY, "active")
    spent = {a.account for a in fleet.attempts if a.error_class == "quota"}
    for name in ("week-pro", "week-free", "credit"):  # a week that is told to be full needs no mark
        assert ended[name] == ("quota_exceeded" if name in spent else "active")
    assert "credit" in spent
    assert {ended[name] for name in ("deactivated", "suspended")} == {"deactivated"}
    assert {ended[name] for name in ("dead-from-the-start", "login-ends")} == {"reauth_required"}


def test_a_conversation_moves_only_when_it_must(fleet: Run) -> None:
    """A conversation's next request goes to the account of before, unless that was to be left alone."""
    answered: dict[str, Attempt] = {}
    away: dict[str, float] = {}
    stayed = moved = 0
    for attempt in sorted(fleet.attempts, key=lambda a: a.known_at):
        away[attempt.account] = max(away.get(attempt.account, 0.0), attempt.away_until)
        talk, before = attempt.call.conversation, answered.get(attempt.call.conversation or "")
        if talk is None or attempt.code is not None:
            continue
        if before is not None and before.known_at < attempt.not_before:
            stayed += attempt.account == before.account
            moved += attempt.account != before.account
        answered[talk] = attempt
    assert stayed > 10 * moved


async def test_quota_that_a_provider_gives_anew_is_used_at_once(start_proxy: Any, tmp_path: Path) -> None:
    """Days before the reset that it had named: the poll tells it, and the mark is lifted."""
    one = ProviderAccount("anna", "plus", week=5, login=True)
    async with serve_accounts([one]) as upstream:
        proxy = await start_proxy(
            upstream.origin,
            server={"backend_base_url": upstream.origin},
            accounts=tables([one], tmp_path, upstream.origin),
            routing={"token_url": f"{upstream.origin}/oauth/token", "poll_seconds": 0.2},
        )
        async with aiohttp.ClientSession() as session:
            assert [await _ask(session, proxy) for _ in range(7)] == [200] * 5 + [429] * 2
            upstream.attendants["anna"].give_anew()
            end = time() + 5
            while await _ask(session, proxy) != 200:
                assert time() < end, "the mark stands though there is quota"
                await asyncio.sleep(0.05)


async def _ask(session: aiohttp.ClientSession, proxy: Any) -> int:
    async with session.post(
        proxy.base_url + "/responses", json={"model": "gpt-5.5", "input": "hi"}
    ) as answer:
        return answer.status
