"""Reading on, scrape by scrape, against reading everything again."""

from __future__ import annotations

import sqlite3
import tempfile
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import psycopg
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule
from sqlalchemy.engine import URL

from ledger.columns import moment
from ledger.pricing.cost import price_request
from ledger.pricing.prices import DAWN, Card, Price, PriceBook, Rates, flat
from ledger.quota.cycle import Cycle, Reading, current, cycles_of
from ledger.quota.estimate import PERIOD, Estimates, QuotaRules, estimate
from ledger.quota.running import SILENT, UNPRICED, RunningRequests
from ledger.reader.foreign import micros
from ledger.reader.meters import Meters
from ledger.reader.readonly import Reader
from ledger.reader.recent_requests import RequestPages
from ledger.reader.requests import RequestRows
from ledger.requests.writes import record
from ledger.store import migrate, parse_url, sqlite_url, writer
from ledger.values import Usage
from tests.support.examples import examples

pytestmark = pytest.mark.slow

RULES = QuotaRules()
ACCOUNTS = ("one", "two", "three")
BEGIN = datetime(2026, 9, 1, 12, tzinfo=UTC)
AUDIT = 1
PAGE = 3
MODELS = st.sampled_from(["m", "m", "dear", "unheard-of"])
COUNTS = st.one_of(st.none(), st.integers(0, 300_000))

HUGE = (10**13, 2**62)
POISON: dict[str, tuple[Any, ...]] = {
    "account_id": (b"one",),
    "requested_at": (None, "yesterday", "2026-09-31 25:00:00", 5, b"2026"),
    "model": (b"m",),
    "input_tokens": ("anna@example.com", float("inf"), *HUGE),
    "output_tokens": ("x", float("inf"), *HUGE),
    "cached_input_tokens": ("x",),
}
"""Values that SQLite keeps in such a column; a huge count is a number, and its cost is none."""

POISONED_READING: dict[str, tuple[Any, ...]] = {
    "recorded_at": (None, "yesterday", 5),
    "used_percent": (float("inf"), "anna@example.com", 1e9),
    "reset_at": ("soon", 0, -(10**15), 10**13),
    "window_minutes": ("x", 0, -5, 10**12),
}
COLUMNS: tuple[str, ...] = (
    "account_id",
    "requested_at",
    "model",
    "service_tier",
    "input_tokens",
    "output_tokens",
)
COLUMNS += ("cached_input_tokens", "status")
READ = ("recorded_at", "used_percent", "reset_at", "window_minutes")

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
    half = Card(Rates(Decimal(cents) / 200, Decimal(5)))
    plain = Price("m", DAWN, Card(Rates(Decimal(cents) / 100, Decimal(10))), tiers={"flex": half})
    return PriceBook([plain, flat("dear", DAWN, Decimal(30), Decimal(180), Decimal(3))])


def text(at: datetime) -> str:
    return at.replace(tzinfo=None).isoformat(" ")


