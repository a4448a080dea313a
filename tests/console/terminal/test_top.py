"""The screen: every key, every view, and a ledger that is not as it should be."""

from __future__ import annotations

import asyncio
import re
import sqlite3
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager, closing
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy.engine import URL
from textual.pilot import Pilot
from textual.widgets import Static

from console.terminal.app import Top
from console.terminal.breakdown import DIMENSIONS, UNITS, Breakdown
from console.terminal.dialogs import HelpScreen, QuestionScreen, TextScreen
from console.terminal.source import Source
from console.terminal.view import Look
from console.terminal.words import ASCII, UTF8
from ledger.accounts import audit
from ledger.accounts.pool import read_fleet
from ledger.pricing.prices import PriceBook
from ledger.store import migrate, writer
from settings.load import load
from simulator.history.totals import totals
from tests.console.conftest import Books
from tests.console.terminal.conftest import Told
from tests.support.ledgers import migrated

pytestmark = pytest.mark.slow

Screen = Pilot[None]
Open = Callable[..., AbstractAsyncContextManager[Screen]]
SECRET = "Incorrect key provided: sk-proj-Canary0123456789abcd"
SMALL, LARGE = (80, 24), (160, 50)


@pytest.fixture
def screen() -> Open:
    """Opens the screen on a ledger."""

    @asynccontextmanager
    async def run(
        path: Path, size: tuple[int, int] = SMALL, *, ascii_only: bool = False
    ) -> AsyncIterator[Screen]:
        settings = load(None, {"CODEX_USAGE_DB_PATH": str(path)})
        look = Look(settings.console.zone, ASCII if ascii_only else UTF8, True)
        async with Top(Source(settings), look).run_test(size=size) as pilot:
            yield pilot

    return run


def text(pilot: Screen) -> str:
    """What is on the screen."""
    strips = pilot.app.screen._compositor.render_strips()
    return "\n".join("".join(segment.text for segment in strip).rstrip() for strip in strips)


async def until(pilot: Screen, met: Callable[[], Any]) -> None:
    """Wait until something is on the screen."""
    deadline = time.monotonic() + 20
    while not met():
        assert time.monotonic() < deadline, text(pilot)
        await pilot.pause(0.02)


async def shows(pilot: Screen, *wanted: str) -> None:
    await until(pilot, lambda: all(one in text(pilot) for one in wanted))


def note(pilot: Screen) -> str:
    return str(pilot.app.query_one("#note", Static).render())


def noted(pilot: Screen, wanted: str) -> bool:
    return wanted in note(pilot)


# The overview


async def test_the_overview_is_what_the_simulator_counted(told: Told, screen: Open, book: PriceBook) -> None:
    async with screen(told.path, LARGE) as pilot:
        await shows(pilot, "this month", "acc-")
        month = next(line for line in text(pilot).splitlines() if "this month" in line)
        first = datetime.now(pilot.app.look.zone).replace(day=1, hour=0, minute=0, second=0, microsecond=0)  # type: ignore[attr-defined]
        true = totals((e for e in told.history.events if e.requested_at >= first), book)
        assert f"${true.cost.usd:,.2f}" in month.split()
        newest = sorted(told.history.events, key=lambda event: event.requested_at)[-1]
        ended = newest.requested_at.astimezone(pilot.app.look.zone)  # type: ignore[attr-defined]
        shown = (f"{ended:%H:%M:%S}", f"{ended:%m-%d %H:%M}")  # of today, of an earlier day
        row = next(line for line in text(pilot).splitlines() if any(moment in line for moment in shown))
        assert newest.model is not None
        assert newest.model in row
        assert newest.account_id in row


async def test_requests_appear_as_they_are_stored(books: Books, screen: Open) -> None:
    async with screen(books.path) as pilot:
        await shows(pilot, "no requests yet")
        books.add(1, model="gpt-5.5", ago=timedelta(0))
        await shows(pilot, "gpt-5.5", "1/1")
        books.fail(1, ago=timedelta(0), error_code="rate_limit_exceeded")
        books.add(1, model="nobody-knows-me", ago=timedelta(0))
        await shows(pilot, "!429", "unknown", "1/3")
        await until(pilot, lambda: re.search(r"last hour +\$\S+ +3 +1 ", text(pilot)))


