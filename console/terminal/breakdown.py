"""The second view: requests by model, account, key, project, session; per hour, day, week, month, year."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from typing import ClassVar
from zoneinfo import ZoneInfo

from rich.text import Text
from sqlalchemy import Connection
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.message import Message
from textual.widgets import Static

from console import formats as f
from console.terminal import words
from console.terminal.listing import Cell, Column, Listing, Row
from console.terminal.view import Look, Part, View
from ledger.pricing.prices import PriceBook
from ledger.requests import queries
from ledger.requests.answers import Line, Totals
from ledger.requests.filter import Dimension, RequestFilter
from ledger.requests.sums import periods

DIMENSIONS: tuple[tuple[str, Dimension], ...] = (
    ("model", "model"),
    ("account", "account_id"),
    ("key", "api_key_id"),
    ("project", "project"),
    ("session", "session_id"),
)
MAX_VALUES, MAX_ROWS = 5_000, 2_000
"""Values of a dimension that are asked for, and rows that are shown of them."""

COLUMNS = (
    Column("SINCE", 11),
    Column("", 14, grows=True),
    Column("REQ", 6, right=True),
    Column("ERR", 5, right=True),
    Column("INPUT", 6, right=True),
    Column("CACHED", 6, right=True),
    Column("WRITTEN", 7, right=True, from_width=100),
    Column("OUTPUT", 6, right=True),
    Column("REASON", 6, right=True, from_width=100),
    Column("COST", 9, right=True),
    Column("NOPRICE", 7, right=True),
)
NONE = "(none)"


@dataclass(frozen=True, slots=True)
class Unit:
    """A unit of time, and how far back it is shown."""

    name: str
    bounds: Callable[[datetime, ZoneInfo], list[datetime]]
    form: str


def _hours(now: datetime, _zone: ZoneInfo) -> list[datetime]:
    return periods.steps(now - timedelta(hours=23), now, timedelta(hours=1))


UNITS = (
    Unit("hour", _hours, "%m-%d %H:%M"),
    Unit("day", lambda now, zone: periods.days(now - timedelta(days=29), now, zone), "%a %m-%d"),
    Unit("week", lambda now, zone: periods.weeks(now - timedelta(weeks=25), now, zone), "%G-W%V"),
    Unit("month", lambda now, zone: periods.months(now - timedelta(days=23 * 30), now, zone), "%Y-%m"),
    Unit("year", lambda now, zone: periods.years(now - timedelta(days=4 * 365), now, zone), "%Y"),
)


@dataclass(frozen=True, slots=True)
class Entry:
    """What requests of one value add up to in one unit of time."""

    since: datetime
    until: datetime
    value: str | None
    totals: Totals


ORDERS: dict[str, Callable[[Entry], object]] = {
    "time": lambda entry: (entry.since, entry.totals.usd, entry.totals.requests),
    "cost": lambda entry: (entry.totals.usd, entry.totals.requests),
    "requests": lambda entry: entry.totals.requests,
    "tokens": lambda entry: entry.totals.tokens,
    "errors": lambda entry: (entry.totals.errors, entry.totals.requests),
}


class Breakdown(View):
    """Requests by one dimension and one unit of time."""

    TITLE = "By"
    SORTS = tuple(ORDERS)
    DEFAULT_CSS = "Breakdown Static { height: 2; padding: 0 1; link-style: none; }"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("d,right", "dimension(1)", show=False),
        Binding("D,left", "dimension(-1)", show=False),
        Binding("u", "unit(1)", show=False),
        Binding("U", "unit(-1)", show=False),
    ]

    class Narrowed(Message):
        def __init__(self, where: RequestFilter, label: str) -> None:
            super().__init__()
            self.where, self.label = where, label

    def __init__(self, look: Look, again: Callable[[], None]) -> None:
        super().__init__(look, again)
        self.dimension, self.unit = 0, 1
        self._entries: tuple[Entry, ...] = ()
        self._asked = False

    def compose(self) -> ComposeResult:
        yield Static()
        yield Listing(COLUMNS, self.look.signs)

    def on_mount(self) -> None:
        self._show_choice()

    def parts(self) -> Sequence[Part]:
        named, dimension = DIMENSIONS[self.dimension]
        unit = UNITS[self.unit]
        question = partial(_series, dimension=dimension, unit=unit, look=self.look)
        return (Part(f"{named} {unit.name}", question, self._show_lines),)

    def action_dimension(self, by: int) -> None:
        self.choose((self.dimension + by) % len(DIMENSIONS), self.unit)

    def action_unit(self, by: int) -> None:
        self.choose(self.dimension, (self.unit + by) % len(UNITS))

    def action_choose(self, dimension: int, unit: int) -> None:
        """A click on one of the choices; -1 leaves the other one as it is."""
        self.choose(self.dimension if dimension < 0 else dimension, self.unit if unit < 0 else unit)

    def choose(self, dimension: int, unit: int) -> None:
        """Ask by another dimension, or another unit of time."""
        self.dimension, self.unit = dimension, unit
        self._entries, self._asked = (), False
        self._show_choice()
        self.redraw()
        self.again()

    def _show_choice(self) -> None:
        text = Text(no_wrap=True, overflow="crop")
        for title, names, chosen, action in (
            ("by  ", [name for name, _ in DIMENSIONS], self.dimension, "choose({}, -1)"),
            ("per ", [unit.name for unit in UNITS], self.unit, "choose(-1, {})"),
        ):
            text.append(title, "bold")
            for number, name in enumerate(names):
                text.append(" ")
                style = "reverse" if number == chosen else ""
                begin = len(text)
                text.append(f" {name} ", style)
                text.apply_meta({"@click": action.format(number)}, begin, len(text))
            text.append("\n")
        self.query_one(Static).update(text)

    def _show_lines(self, lines: Sequence[Line]) -> None:
        self._asked = True
        self._entries = tuple(
            Entry(point.since, point.until, line.value or None, point.totals)
            for line in lines
            for point in line.points
            if point.totals.requests
        )
        self.redraw()

    def redraw(self) -> None:
        found = [one for one in self._entries if self.holds(one.value or NONE, self._since(one))]
        found.sort(key=lambda one: str(one.value))
        found.sort(key=ORDERS[self.SORTS[self.sort]], reverse=True)  # type: ignore[arg-type]
        named = DIMENSIONS[self.dimension][0].upper()
        columns = [Column(named, c.width, grows=True) if c.grows else c for c in COLUMNS]
        empty = "no requests in this time" if self._asked else "asking the ledger"
        self.listing.fill([self._row(one) for one in found[:MAX_ROWS]], columns=columns, empty=empty)

    def on_listing_opened(self, message: Listing.Opened) -> None:
        message.stop()
        one = message.key
        if isinstance(one, tuple):
            since, until, value = one
            name, dimension = DIMENSIONS[self.dimension]
            where = RequestFilter(since, until).having(dimension, value)
            shown = f"{since.astimezone(self.look.zone):{UNITS[self.unit].form}}"
            self.post_message(self.Narrowed(where, f"{name} {f.text(value or NONE, 40)}, {shown}"))

    def _since(self, one: Entry) -> str:
        return f"{one.since.astimezone(self.look.zone):{UNITS[self.unit].form}}"

    def _row(self, one: Entry) -> Row:
        now, counts = one.totals, one.totals.counts
        return Row(
            (one.since, one.until, one.value),
            (
                self._since(one),
                f.text(one.value or NONE, 80),
                f.short(now.requests),
                Cell(f.short(now.errors), "red" if now.errors else ""),
                f.short(counts.input),
                f.short(counts.cached_input),
                f.short(counts.cache_write + counts.cache_write_1h),
                f.short(counts.output),
                f.short(now.reasoning),
                words.money(now.usd),
                Cell(f.short(now.unpriced), "yellow" if now.unpriced else ""),
            ),
        )


def _series(
    connection: Connection, book: PriceBook, *, dimension: Dimension, unit: Unit, look: Look
) -> tuple[Line, ...]:
    bounds = unit.bounds(look.now(), look.zone)
    where = RequestFilter()
    return queries.series(connection, where, bounds, book, dimension=dimension, top=MAX_VALUES)