class FollowingIsReadingAnew(RuleBasedStateMachine):
    """Rows come in order, late, and are hidden, deleted and changed; prices change; cycles begin; time goes
    on. After each scrape the estimates are those of all rows read again."""

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
        at = max(self.now - timedelta(hours=hours), self.reset - timedelta(days=7))
        row = (account, text(at), used, reset_at)
        self.store.execute(
            'INSERT INTO usage_history (account_id, recorded_at, "window", used_percent, reset_at,'
            " window_minutes) VALUES (?, ?, 'secondary', ?, ?, 10080)",
            row,
        )

    @rule(column=st.sampled_from(sorted(POISON)), data=st.data())
    def a_request_that_nobody_can_read(self, column: str, data: st.DataObject) -> None:
        good = {"account_id": "one", "requested_at": text(self.now), "model": "m", "input_tokens": 5}
        good |= {"output_tokens": 5, "cached_input_tokens": 0, "status": "success"}
        names, values = zip(
            *{**good, column: data.draw(st.sampled_from(POISON[column]))}.items(), strict=True
        )
        marks = ", ".join("?" * len(names))
        self.store.execute(f"INSERT INTO request_logs ({', '.join(names)}) VALUES ({marks})", values)

    @rule(column=st.sampled_from(sorted(POISONED_READING)), data=st.data())
    def a_reading_that_nobody_can_read(self, column: str, data: st.DataObject) -> None:
        good = {"account_id": "one", "recorded_at": text(self.now), "window": "secondary", "used_percent": 50}
        good |= {"reset_at": int(self.reset.timestamp()), "window_minutes": 10_080}
        value = data.draw(st.sampled_from(POISONED_READING[column]))
        names, values = zip(*{**good, column: value}.items(), strict=True)
        columns = ", ".join(f'"{name}"' for name in names)
        self.store.execute(f"INSERT INTO usage_history ({columns}) VALUES (?, ?, ?, ?, ?, ?)", values)

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
        assert self.followed() == self.recounted()

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
        assert self.followed() == self.recounted()

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

    def recounted(self) -> dict[str, str]:
        requests = {account: RunningRequests() for account in (*ACCOUNTS, "unknown")}
        for row in self.store.execute(
            "SELECT account_id, requested_at, model, service_tier, input_tokens, output_tokens,"
            " cached_input_tokens, status FROM request_logs WHERE deleted_at IS NULL"
        ):
            poisoned = [v for n, v in zip(COLUMNS, row, strict=True) if v in POISON.get(n, ())]
            if any(value not in HUGE for value in poisoned):
                continue
            requests[row[0] or "unknown"].add(micros(row[1]), self.cost(*row[1:]))
        at = micros(self.now)
        return {a: repr(estimate(self.cycle_anew(a), rows, at, RULES)) for a, rows in requests.items()}

    def cost(
        self, at: str, model: str, tier: str | None, input: Any, output: Any, cached: Any, status: str
    ) -> int:
        usage = Usage(input, output, cached)
        usd = price_request(price_book(self.cents), model, usage, moment(micros(at)), tier)
        if isinstance(usd, Decimal):
            return int(usd * 10**12) if usd < 10**6 else UNPRICED
        metered = input is not None and output is not None
        return UNPRICED if metered or status.lower() == "success" else SILENT

    def cycle_anew(self, account: str) -> Cycle | None:
        rows = self.store.execute(
            "SELECT recorded_at, used_percent, reset_at, window_minutes FROM usage_history"
            " WHERE account_id = ?",
            [account],
        )
        good = (
            row
            for row in rows
            if not any(v in POISONED_READING.get(n, ()) for n, v in zip(READ, row, strict=True))
        )
        return current(cycles_of(Reading(micros(at), used, reset, 10_080) for at, used, reset, _ in good))


FollowingIsReadingAnew.TestCase.settings = settings(examples(60), stateful_step_count=40)
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


INSERT = (
    "INSERT INTO request_logs (account_id, requested_at, model, input_tokens, output_tokens, status)"
    " VALUES ('one', ?, 'm', ?, 1, 'success')"
)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[tuple[sqlite3.Connection, Reader]]:
    """An empty store: as its owner, and as we read it."""
    path = tmp_path / "store.db"
    with closing(sqlite3.connect(path, isolation_level=None)) as owner:
        owner.executescript(TABLES)
        yield owner, Reader(sqlite_url(path))


@pytest.mark.parametrize("poison", [10**13, 2**62, float("inf"), "x"])
def test_a_row_that_cannot_be_priced_costs_nothing_however_often_it_is_seen(
    store: tuple[sqlite3.Connection, Reader], poison: Any
) -> None:
    owner, reader = store
    pages = RequestPages(PAGE, AUDIT)
    owner.executemany(INSERT, [(text(BEGIN), 1_000_000)] * 2)
    refresh(pages, reader, BEGIN)
    each = pages.of("one").since(0).pico // 2
    owner.execute(INSERT, (text(BEGIN), poison))
    for number in range(3, 3 + 2 * PAGE):
        refresh(pages, reader, BEGIN)
        sums = pages.of("one").since(0)
        assert (sums.pico, sums.priced) == ((number - 1) * each, number - 1)
        assert (sums.unpriced, pages.unreadable) in {(1, ()), (0, (3,))}
        owner.execute(INSERT, (text(BEGIN), 1_000_000))
    owner.execute("DELETE FROM request_logs WHERE id = 3")
    with reader.reading() as connection:
        exhausted(pages.audit(connection))
    refresh(pages, reader, BEGIN)
    sums = pages.of("one").since(0)
    assert (sums.pico, sums.unpriced, pages.unreadable) == ((2 + 2 * PAGE) * each, 0, ())


def test_a_row_that_is_mended_counts_from_then_on(store: tuple[sqlite3.Connection, Reader]) -> None:
    owner, reader = store
    pages = RequestPages(PAGE, AUDIT)
    owner.execute(INSERT, ("yesterday", 1))
    owner.executemany(INSERT, [(text(BEGIN), 1)] * (3 * PAGE))
    refresh(pages, reader, BEGIN)
    assert (pages.unreadable, pages.of("one").since(0).priced) == ((1,), 3 * PAGE)
    owner.execute("UPDATE request_logs SET requested_at = ? WHERE id = 1", [text(BEGIN)])
    with reader.reading() as connection:
        exhausted(pages.audit(connection))
    refresh(pages, reader, BEGIN)
    assert (pages.unreadable, pages.of("one").since(0).priced) == ((), 3 * PAGE + 1)