async def test_quota_bars_tell_use_reset_and_pace(
    books: Books, windows: Callable[..., None], screen: Open
) -> None:
    windows("anna", 87.4, 50.0)
    async with screen(books.path, LARGE) as pilot:
        await shows(pilot, "87% resets 2h01m", "empty in", "50% resets 5d22h")
        assert "█" in text(pilot)
    async with screen(books.path, SMALL) as pilot:
        await shows(pilot, "87% 2h01m", "50% 5d22h")


async def test_of_many_accounts_the_fullest_are_shown(
    books: Books, windows: Callable[..., None], screen: Open
) -> None:
    for number in range(20):
        windows(f"account-{number:02}", number, number * 2)
    async with screen(books.path) as pilot:
        await shows(pilot, "account-19", "more accounts: press 4")
        assert "account-00" not in text(pilot)


async def test_scrolling_by_every_key(books: Books, screen: Open) -> None:
    books.add(260)
    async with screen(books.path) as pilot:
        await shows(pilot, "1/100", "12 months")
        page = pilot.app.view.listing.size.height - 2  # type: ignore[attr-defined]
        for key, place in (
            *(("down", 2), ("j", 3), ("k", 2), ("up", 1), ("up", 1)),
            *(("pagedown", 1 + page), ("pageup", 1), ("end", 100)),
        ):
            await pilot.press(key)
            await until(pilot, partial(noted, pilot, f"{place}/"))
        await shows(pilot, "100/200")  # older ones came as the end was near
        await pilot.press("G")
        await shows(pilot, "200/260")
        await pilot.press("home")
        await shows(pilot, "1/260")
        await pilot.press("G", "g")
        await shows(pilot, "1/260")


async def test_new_requests_leave_the_chosen_one_where_it_is(books: Books, screen: Open) -> None:
    books.add(30, model="gpt-5.4")
    async with screen(books.path) as pilot:
        await shows(pilot, "1/30")
        await pilot.press("down", "down", "down")
        listing = pilot.app.view.listing  # type: ignore[attr-defined]
        chosen = listing.chosen.key
        books.add(5, ago=timedelta(0))
        await shows(pilot, "9/35")
        assert listing.chosen.key == chosen


# One request


async def test_enter_opens_a_request_with_its_attempts_and_price(books: Books, screen: Open) -> None:
    books.fail(
        1, ago=timedelta(minutes=2), request_id="same", error_message="Key sk-proj-Canary0123456789abcd"
    )
    books.add(1, request_id="same")
    async with screen(books.path, LARGE) as pilot:
        await shows(pilot, "1/2")
        await pilot.press("enter")
        await shows(pilot, "Attempts: 2", "$2.5 / 1,000,000", "US DOLLARS", "cached input")
        assert isinstance(pilot.app.screen, TextScreen)
        await pilot.press("escape", "down", "enter")
        await shows(pilot, "Failure", "rate_limit_exceeded")
        assert "Canary" not in text(pilot)
        await pilot.press("j", "k", "q")
        assert not isinstance(pilot.app.screen, TextScreen)


async def test_a_request_without_a_price_says_why(books: Books, screen: Open) -> None:
    books.add(1, model="nobody-knows-me")
    async with screen(books.path) as pilot:
        await shows(pilot, "unknown")
        await pilot.press("enter")
        await shows(pilot, "Ended")
        await pilot.press("end")
        await shows(pilot, "no price is known for this model")


# By


async def test_by_every_dimension_and_unit(told: Told, screen: Open, book: PriceBook) -> None:
    async with screen(told.path, LARGE) as pilot:
        await pilot.press("2")
        view = pilot.app.query_one(Breakdown)
        each = [(number, 1) for number in range(len(DIMENSIONS))]
        for number, place in [*each, *((0, place) for place in range(len(UNITS)))]:
            (name, dimension), unit = DIMENSIONS[number], UNITS[place]
            view.choose(number, place)
            await until(pilot, lambda: view._asked)
            bounds = unit.bounds(datetime.now(UTC), view.look.zone)
            meant = [e for e in told.history.events if bounds[0] <= e.requested_at < bounds[-1]]
            assert sum(one.totals.requests for one in view._entries) == len(meant), (name, unit.name)
            assert {one.value for one in view._entries} == {getattr(e, dimension) for e in meant}
            assert sum(one.totals.usd for one in view._entries) == totals(meant, book).cost.usd


