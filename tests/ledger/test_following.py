"""Reading on, scrape by scrape, against reading everything anew."""

from __future__ import annotations

import sqlite3
import tempfile
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule
from sqlalchemy.engine import URL

from ledger.cost import price_request
from ledger.cycle import Cycle, Reading, current, cycles_of
from ledger.estimates import Estimates
from ledger.foreign import micros, moment
from ledger.meters import Meters
from ledger.prices import DAWN, Price, PriceBook
from ledger.quota import PERIOD, QuotaRules, estimate
from ledger.readonly import Reader
from ledger.request_pages import RequestPages
from ledger.request_rows import RequestRows
from ledger.running import SILENT, UNPRICED, RunningRequests
from ledger.store import migrate, parse_url, sqlite_url, writer
from ledger.values import Usage
from ledger.writes import record

RULES = QuotaRules()
ACCOUNTS = ("one", "two", "three")
BEGIN = datetime(2026, 9, 1, 12, tzinfo=UTC)
AUDIT = 1
PAGE = 3
MODELS = st.sampled_from(["m", "m", "dear", "unheard-of"])
COUNTS = st.one_of(st.none(), st.integers(0, 300_000))

TABLES = """
CREATE TABLE request_logs (id INTEGER PRIMARY KEY, account_id TEXT, requested_at DATETIME, model TEXT,
    service_tier TEXT, input_tokens INTEGER, output_tokens INTEGER, cached_input_tokens INTEGER,
    status TEXT, deleted_at DATETIME);
CREATE TABLE usage_history (id INTEGER PRIMARY KEY, account_id TEXT, recorded_at DATETIME, "window" TEXT,
    used_percent FLOAT, reset_at INTEGER, window_minutes INTEGER);
"""


def exhausted(steps: Iterator[None]) -> int:
    """Take all the steps of an audit; how many there were."""
    return sum(1 for _ in steps)


def price_book(cents: int) -> PriceBook:
    prices = [
        Price(m, DAWN, Decimal(cents) / 100, Decimal(10), tiers={"flex": Decimal("0.5")}) for m in ("m",)
    ]
    return PriceBook([*prices, Price("dear", DAWN, Decimal(30), Decimal(180), Decimal(3))])


def text(at: datetime) -> str:
    return at.replace(tzinfo=None).isoformat(" ")


