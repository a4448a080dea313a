"""The first view: the running periods, the windows of each account, the newest requests."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime
from decimal import Decimal

from rich.text import Text
from sqlalchemy import Connection
from textual.app import ComposeResult
from textual.widgets import Static

from console import formats as f
from console.quota import Pace
from console.snapshot import OUT_OF_USE, AccountQuota, Snapshot, snapshot
from console.terminal import lines, words
from console.terminal.listing import Cell, Column, Listing, Row
from console.terminal.view import Look, Part, View
from console.terminal.words import Signs
from ledger.pricing.prices import PriceBook
from ledger.requests import queries
from ledger.requests.answers import RequestPage, RequestRow
from ledger.requests.filter import RequestFilter

NEAR, FULL = 80.0, 95.0
"""Percent from which on a window is drawn in yellow, and in red."""

MAX_BAR = 24
ROOMY = 110
"""Characters from which on there is room for words."""


def quota_lines(found: Snapshot, width: int, room: int, signs: Signs) -> Text:
    """A line for each account, the fullest first where not all have room."""
    accounts = list(found.accounts)
    hidden = 0
    if len(accounts) > room:
        accounts.sort(key=lambda one: (one.fullest is not None, one.fullest or 0.0), reverse=True)
        hidden = len(accounts) - (room - 1)
        accounts = accounts[: room - 1]
    name = min(20 if width >= ROOMY else 10, max((len(one.id) for one in accounts), default=0))
    shown = [_line(one, found, name, width, signs) for one in accounts]
    if hidden:
        shown.append(Text(f"{hidden} more accounts: press 4", style="dim"))
    text = Text("\n", no_wrap=True, overflow="crop").join(shown)
    text.no_wrap, text.overflow = True, "crop"
    return text


def _line(account: AccountQuota, found: Snapshot, name: int, width: int, signs: Signs) -> Text:
    shown = signs.plain(f.text(account.id, 60))
    text = Text(f"{shown[:name]:{name}} ", style="bold")
    if account.status in OUT_OF_USE:
        return text.append(account.status.replace("_", " "), "dim")
    if not account.windows:
        return text.append("no windows known", "dim")
    size = (width - name - 1) // 2
    for window in account.windows:
        text.append_text(_window(window, found, size, signs))
    return text


def _window(window: Pace, found: Snapshot, size: int, signs: Signs) -> Text:
    """One window in so many characters: `5h ████░░ 87% resets 2h01m empty in 40m`."""
    roomy = size * 2 >= ROOMY - 20
    style = "red" if window.used >= FULL else "yellow" if window.used >= NEAR or window.empty_at else "green"
    reset = words.resets(window, found.at)
    told = f.used(window.used).rjust(4)
    told += f" {'resets ' if roomy and reset else ''}{reset}".ljust(14 if roomy else 7)
    leads = words.leads(window, found.at) if roomy else words.leads_short(window, found.at)
    told += f" {leads}".ljust(17 if roomy else 11)
    bar = min(MAX_BAR, max(3, size - len(window.short) - 3 - len(told)))
    text = Text(f"{window.short} ", style="not bold")
    text.append(words.bar(window.used, bar, signs), style)
    text.append(f" {told} ")
    return text


WIDE = 120
FIRST_ROWS, MORE_ROWS, MAX_ROWS = 100, 100, 1_000
"""Requests that are shown at first, that come as one scrolls, and at most: a filter finds older ones."""

MIN_LISTING = 8
"""Lines that the requests keep on a small screen."""

COLUMNS = (
    Column("TIME", 11),
    Column("MODEL", 12, grows=True),
    Column("ACCOUNT", 9),
    Column("KEY", 11),
    Column("PROJECT", 10, from_width=WIDE),
    Column("INPUT", 6, right=True, from_width=WIDE),
    Column("CACHED", 6, right=True, from_width=WIDE),
    Column("OUTPUT", 6, right=True, from_width=WIDE),
    Column("TOKENS", 6, right=True),
    Column("COST", 8, right=True),
    Column("LATENCY", 7, right=True),
    Column("STATUS", 6, right=True),
    Column("FAILURE", 22, from_width=WIDE),
)
SMALLEST = Decimal("0.0001")
STATUS_WORDS = {"cancelled": "gone", "success": "ok", "error": "failed"}


class Overview(View):
    TITLE = "Overview"
    DEFAULT_CSS = "Overview Static { height: auto; padding: 0 1; } Overview #quotas { margin: 1 0; }"

    def __init__(self, look: Look, again: Callable[[], None]) -> None:
        super().__init__(look, again)
        self.where, self.label = RequestFilter(), ""
        self._wanted = FIRST_ROWS
        self._snapshot: Snapshot | None = None
        self._page: RequestPage | None = None

    def compose(self) -> ComposeResult:
        yield Static(id="periods")
        yield Static(id="quotas")
        yield Listing(COLUMNS, self.look.signs)

    def parts(self) -> Sequence[Part]:
        return (
            Part("requests", self._ask_page, self._show_page, share=0.2),
            Part("periods", self._ask_snapshot, self._show_snapshot),
        )

    @property
    def hint(self) -> str:
        return "  ".join(filter(None, (self.label, f"/{self.text}" if self.text else "")))

    def narrow(self, where: RequestFilter, label: str) -> None:
        self.where, self.label = where, label
        self._wanted = FIRST_ROWS
        self.again()

    def back(self) -> None:
        if self.label:
            self.narrow(RequestFilter(), "")

    def filter(self, text: str) -> None:
        """What is typed is looked for in the ledger, not only in the rows that are shown."""
        self.text, self._wanted = text, FIRST_ROWS
        self.again()

    def on_listing_near_end(self) -> None:
        """Older requests are asked for before the last row is reached."""
        page = self._page
        if page is not None and page.older is not None and self._wanted < MAX_ROWS:
            self._wanted += MORE_ROWS
            self.again()

    def _ask_page(self, connection: Connection, book: PriceBook) -> RequestPage:
        return queries.page(connection, replace(self.where, text=self.text), book, size=self._wanted)

    def _ask_snapshot(self, connection: Connection, book: PriceBook) -> Snapshot:
        return snapshot(connection, book, self.look.now(), self.look.zone)

    def _show_page(self, page: RequestPage) -> None:
        self._page = page
        now = self.look.now()
        empty = "no such requests" if self.text or self.label else "no requests yet"
        self.listing.fill([self._row(row, now) for row in page.rows], empty=empty)

    def _show_snapshot(self, found: Snapshot) -> None:
        self._snapshot = found
        width, height = self.size.width - 2, self.size.height
        head, *periods = lines.period_table(found)
        text = "\n".join([head, *periods])
        shown = Text(self.look.signs.plain(text), no_wrap=True, overflow="crop")
        shown.stylize("bold", 0, len(head))
        self.query_one("#periods", Static).update(shown)
        room = max(1, height - MIN_LISTING - len(periods) - 3)
        quotas = quota_lines(found, width, room, self.look.signs)
        self.query_one("#quotas", Static).update(quotas)
        self.query_one("#quotas", Static).display = bool(found.accounts)

    def redraw(self) -> None:
        if self._snapshot is not None:
            self._show_snapshot(self._snapshot)
        if self._page is not None:
            self._show_page(self._page)

    def _row(self, row: RequestRow, now: datetime) -> Row:
        usage, failed = row.usage, row.status == "error"
        cached, tokens = usage.cached_input_tokens, (usage.input_tokens or 0) + (usage.output_tokens or 0)
        said = usage.input_tokens is not None or usage.output_tokens is not None
        return Row(
            row.id,
            (
                _time(row.requested_at, self.look, now),
                f.text(row.model, 60),
                f.text(row.account_id, 60),
                f.text(row.api_key_id, 40),
                f.text(row.project, 40),
                f.short(usage.input_tokens),
                f.short(cached),
                f.short(usage.output_tokens),
                f.short(tokens if said else None),
                _cost(row),
                f.duration(row.latency_ms).replace(" ", ""),
                Cell(_status(row), "bold red" if failed else ""),
                Cell(
                    f.text(row.error_code or row.error_class, 40) if failed else "", "red" if failed else ""
                ),
            ),
        )


def _time(at: datetime, look: Look, now: datetime) -> str:
    local, today = at.astimezone(look.zone), now.astimezone(look.zone)
    return f"{local:%H:%M:%S}" if local.date() == today.date() else f"{local:%m-%d %H:%M}"


def _cost(row: RequestRow) -> Cell | str:
    if row.cost_usd is not None:
        return "<$0.0001" if 0 < row.cost_usd < SMALLEST else f.usd(row.cost_usd)
    return Cell("unknown", "yellow") if row.unpriced else f.NOTHING


def _status(row: RequestRow) -> str:
    """The HTTP status; failures are told by a sign too, where there is no colour."""
    if row.status == "cancelled":
        return STATUS_WORDS["cancelled"]
    status = str(row.http_status) if row.http_status else STATUS_WORDS.get(row.status, row.status)
    return f"!{status}" if row.status == "error" else status