@pytest.mark.parametrize("rows", [5, 9, 10, 30])
def test_a_store_that_was_put_in_place_of_another_is_read_anew_at_once(
    store: tuple[sqlite3.Connection, Reader], rows: int
) -> None:
    owner, reader = store
    pages = RequestPages(PAGE, AUDIT)
    owner.executemany(INSERT, [(text(BEGIN - timedelta(hours=10 - n)), 1) for n in range(10)])
    refresh(pages, reader, BEGIN)
    owner.execute("DELETE FROM request_logs")
    owner.executemany(INSERT, [(text(BEGIN - timedelta(hours=9, minutes=n)), 2) for n in range(rows)])
    refresh(pages, reader, BEGIN)
    assert pages.of("one").since(0).priced == rows
    assert not pages.of("one").any_between(micros(BEGIN - timedelta(hours=8)), micros(BEGIN))


def test_an_earlier_state_of_the_same_store_is_read_anew_too(
    store: tuple[sqlite3.Connection, Reader],
) -> None:
    """Most of what was read last is there still, so only the ids tell."""
    owner, reader = store
    pages = RequestPages(PAGE, AUDIT)
    owner.executemany(INSERT, [(text(BEGIN), 1)] * 10)
    second = owner.execute("SELECT * FROM request_logs WHERE id = 2").fetchone()
    owner.execute("DELETE FROM request_logs WHERE id = 2")
    refresh(pages, reader, BEGIN)
    owner.execute(f"INSERT INTO request_logs VALUES ({', '.join('?' * len(second))})", second)
    owner.execute("DELETE FROM request_logs WHERE id = 10")
    refresh(pages, reader, BEGIN)
    assert pages.of("one").since(0).priced == 9


def test_a_tier_in_capitals_counts_and_an_empty_one_hides_none(tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    with closing(sqlite3.connect(path, isolation_level=None)) as owner:
        owner.executescript(TABLES)
        owner.execute("ALTER TABLE request_logs ADD COLUMN actual_service_tier TEXT")
        for at, (actual, requested) in enumerate([("", "FLEX"), (None, "flex"), ("Flex", "x"), ("", "")]):
            owner.execute(INSERT, (text(BEGIN - timedelta(hours=at)), 1_000_000))
            tiers = "UPDATE request_logs SET actual_service_tier = ?, service_tier = ? WHERE id = ?"
            owner.execute(tiers, (actual, requested, at + 1))
    pages = RequestPages()
    refresh(pages, Reader(sqlite_url(path)), BEGIN)
    hour = timedelta(hours=1)
    costs = [
        pages.of("one").between(micros(BEGIN - n * hour), micros(BEGIN - n * hour) + 1) for n in range(4)
    ]
    assert costs[0] == costs[1] == costs[2]
    assert costs[3].pico == 2 * costs[0].pico > 0


@pytest.mark.parametrize("missing", ["input_tokens", "cached_input_tokens", "reasoning_tokens", "deleted_at"])
def test_a_foreign_postgresql_is_followed_page_by_page_whatever_columns_it_lacks(
    postgres_url: URL, missing: str
) -> None:
    """A page that is read again goes by its digest, a sum over columns that may not be there."""
    kinds = {"account_id": "text", "requested_at": "timestamp", "model": "text", "status": "text"}
    counts = ("input_tokens", "output_tokens", "cached_input_tokens", "reasoning_tokens")
    kinds |= dict.fromkeys(counts, "integer") | {"deleted_at": "timestamp"}
    columns = ", ".join(f"{name} {kind}" for name, kind in kinds.items() if name != missing)
    with psycopg.connect(
        host=str(postgres_url.query["host"]), user="ledger", dbname="postgres", autocommit=True
    ) as server:
        server.execute(f"CREATE TABLE request_logs (id serial PRIMARY KEY, {columns})")
        insert = (
            "INSERT INTO request_logs (account_id, requested_at, model, output_tokens, status)"
            " VALUES ('one', %s, 'm', 1, 'success')"
        )
        reader, pages = Reader(postgres_url), RequestPages(PAGE, AUDIT)
        for number in range(1, 12):
            server.execute(insert, [BEGIN.replace(tzinfo=None)])
            refresh(pages, reader, BEGIN)
            assert pages.of("one").since(0).unpriced == number
        server.execute(insert, ["infinity"])
        server.execute("DELETE FROM request_logs WHERE id = 5")
        refresh(pages, reader, BEGIN)
        with reader.reading() as connection:
            exhausted(pages.audit(connection))
        assert pages.of("one").since(0).unpriced == 10
        assert pages.unreadable == (12,)
        reader.close()