class FollowingIsReadingAnew(RuleBasedStateMachine):
    """Rows come in order, late, and are hidden, deleted and changed; prices change; cycles begin; time goes
    on. After each scrape the estimates are those of all rows read anew."""

    @initialize()
    def begin(self) -> None:
        self.folder = tempfile.TemporaryDirectory()
        path = Path(self.folder.name, "store.db")
        self.store = sqlite3.connect(path, isolation_level=None)
        self.store.executescript(TABLES)
        self.reader = Reader(sqlite_url(path))
        self.pages, self.meters = RequestPages(PAGE, AUDIT), Meters(RULES)
        self.remembered = Estimates(RULES)
        self.now, self.cents, self.reset = BEGIN, 100, BEGIN + timedelta(days=3)

    def teardown(self) -> None:
        if hasattr(self, "store"):
            self.store.close()
            self.folder.cleanup()

    @rule(
        account=st.sampled_from([*ACCOUNTS, None]),
        hours=st.sampled_from([0, 0, 0, 1, 5, 30, 100, 160, 169, 400]),
        model=MODELS,
        tier=st.sampled_from([None, "flex"]),
        counts=st.tuples(COUNTS, COUNTS, COUNTS),
        status=st.sampled_from(["success", "success", "error", "SUCCESS"]),
    )
    def request(
        self, account: str | None, hours: int, model: str, tier: str | None, counts: Any, status: str
    ) -> None:
        at = text(self.now - timedelta(hours=hours))
        row = (account, at, model, tier, *counts, status)
        self.store.execute(
            "INSERT INTO request_logs (account_id, requested_at, model, service_tier, input_tokens,"
            " output_tokens, cached_input_tokens, status) VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            row,
        )

    @rule(
        account=st.sampled_from(ACCOUNTS),
        hours=st.integers(0, 60),
        used=st.integers(0, 100),
        wobble=st.integers(-30, 30),
    )
    def reading(self, account: str, hours: int, used: int, wobble: int) -> None:
        reset_at = int(self.reset.timestamp()) + wobble
        row = (account, text(self.now - timedelta(hours=hours)), used, reset_at)
        self.store.execute(
            'INSERT INTO usage_history (account_id, recorded_at, "window", used_percent, reset_at,'
            " window_minutes) VALUES (?, ?, 'secondary', ?, ?, 10080)",
            row,
        )

    @rule(hours=st.sampled_from([0, 1, 20, 90]))
    def time_goes_on(self, hours: int) -> None:
        self.now += timedelta(hours=hours, seconds=1)
        if self.now >= self.reset:
            self.reset += timedelta(days=7)

    @rule(cents=st.sampled_from([100, 250]))
    def a_price_changes(self, cents: int) -> None:
        self.cents = cents

    @rule()
    def scrape(self) -> None:
        assert self.followed() == self.anew()

    @rule(
        what=st.sampled_from(["hide", "delete", "change", "delete reading", "delete account"]), data=st.data()
    )
    def a_row_is_lost_or_changed(self, what: str, data: st.DataObject) -> None:
        self.followed()
        table = "usage_history" if what == "delete reading" else "request_logs"
        ids = [row[0] for row in self.store.execute(f"SELECT id FROM {table}")]
        if not ids:
            return
        id = data.draw(st.sampled_from(ids))
        change = {
            "hide": f"UPDATE request_logs SET deleted_at = 'x' WHERE id = {id}",
            "delete": f"DELETE FROM request_logs WHERE id = {id}",
            "change": f"UPDATE request_logs SET output_tokens = ifnull(output_tokens, 0) + 7 WHERE id = {id}",
            "delete reading": f"DELETE FROM usage_history WHERE id = {id}",
            "delete account": "DELETE FROM request_logs WHERE account_id = 'one'",
        }
        self.store.execute(change[what])
        with self.reader.reading() as connection:
            exhausted(self.pages.audit(connection))
            exhausted(self.meters.audit(connection, micros(self.now)))
        assert self.followed() == self.anew()

    def followed(self) -> dict[str, str]:
        """Every account's estimate as text: NaN equals itself there."""
        at = micros(self.now)
        with self.reader.reading() as connection:
            self.pages.refresh(connection, price_book(self.cents), at)
            self.meters.refresh(connection, ACCOUNTS, at)
        return {
            account: repr(self.remembered.of(account, self.cycle(account), self.pages.of(account), at))
            for account in (*ACCOUNTS, "unknown")
        }

    def cycle(self, account: str) -> Cycle | None:
        return self.meters.shown(account, micros(self.now)).cycle

    def anew(self) -> dict[str, str]:
        requests = {account: RunningRequests() for account in (*ACCOUNTS, "unknown")}
        for row in self.store.execute(
            "SELECT account_id, requested_at, model, service_tier, input_tokens, output_tokens,"
            " cached_input_tokens, status FROM request_logs WHERE deleted_at IS NULL"
        ):
            requests[row[0] or "unknown"].add(micros(row[1]), self.cost(*row[1:]))
        at = micros(self.now)
        return {a: repr(estimate(self.cycle_anew(a), rows, at, RULES)) for a, rows in requests.items()}

    def cost(
        self, at: str, model: str, tier: str | None, input: Any, output: Any, cached: Any, status: str
    ) -> int:
        usage = Usage(input, output, cached)
        usd = price_request(price_book(self.cents), model, usage, moment(micros(at)), tier)
        if isinstance(usd, Decimal):
            return int(usd * 10**12)
        metered = input is not None and output is not None
        return UNPRICED if metered or status.lower() == "success" else SILENT

    def cycle_anew(self, account: str) -> Cycle | None:
        rows = self.store.execute(
            "SELECT recorded_at, used_percent, reset_at FROM usage_history WHERE account_id = ?", [account]
        )
        return current(cycles_of(Reading(micros(at), used, reset, 10_080) for at, used, reset in rows))


FollowingIsReadingAnew.TestCase.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
TestFollowingIsReadingAnew = FollowingIsReadingAnew.TestCase


def refresh(pages: RequestPages, reader: Reader, now: datetime) -> None:
    with reader.reading() as connection:
        pages.refresh(connection, price_book(100), micros(now))


