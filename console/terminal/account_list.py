"""The fourth view: accounts, their windows and spend, and what a person may do to them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime

from rich.text import Text
from sqlalchemy import Connection
from textual.app import ComposeResult

from console import formats as f
from console.accounts import AccountList as Found
from console.accounts import AccountView, Detail, account_detail, account_list
from console.quota import Pace
from console.snapshot import OUT_OF_USE
from console.terminal import words
from console.terminal.listing import Cell, Column, Listing, Row
from console.terminal.overview import FULL, NEAR
from console.terminal.view import Look, Part, View
from ledger.pricing.prices import PriceBook

COLUMNS = (
    Column("ACCOUNT", 10, grows=True),
    Column("PLAN", 8),
    Column("STATUS", 14),
    Column("5H", 4, right=True),
    Column("RESETS", 6, right=True),
    Column("PACE", 16, from_width=110),
    Column("WEEK", 4, right=True),
    Column("RESETS", 6, right=True),
    Column("PACE", 16, from_width=110),
    Column("$ 7 D", 8, right=True),
    Column("24 H", 5, right=True),
    Column("ERR", 5, right=True),
)
ORDERS: dict[str, Callable[[AccountView], object]] = {
    "name": lambda view: view.id,
    "fullest window": lambda view: (-max((w.used for w in view.windows), default=-1.0), view.id),
    "spend": lambda view: (-view.week.usd, view.id),
    "failures": lambda view: (-view.day.errors, view.id),
}


class AccountList(View):
    TITLE = "Accounts"
    SORTS = tuple(ORDERS)

    def __init__(self, look: Look, again: Callable[[], None]) -> None:
        super().__init__(look, again)
        self._found: Found | None = None

    def compose(self) -> ComposeResult:
        yield Listing(COLUMNS, self.look.signs)

    def parts(self) -> Sequence[Part]:
        return (Part("accounts", self._ask, self._show),)

    def _ask(self, connection: Connection, book: PriceBook) -> Found:
        return account_list(connection, book, self.look.now(), emails=self.look.emails)

    def _show(self, found: Found) -> None:
        self._found = found
        self.redraw()

    def redraw(self) -> None:
        if self._found is None:
            self.listing.fill((), empty="asking the ledger")
            return
        now = self.look.now()
        views = [v for v in self._found.views if self.holds(v.id, v.email, v.plan, v.standing)]
        views.sort(key=ORDERS[self.SORTS[self.sort]])  # type: ignore[arg-type]
        empty = "no such account" if self.text else "no accounts: each caller's own credential is passed on"
        self.listing.fill([_row(view, now) for view in views], empty=empty)

    @property
    def chosen(self) -> AccountView | None:
        row = self.listing.chosen
        views = self._found.views if self._found else ()
        return next((view for view in views if row is not None and view.id == row.key), None)


def actions(view: AccountView) -> tuple[str, ...]:
    """What a person may do to an account as it is; nothing to one that requests are not routed to."""
    if not view.credential or view.dead:
        return ()
    if view.status == "paused":
        return ("resume",)
    return ("pause", "resume") if view.status in ("rate_limited", "quota_exceeded") else ("pause",)


def ask_detail(name: str, look: Look) -> Callable[[Connection, PriceBook], Detail]:
    return lambda c, book: account_detail(c, book, name, look.now(), emails=look.emails)


def detail_text(found: Detail, name: str, look: Look) -> Text:
    """One account: how it stands, its last failures, what was done to it, its models."""
    now, view = look.now(), found.view
    text = Text()
    if view is not None:
        email = f"  {f.text(view.email)}" if view.email else ""
        text.append(f"{f.text(view.id)}{email}  {f.text(view.plan)}  {view.pool}\n", "bold")
        text.append(f"{f.text(view.standing.replace('_', ' '))}\n")
        for window in view.windows:
            reset = words.resets(window, now)
            told = f"{window.title:8} {f.used(window.used):>4}  resets {reset or '?':7}"
            text.append(f"{told} {words.leads(window, now)}\n")
        text.append(f"\n7 days {f.usd(view.week.usd)}, 24 h {f.number(view.day.requests)} requests\n")
    text.append("\nLast failures, 24 h\n", "bold")
    for row in found.failures:
        told = (
            f"{f.clock(row.requested_at, look.zone, now)}  {row.http_status or ''} {f.text(row.error_code)}"
        )
        text.append(f"{told}  {f.failure(row.error_message)}\n")
    text.append("" if found.failures else "none\n")
    text.append("\nModels, 7 days\n", "bold")
    for model, sums in found.models:
        text.append(f"{f.text(model):30} {f.number(sums.requests):>8}  {f.usd(sums.usd):>10}\n")
    text.append("\nHistory\n", "bold")
    for entry in found.history:
        by = f"{entry.origin} {f.text(entry.actor)}" if entry.actor else entry.origin
        change = f"{entry.from_status or '-'} -> {entry.to_status or '-'}"
        text.append(f"{f.clock(entry.at, look.zone, now):14}  {entry.action:8} {by}  {change}\n")
    return text


def _row(view: AccountView, now: datetime) -> Row:
    by_slot = {window.slot: window for window in view.windows}
    return Row(
        view.id,
        (
            f.text(view.id, 60),
            f.text(view.plan, 20),
            Cell(f.text(view.standing.replace("_", " "), 60), _tone(view.status)),
            *_window(by_slot.get("primary"), now),
            *_window(by_slot.get("secondary"), now),
            f.usd(view.week.usd) if view.week.usd < 1 else f"${view.week.usd:,.2f}",
            f.short(view.day.requests),
            Cell(f.short(view.day.errors), "red" if view.day.errors else ""),
        ),
    )


def _tone(status: str) -> str:
    return "" if status == "active" else "dim" if status in OUT_OF_USE else "yellow"


def _window(window: Pace | None, now: datetime) -> tuple[Cell | str, ...]:
    if window is None:
        return f.NOTHING, "", ""
    style = "bold red" if window.used >= FULL else "yellow" if window.used >= NEAR else ""
    return Cell(f.used(window.used), style), words.resets(window, now), words.leads(window, now)
