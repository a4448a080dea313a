"""What the views have in common: parts that keep themselves up to date, a table, a filter, an order."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, ClassVar
from zoneinfo import ZoneInfo

from sqlalchemy import Connection
from textual.containers import Vertical

from console.terminal.listing import Listing
from console.terminal.words import Signs
from ledger.pricing.prices import PriceBook


@dataclass(frozen=True, slots=True)
class Part:
    """A part of a view.

    Attributes:
        name: by which the part is known from one time to the next.
        question: asked again when the ledger has changed, or a minute has passed.
        show: what is done with the answer.
        share: of the time that it may take: one that takes 50 ms is asked 2 times a second with 0.1.
    """

    name: str
    question: Callable[[Connection, PriceBook], Any]
    show: Callable[[Any], None]
    share: float = 0.1


@dataclass(frozen=True, slots=True)
class Look:
    """How things are shown: the zone of times, the signs, whether e-mail addresses may be seen, the clock."""

    zone: ZoneInfo
    signs: Signs
    emails: bool
    now: Callable[[], datetime] = lambda: datetime.now(UTC)


class View(Vertical):
    """One of the views. `again` has to be called when a question of its parts is another one."""

    TITLE: ClassVar[str] = ""
    SORTS: ClassVar[tuple[str, ...]] = ()

    def __init__(self, look: Look, again: Callable[[], None]) -> None:
        super().__init__()
        self.look, self.again = look, again
        self.text, self.sort = "", 0

    def parts(self) -> Sequence[Part]:
        raise NotImplementedError

    def redraw(self) -> None:
        """Draw once more what is known: the filter, the order or the size is another one."""
        raise NotImplementedError

    @property
    def listing(self) -> Listing:
        return self.query_one(Listing)

    @property
    def hint(self) -> str:
        """What the last line says of the view: its filter and its order."""
        sort = f"sorted by {self.SORTS[self.sort]}" if self.SORTS else ""
        text = f"/{self.text}" if self.text else ""
        return "  ".join(filter(None, (sort, text)))

    def filter(self, text: str) -> None:
        self.text = text
        self.redraw()

    def sort_next(self) -> None:
        if self.SORTS:
            self.sort = (self.sort + 1) % len(self.SORTS)
            self.redraw()

    def back(self) -> None:
        """Escape, where no filter is typed: leave what one has gone into."""

    def holds(self, *texts: object) -> bool:
        """Whether one of several texts has the filter's in it."""
        wanted = self.text.casefold()
        return not wanted or any(wanted in str(text or "").casefold() for text in texts)

    def on_resize(self) -> None:
        self.redraw()