async def test_keys_of_the_breakdown(books: Books, screen: Open) -> None:
    books.add(3, model="gpt-5.4", account_id="anna", project="red")
    books.add(9, model="gpt-4o-mini", account_id="ben", project="blue")
    async with screen(books.path) as pilot:
        await pilot.press("2")
        await shows(pilot, "MODEL", "gpt-5.4", "sorted by time")
        view = pilot.app.query_one(Breakdown)
        for key, name in (
            ("d", "account"),
            ("right", "key"),
            ("d", "project"),
            ("D", "key"),
            ("left", "account"),
        ):
            await pilot.press(key)
            assert DIMENSIONS[view.dimension][0] == name
        await shows(pilot, "ACCOUNT", "anna", "ben")
        for key, name in (("u", "week"), ("u", "month"), ("U", "week")):
            await pilot.press(key)
            assert UNITS[view.unit].name == name
        await shows(pilot, f"{datetime.now(view.look.zone):%G-W%V}")
        await pilot.press("s", "s")
        await shows(pilot, "sorted by requests")
        assert view.listing.rows[0].cells[1] == "ben"
        await pilot.press("slash", "a", "n", "n", "enter")
        await shows(pilot, "/ann", "1/1")
        await pilot.press("enter")
        await shows(pilot, "account anna, ", "1/3")
        assert "gpt-4o-mini" not in text(pilot)
        await pilot.press("escape")
        await shows(pilot, "1/12")


# Prices


async def test_missing_prices_come_first_and_in_red(books: Books, screen: Open) -> None:
    books.add(2, model="gpt-5.4")
    books.add(4, model="nobody-knows-me")
    async with screen(books.path, LARGE) as pilot:
        await pilot.press("3")
        await shows(pilot, "NO PRICE", "gpt-5.4", "1 model without a price")
        first, second = pilot.app.view.listing.rows[:2]  # type: ignore[attr-defined]
        assert (first.cells[0].text, first.cells[0].style) == ("nobody-knows-me", "bold red")
        assert second.cells[0] == "gpt-5.4"
        await pilot.press("enter")
        await shows(pilot, '[pricing.models."nobody-knows-me"]', "prompt_per_1m")
        await pilot.press("escape", "down", "enter")
        await shows(pilot, "cached input", "origin: data")
        await pilot.press("escape", "slash", *"opus", "enter")
        await shows(pilot, "claude-opus", "/opus")
        await pilot.press("s")
        await shows(pilot, "sorted by provider")


# Accounts


async def test_pause_and_resume_after_a_question(
    books: Books, windows: Callable[..., None], screen: Open
) -> None:
    windows("anna", 10, 20)
    windows("ben", 99, 20)

    def standing() -> dict[str, str]:
        with books.engine.connect() as connection:
            return {one.account.id: one.status for one in read_fleet(connection).members}

    async with screen(books.path) as pilot:
        await pilot.press("a")  # leads there
        await shows(pilot, "anna", "ben", "99%")
        await pilot.press("j", "a")
        await until(pilot, lambda: isinstance(pilot.app.screen, QuestionScreen))
        await shows(pilot, "Pause ben?", "within 2 seconds")
        await pilot.press("n")
        assert standing() == {"anna": "active", "ben": "active"}
        await pilot.press("a")
        await until(pilot, lambda: isinstance(pilot.app.screen, QuestionScreen))
        await pilot.press("y")
        await shows(pilot, "paused")
        assert standing() == {"anna": "active", "ben": "paused"}
        await pilot.press("a")
        await shows(pilot, "Resume ben?")
        await pilot.press("y")
        await until(pilot, lambda: standing()["ben"] == "active")
        with books.engine.connect() as connection:
            entry = audit.entries(connection, "ben")[0]
        assert (entry.action, entry.origin) == ("resume", "console")
        assert entry.actor
        await pilot.press("enter")
        await shows(pilot, "History", "resume")


