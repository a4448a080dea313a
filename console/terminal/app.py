"""The screen: which view is in sight, what keeps it up to date, and what keys do."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import ClassVar, TypeVar

from rich.text import Text
from sqlalchemy import Connection
from textual import work
from textual.app import App, ComposeResult
from textual.binding import Binding, BindingType
from textual.widgets import ContentSwitcher, Input, Static

from console.actions import WORDS
from console.request import taken_apart
from console.terminal.account_list import AccountList, actions, ask_detail, detail_text
from console.terminal.breakdown import Breakdown
from console.terminal.dialogs import ChoiceScreen, HelpScreen, QuestionScreen, TextScreen
from console.terminal.listing import Listing
from console.terminal.overview import Overview
from console.terminal.price_list import PriceList
from console.terminal.request_text import request_text
from console.terminal.source import Source
from console.terminal.view import Look, Part, View
from ledger.errors import LedgerError, TooSlow
from ledger.pricing.prices import PriceBook

T = TypeVar("T")

LOOK_SECONDS = 0.1
"""How often it is looked whether the ledger has changed, and how often a view is drawn at most."""

MINUTE_SECONDS = 60.0
"""After so long everything is asked again: periods and windows go on without a request."""

RETRY_SECONDS, SLOW_SECONDS = 1.0, 5.0
"""When a question that failed is asked again, and one that took too long: it goes on where it had got to."""

VIEWS: tuple[type[View], ...] = (Overview, Breakdown, PriceList, AccountList)
OVERVIEW, ACCOUNTS = VIEWS.index(Overview), VIEWS.index(AccountList)
KEYS = "q quit  tab 1-4 views  / filter  s sort  p pause  a actions  ? help"


class _Progress:
    """What is known of one part: the ledger that it has been asked of, and when it may be asked again."""

    def __init__(self) -> None:
        self.state: object = self
        self.asked_at = self.rests_until = float("-inf")

    def due(self, state: object, now: float) -> bool:
        return now >= self.rests_until and (state != self.state or now - self.asked_at >= MINUTE_SECONDS)


class Top(App[None]):
    """`python -m console top`."""

    TITLE = "Quotascope"
    ENABLE_COMMAND_PALETTE = False
    CSS = """
    Screen { background: ansi_default; color: ansi_default; }
    #head, #keys { height: 1; }
    #head { padding: 0 1; link-style: none; }
    #keys { padding: 0 1; }
    #note { height: 1; padding: 0 1; }
    #filter { height: 1; border: none; padding: 0 1; display: none; background: ansi_default; }
    ContentSwitcher { height: 1fr; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("q", "quit", show=False),
        Binding("ctrl+c", "quit", priority=True, show=False),
        *(Binding(str(n), f"view({n})", priority=False, show=False) for n in range(1, 5)),
        Binding("tab", "turn(1)", priority=True, show=False),
        Binding("shift+tab", "turn(-1)", priority=True, show=False),
        Binding("slash", "filter", show=False),
        Binding("s", "sort", show=False),
        Binding("p", "pause", show=False),
        Binding("a", "act", show=False),
        Binding("question_mark", "help", show=False),
        Binding("escape", "leave", show=False),
    ]

    def __init__(self, source: Source, look: Look) -> None:
        super().__init__(ansi_color=True)
        self.source, self.look = source, look
        self.paused = False
        self.trouble = ""
        self._views = [kind(look, partial(self.again, number)) for number, kind in enumerate(VIEWS)]
        for number, view in enumerate(self._views):
            view.id = f"view-{number}"
        self._place = 0
        self._progress: dict[tuple[int, str], _Progress] = {}
        self._wake = asyncio.Event()
        self._following: asyncio.Task[None] | None = None

    def compose(self) -> ComposeResult:
        yield Static(id="head")
        with ContentSwitcher(initial="view-0"):
            yield from self._views
        yield Input(id="filter", placeholder="filter", select_on_focus=False)
        yield Static(id="note")
        yield Static(Text(KEYS, style="dim", no_wrap=True, overflow="crop"), id="keys")

    def on_mount(self) -> None:
        self._show_view()
        self._following = asyncio.create_task(self._follow())

    async def on_unmount(self) -> None:
        if self._following is not None:
            self._following.cancel()
            with suppress(asyncio.CancelledError):
                await self._following
        self.source.close()

    # What keeps it up to date

    def again(self, number: int) -> None:
        """A view asks something else: ask at once."""
        for (place, _), progress in self._progress.items():
            if place == number:
                progress.state, progress.rests_until = progress, float("-inf")
        self._wake.set()

    async def _follow(self) -> None:
        while self.is_running:
            if not self.paused:
                await self._look_once()
            with suppress(TimeoutError):
                await asyncio.wait_for(self._wake.wait(), LOOK_SECONDS)
            self._wake.clear()

    async def _look_once(self) -> None:
        """Ask what has to be asked of the view in sight."""
        try:
            state = await self.source.state()
        except LedgerError as error:
            self._say(str(error))
            await asyncio.sleep(RETRY_SECONDS)
            return
        place = self._place
        for part in self.view.parts():
            progress = self._progress.setdefault((place, part.name), _Progress())
            if place == self._place and progress.due(state, time.monotonic()):
                await self._ask(part, progress, state, place)

    async def _ask(self, part: Part, progress: _Progress, state: object, place: int) -> None:
        began = progress.asked_at = time.monotonic()
        progress.state = state
        try:
            found = await self.source.ask(part.question)
        except LedgerError as error:
            progress.state = progress
            progress.rests_until = time.monotonic() + (
                SLOW_SECONDS if isinstance(error, TooSlow) else RETRY_SECONDS
            )
            self._say(str(error))
            return
        if progress.state is not state:
            return  # something else is asked for by now: this is no answer to it
        took = time.monotonic() - began
        progress.rests_until = began + max(LOOK_SECONDS, took / part.share)
        if place == self._place and self.is_running:
            with self.batch_update():
                part.show(found)
            self._say("")

    def _say(self, trouble: str) -> None:
        if trouble != self.trouble and self.is_running:
            self.trouble = trouble
            self._show_note()

    # What is in sight

    @property
    def view(self) -> View:
        return self._views[self._place]

    def _show_view(self) -> None:
        self.query_one(ContentSwitcher).current = f"view-{self._place}"
        head = Text("Quotascope  ", style="bold", no_wrap=True, overflow="crop")
        for number, kind in enumerate(VIEWS):
            style = "bold reverse" if number == self._place else "not bold"
            begin = len(head)
            head.append(f" {number + 1} {kind.TITLE} ", style)
            head.apply_meta({"@click": f"app.view({number + 1})"}, begin, len(head))
            head.append(" ")
        head.append(f" {self.look.zone.key}", "dim")
        self.query_one("#head", Static).update(head)
        self.view.listing.focus()
        self._show_note()
        self._wake.set()

    def _show_note(self) -> None:
        """The line above the keys: what is wrong, or where one is."""
        listing = self.view.listing
        place = f"{listing.cursor + 1}/{len(listing.rows)}" if listing.rows else ""
        paused = "PAUSED" if self.paused else ""
        text = Text(no_wrap=True, overflow="ellipsis")
        for word, style in ((paused, "bold reverse"), (self.trouble, "bold red"), (self.view.hint, "")):
            if word:
                text.append(self.look.signs.plain(word), style)
                text.append("  ")
        text.append(place, "dim")
        self.query_one("#note", Static).update(text)

    def on_listing_moved(self, message: Listing.Moved) -> None:
        if message.listing is self.view.listing:
            self._show_note()

    # What keys do

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """While a dialog is open or a filter is typed, keys are theirs."""
        if action == "quit":
            return True
        if len(self.screen_stack) > 1:
            return action not in ("view", "turn", "filter", "sort", "pause", "act", "help")
        return True

    def action_view(self, number: int) -> None:
        if 1 <= number <= len(VIEWS):
            self._place = number - 1
            self._show_view()

    def action_turn(self, by: int) -> None:
        self.action_view((self._place + by) % len(VIEWS) + 1)

    def action_sort(self) -> None:
        self.view.sort_next()
        self._show_note()

    def action_pause(self) -> None:
        self.paused = not self.paused
        self._show_note()
        self._wake.set()

    def action_filter(self) -> None:
        field = self.query_one("#filter", Input)
        field.value = self.view.text
        field.display = True
        field.focus()

    def on_input_changed(self, event: Input.Changed) -> None:
        if event.input.display and event.value != self.view.text:
            self.view.filter(event.value)
            self._show_note()

    def on_input_submitted(self) -> None:
        self._leave_filter()

    def _leave_filter(self) -> None:
        self.query_one("#filter", Input).display = False
        self.view.listing.focus()

    def action_leave(self) -> None:
        """Escape: leave the filter, or take it away."""
        field = self.query_one("#filter", Input)
        if field.display or self.view.text:
            field.value = ""
            self.view.filter("")
            self._leave_filter()
        else:
            self.view.back()
        self._show_note()

    def action_help(self) -> None:
        self.push_screen(HelpScreen())

    async def on_listing_opened(self, message: Listing.Opened) -> None:
        """A request of the overview, or an account."""
        number = message.key
        if isinstance(number, int):
            found = await self._answer(lambda c, book: taken_apart(c, book, number))
            if found is not None:
                text = request_text(*found, self.look.zone, self.look.now())
                self._show_text("Request", text)
        elif isinstance(number, str) and self._place == ACCOUNTS:
            detail = await self._answer(ask_detail(number, self.look))
            if detail is not None:
                self._show_text("Account", detail_text(detail, number, self.look))

    def _show_text(self, title: str, text: Text) -> None:
        text.plain = self.look.signs.plain(text.plain)
        self.push_screen(TextScreen(title, text))

    def on_breakdown_narrowed(self, message: Breakdown.Narrowed) -> None:
        self.query_one(Overview).narrow(message.where, message.label)
        self.action_view(OVERVIEW + 1)

    async def _answer(self, question: Callable[[Connection, PriceBook], T]) -> T | None:
        """The answer to what a person asked for once; what is wrong is said."""
        try:
            return await self.source.ask(question)
        except LedgerError as error:
            self._say(str(error))
            return None

    @work
    async def action_act(self) -> None:
        """Pause or resume the chosen account, after a question; elsewhere lead to the accounts."""
        if self._place != ACCOUNTS:
            self.action_view(ACCOUNTS + 1)
            return
        account = self.query_one(AccountList).chosen
        possible = actions(account) if account is not None else ()
        if account is None or not possible:
            self._say("nothing to pause or resume here: python -m ledger accounts, or the page, can do more")
            return
        action: str | None = possible[0]
        if len(possible) > 1:
            action = await self.push_screen_wait(ChoiceScreen(account.id, possible))
        if action is None:
            return
        title, effect = WORDS[action]
        if await self.push_screen_wait(QuestionScreen(f"{title} {account.id}?", effect)):
            try:
                await self.source.act(action, account.id)
                self._say("")
            except LedgerError as error:
                self._say(str(error))
            self.again(self._place)