def test_a_refresh_fetches_no_more_rows_of_a_long_history_than_of_a_short_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fetched: list[int] = []
    page = RequestRows.page

    def counted(self: RequestRows, low: int, high: int | None, most: int) -> Any:
        found = page(self, low, high, most)
        fetched.append(len(found))
        return found

    monkeypatch.setattr(RequestRows, "page", counted)
    steady = {}
    for days in (10, 100):
        path = tmp_path / f"{days}.db"
        store = sqlite3.connect(path, isolation_level=None)
        store.executescript(TABLES)
        store.executemany(
            "INSERT INTO request_logs (account_id, requested_at, model, input_tokens, output_tokens, status)"
            " VALUES ('one', ?, 'm', 1, 1, 'success')",
            [(text(BEGIN - timedelta(hours=hour)),) for hour in reversed(range(days * 24))],
        )
        pages, reader = RequestPages(PAGE, AUDIT), Reader(sqlite_url(path))
        refresh(pages, reader, BEGIN)
        assert sum(fetched) < 8 * 24  # the last seven days, and an hour
        store.execute(
            "INSERT INTO request_logs SELECT max(id) + 1, 'one', ?, 'm', NULL, 1, 1, 1, 'success', NULL"
            " FROM request_logs",
            [text(BEGIN)],
        )
        fetched.clear()
        refresh(pages, reader, BEGIN)
        steady[days] = sum(fetched)
        fetched.clear()
        store.close()
        assert pages.of("one").since(micros(BEGIN) - PERIOD).priced == 7 * 24 + 2
    assert 0 < steady[10] == steady[100] <= PAGE


def test_what_is_lost_in_one_place_makes_an_audit_look_everywhere(tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    store = sqlite3.connect(path, isolation_level=None)
    store.executescript(TABLES)
    store.executemany(
        "INSERT INTO request_logs (account_id, requested_at, model, input_tokens, output_tokens, status)"
        " VALUES (?, ?, 'm', 1, 1, 'success')",
        [(("one", "two")[n % 2], text(BEGIN - timedelta(hours=100 - n))) for n in range(100)],
    )
    pages, reader = RequestPages(PAGE, AUDIT), Reader(sqlite_url(path))
    refresh(pages, reader, BEGIN)
    assert (pages.of("one").since(0).priced, pages.of("two").since(0).priced) == (50, 50)
    store.execute("DELETE FROM request_logs WHERE account_id = 'one'")
    with reader.reading() as connection:
        assert not pages.in_doubt
        steps = pages.audit(connection)
        next(steps)
        assert pages.in_doubt
        taken = exhausted(steps)
        assert not pages.in_doubt
    assert taken >= 100 // PAGE - 1  # and once more all of them, since the last one that had lost something
    refresh(pages, reader, BEGIN)
    assert (pages.of("one").since(0).priced, pages.of("two").since(0).priced) == (0, 50)
    store.close()


def test_where_nothing_is_lost_an_audit_is_one_turn_from_where_it_was_left_off(tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    store = sqlite3.connect(path, isolation_level=None)
    store.executescript(TABLES)
    store.executemany(
        "INSERT INTO request_logs (requested_at, model, status) VALUES (?, 'm', 'error')",
        [(text(BEGIN - timedelta(hours=1)),)] * (10 * PAGE),
    )
    pages, reader = RequestPages(PAGE, AUDIT), Reader(sqlite_url(path))
    refresh(pages, reader, BEGIN)
    with reader.reading() as connection:
        assert exhausted(pages.audit(connection)) == 10
        begun = pages.audit(connection)
        for _ in range(4):
            next(begun)
        store.execute(f"DELETE FROM request_logs WHERE id = {5 * PAGE}")  # of the fifth page
        rest = pages.audit(connection)
        next(rest)
        assert pages.in_doubt
    store.close()


def test_a_store_without_requests_in_seven_days_is_followed_from_its_end(tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    store = sqlite3.connect(path, isolation_level=None)
    store.executescript(TABLES)
    insert = "INSERT INTO request_logs (account_id, requested_at, model, input_tokens, output_tokens, status)"
    insert += " VALUES ('one', ?, 'm', 1, 1, 'success')"
    store.executemany(insert, [(text(BEGIN - timedelta(days=30)),)] * 100)
    pages, reader = RequestPages(PAGE, AUDIT), Reader(sqlite_url(path))
    refresh(pages, reader, BEGIN)
    assert pages.of("one").since(0).priced == 0
    store.executemany(insert, [(text(BEGIN),)] * 2)
    refresh(pages, reader, BEGIN)
    assert pages.of("one").since(0).priced == 2
    store.close()


def test_postgresql_is_followed_too(postgres_url: URL, make_event: Any) -> None:
    engine = writer(postgres_url)
    migrate(engine)
    pages, reader = RequestPages(PAGE, AUDIT), Reader(parse_url(postgres_url.render_as_string(False)))
    now = datetime.now(UTC)
    for number in range(1, 12):
        with engine.begin() as connection:
            record(
                connection, [make_event(account_id="one", model="m", requested_at=now, usage=Usage(10, 1))]
            )
        refresh(pages, reader, now)
        assert pages.of("one").since(0).priced == number
    reader.close()
    engine.dispose()