async def test_accounts_are_sorted_and_filtered(
    books: Books, windows: Callable[..., None], screen: Open
) -> None:
    windows("anna", 10, 20)
    windows("ben", 30, 60)
    async with screen(books.path, LARGE) as pilot:
        await pilot.press("4", "s")
        await shows(pilot, "sorted by fullest window", "60%")
        assert [row.key for row in pilot.app.view.listing.rows] == ["ben", "anna"]  # type: ignore[attr-defined]
        await pilot.press("slash", "a", "n", "enter")
        await shows(pilot, "1/1")


# Keys of the whole


async def test_views_by_number_tab_and_mouse(books: Books, screen: Open) -> None:
    async with screen(books.path) as pilot:
        titles = ("last hour", "per ", "PROVIDER", "RESETS")
        for key, wanted in (*zip("1234", titles, strict=True), ("tab", titles[0]), ("shift+tab", titles[3])):
            await pilot.press(key)
            await shows(pilot, wanted)
        await pilot.click("#head", offset=(text(pilot).splitlines()[0].index("3 Prices") + 1, 0))
        await shows(pilot, "PROVIDER")


async def test_the_mouse_chooses_and_opens(books: Books, screen: Open) -> None:
    books.add(50)
    async with screen(books.path) as pilot:
        await shows(pilot, "1/50", "12 months")
        await pilot.click("Overview Listing", offset=(5, 4))
        await shows(pilot, "4/50")
        await pilot.click("Overview Listing", offset=(5, 4))
        await shows(pilot, "Attempts: 1")


async def test_a_filter_looks_in_the_ledger(books: Books, screen: Open) -> None:
    books.add(1, ago=timedelta(hours=2), model="gpt-4o-mini")
    books.add(150, model="gpt-5.4")
    async with screen(books.path) as pilot:
        await shows(pilot, "1/100")
        await pilot.press("slash", *"mini")
        await shows(pilot, "gpt-4o-mini")
        await pilot.press("enter")
        await shows(pilot, "/mini", "1/1")
        await pilot.press("slash", "escape")
        await shows(pilot, "1/100")


async def test_what_is_typed_into_the_filter_is_no_command(books: Books, screen: Open) -> None:
    async with screen(books.path) as pilot:
        await pilot.press("slash", *"aps12?")
        assert pilot.app.view.text == "aps12?"  # type: ignore[attr-defined]
        assert pilot.app.view.TITLE == "Overview"  # type: ignore[attr-defined]


async def test_paused_nothing_moves(books: Books, screen: Open) -> None:
    books.add(1)
    async with screen(books.path) as pilot:
        await shows(pilot, "1/1")
        await pilot.press("p")
        await shows(pilot, "PAUSED")
        await pilot.pause(0.3)  # what was under way is shown
        books.add(5)
        await pilot.pause(0.5)
        assert "1/1" in text(pilot)
        await pilot.press("p")
        await shows(pilot, "1/6")


async def test_help_names_every_key_and_quit_quits(books: Books, screen: Open) -> None:
    async with screen(books.path) as pilot:
        await pilot.press("question_mark")
        await until(pilot, lambda: isinstance(pilot.app.screen, HelpScreen))
        await shows(pilot, "PgUp", "pause or resume the chosen account", "Ctrl-C")
        await pilot.press("escape", "ctrl+c")
        await until(pilot, lambda: not pilot.app.is_running)


# A ledger that is not as it should be, and then is


async def test_a_ledger_that_comes_later_is_picked_up(tmp_path: Path, screen: Open) -> None:
    path = tmp_path / "later.db"
    async with screen(path) as pilot:
        await until(pilot, lambda: "no ledger at" in note(pilot))
        path.touch()
        await until(pilot, lambda: "is empty" in note(pilot))
        engine = migrated(path)
        books = Books(path, engine)
        books.add(2)
        await shows(pilot, "1/2")
        assert "ledger" not in note(pilot)
        path.rename(tmp_path / "gone.db")
        await until(pilot, lambda: "no ledger at" in note(pilot))
        assert "gpt-5.4" in text(pilot)  # what was known stays in sight
        engine.dispose()


async def test_a_ledger_in_postgresql(postgres_url: URL, tmp_path: Path) -> None:
    config = tmp_path / "pg.toml"
    url = postgres_url.set(drivername="postgresql").render_as_string(hide_password=False)
    config.write_text(f'[storage]\ndatabase_url = "{url}"\n')
    settings = load(config, {})
    look = Look(settings.console.zone, UTF8, True)
    engine = writer(postgres_url)
    try:
        async with Top(Source(settings), look).run_test(size=SMALL) as pilot:
            await until(pilot, lambda: "is empty" in note(pilot))
            migrate(engine)
            books = Books(tmp_path, engine)
            await shows(pilot, "no requests yet")
            books.add(3)
            await shows(pilot, "1/3", "gpt-5.4")
            for key, wanted in (("2", "MODEL"), ("3", "PROVIDER"), ("4", "PLAN")):
                await pilot.press(key)
                await shows(pilot, wanted)
    finally:
        engine.dispose()


@pytest.mark.parametrize(
    ("version", "said"), [("9999", "has a newer schema"), ("0009", "has an older schema")]
)
async def test_a_ledger_of_another_version_is_picked_up(
    version: str, said: str, books: Books, screen: Open
) -> None:
    books.add(1)

    def say(number: str) -> str:
        with closing(sqlite3.connect(books.path)) as connection, connection:
            (before,) = connection.execute("SELECT version_num FROM alembic_version").fetchone()
            connection.execute("UPDATE alembic_version SET version_num = ?", (number,))
        return str(before)

    now = say(version)
    async with screen(books.path) as pilot:
        await until(pilot, lambda: said in note(pilot))
        say(now)
        await shows(pilot, "1/1")


async def test_a_locked_ledger_is_picked_up(books: Books, screen: Open) -> None:
    books.add(1)
    books.engine.dispose()
    with closing(sqlite3.connect(books.path, isolation_level=None)) as holder:
        holder.execute("PRAGMA journal_mode=DELETE")
        holder.execute("BEGIN EXCLUSIVE")
        async with screen(books.path) as pilot:
            await until(pilot, lambda: "database is locked" in note(pilot))
            holder.execute("ROLLBACK")
            await shows(pilot, "1/1")


async def test_nothing_is_asked_while_nothing_changes(
    books: Books, screen: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    books.add(5)
    async with screen(books.path) as pilot:
        await shows(pilot, "1/5", "today")
        await asyncio.sleep(0.5)
        asked: list[object] = []
        real = pilot.app.source.ask  # type: ignore[attr-defined]

        async def count(question: Any) -> Any:
            asked.append(question)
            return await real(question)

        monkeypatch.setattr(pilot.app.source, "ask", count)  # type: ignore[attr-defined]
        await asyncio.sleep(1)
        assert asked == []
        books.add(1)
        await shows(pilot, "1/6")
        assert asked


# Terminals of every kind


@pytest.mark.parametrize("size", [SMALL, LARGE, (100, 30)])
async def test_nothing_is_wider_than_the_screen(size: tuple[int, int], told: Told, screen: Open) -> None:
    async with screen(told.path, size, ascii_only=True) as pilot:
        for key, wanted in zip("1234", ("12 months", "SINCE", "PROVIDER", "RESETS"), strict=True):
            await pilot.press(key)
            await shows(pilot, wanted)
            await until(pilot, lambda: "1/" in note(pilot))
            lines = text(pilot).splitlines()
            assert len(lines) == size[1]
            assert max(map(len, lines)) <= size[0]
            assert text(pilot).isascii(), text(pilot)


async def test_a_screen_that_changes_its_size(told: Told, screen: Open) -> None:
    async with screen(told.path) as pilot:
        await shows(pilot, "1/100")
        assert "FAILURE" not in text(pilot)
        await pilot.resize_terminal(*LARGE)
        await shows(pilot, "FAILURE", "CACHED OUTPUT")
        await pilot.resize_terminal(40, 10)
        await pilot.resize_terminal(*SMALL)
        await until(pilot, lambda: "FAILURE" not in text(pilot))


async def test_names_from_outside_are_harmless(books: Books, screen: Open) -> None:
    books.add(1, model="evil\x1b[31m\u202emodel", project="\x07")
    async with screen(books.path, LARGE) as pilot:
        await shows(pilot, "1/1")
        for key in "1234":
            await pilot.press(key)
            await pilot.pause(0.2)
            assert not {"\x1b", "\u202e", "\x07"} & set(text(pilot))
