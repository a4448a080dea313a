"""A table that scrolls: as many rows as there are, of which only those in sight are drawn."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from typing import ClassVar

from rich.cells import cell_len, set_cell_size
from rich.segment import Segment
from rich.style import Style
from textual import events
from textual.binding import Binding, BindingType
from textual.geometry import Size
from textual.message import Message
from textual.scroll_view import ScrollView
from textual.strip import Strip

from console.terminal.words import UTF8, Signs

PLAIN, HEAD, CURSOR = Style(), Style(bold=True), Style(reverse=True)
NEAR_END = 20
"""So many rows before the last one, older ones are asked for."""


@dataclass(frozen=True, slots=True)
class Column:
    """A column of a table.

    Attributes:
        width: characters; of one with `grows`, at least.
        grows: it gets what the others leave.
        from_width: it is shown on screens from so many characters on.
    """

    title: str
    width: int
    right: bool = False
    grows: bool = False
    from_width: int = 0


@dataclass(frozen=True, slots=True)
class Cell:
    """A text with a style of Rich's words, like `red` or `bold yellow`."""

    text: str
    style: str = ""


@dataclass(frozen=True, slots=True)
class Row:
    """A row: what is known by, and its cells in the order of the columns."""

    key: Hashable
    cells: tuple[Cell | str, ...]


class Listing(ScrollView, can_focus=True):
    """Rows with a cursor, moved by keys and by the mouse."""

    DEFAULT_CSS = "Listing { height: 1fr; scrollbar-size: 0 0; }"

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("up,k", "step(-1)", "Up", show=False),
        Binding("down,j", "step(1)", "Down", show=False),
        Binding("pageup", "page(-1)", "Page up", show=False),
        Binding("pagedown", "page(1)", "Page down", show=False),
        Binding("home,g", "edge(0)", "First", show=False),
        Binding("end,G", "edge(1)", "Last", show=False),
        Binding("enter", "open", "Open", show=False),
    ]

    class Moved(Message):
        """The cursor is elsewhere, or there are other rows."""

        def __init__(self, listing: Listing) -> None:
            super().__init__()
            self.listing = listing

    class Opened(Message):
        def __init__(self, key: Hashable) -> None:
            super().__init__()
            self.key = key

    class NearEnd(Message):
        """The last rows are in sight."""

    def __init__(self, columns: Sequence[Column], signs: Signs = UTF8) -> None:
        super().__init__()
        self._columns, self._signs = tuple(columns), signs
        self._rows: tuple[Row, ...] = ()
        self._empty = ""
        self.cursor = 0

    @property
    def rows(self) -> tuple[Row, ...]:
        return self._rows

    @property
    def chosen(self) -> Row | None:
        return self._rows[self.cursor] if self._rows else None

    def fill(self, rows: Sequence[Row], *, columns: Sequence[Column] | None = None, empty: str = "") -> None:
        """Show other rows. The cursor stays with its row; at the top it stays at the top."""
        new = tuple(rows)
        if new == self._rows and empty == self._empty and columns in (None, self._columns):
            return
        before, chosen = self.cursor, self.chosen
        self._rows, self._empty = new, empty
        self._columns = tuple(columns) if columns else self._columns
        if before and chosen is not None:
            places = {row.key: place for place, row in enumerate(new)}
            self.cursor = places.get(chosen.key, min(before, max(0, len(new) - 1)))
        else:
            self.cursor = 0
        self.virtual_size = Size(self.size.width, len(new) + 1)
        if self.cursor != before:
            self.scroll_to(y=self.scroll_offset.y + self.cursor - before, animate=False)
        self._show_cursor()

    def action_step(self, by: int) -> None:
        self._go(self.cursor + by)

    def action_page(self, by: int) -> None:
        self._go(self.cursor + by * max(1, self._height - 1))

    def action_edge(self, last: int) -> None:
        self._go(len(self._rows) if last else 0)

    def action_open(self) -> None:
        if self.chosen is not None:
            self.post_message(self.Opened(self.chosen.key))

    def on_click(self, event: events.Click) -> None:
        """The first click chooses a row, one more opens it."""
        place = self.scroll_offset.y + event.y - 1
        if event.y < 1 or place >= len(self._rows):
            return
        if place == self.cursor:
            self.action_open()
        else:
            self._go(place)

    def on_resize(self) -> None:
        self.virtual_size = Size(self.size.width, len(self._rows) + 1)
        self._show_cursor()

    @property
    def _height(self) -> int:
        return max(1, self.size.height - 1)

    def _go(self, place: int) -> None:
        self.cursor = max(0, min(place, len(self._rows) - 1))
        self._show_cursor()
        if self._rows and self.cursor >= len(self._rows) - NEAR_END:
            self.post_message(self.NearEnd())

    def _show_cursor(self) -> None:
        top = self.scroll_offset.y
        if self.cursor < top:
            self.scroll_to(y=self.cursor, animate=False)
        elif self.cursor >= top + self._height:
            self.scroll_to(y=self.cursor - self._height + 1, animate=False)
        self.refresh()
        self.post_message(self.Moved(self))

    def render_line(self, y: int) -> Strip:
        width = self.size.width
        if y == 0:
            return self._line([Cell(column.title) for column in self._columns], HEAD, width)
        place = self.scroll_offset.y + y - 1
        if place < len(self._rows):
            under = CURSOR if place == self.cursor and self.has_focus else PLAIN
            return self._line(self._rows[place].cells, under, width)
        text = self._empty if y == 2 and not self._rows else ""
        return Strip([Segment(set_cell_size(f" {text}", width), PLAIN)], width)

    def _line(self, cells: Sequence[Cell | str], style: Style, width: int) -> Strip:
        shown = [c for c in self._columns if width >= c.from_width]
        rest = width - sum(column.width + 1 for column in shown)
        segments = [Segment(" ", style)]
        for column, cell in zip_longest(self._columns, cells, fillvalue=""):
            if not isinstance(column, Column) or width < column.from_width:
                continue
            one = cell if isinstance(cell, Cell) else Cell(cell)
            size = column.width + (max(0, rest) if column.grows else 0)
            text = self._fitted(one.text, size, right=column.right)
            segments.append(Segment(text + " ", style + Style.parse(one.style) if one.style else style))
        return Strip(segments).adjust_cell_length(width, style)

    def _fitted(self, text: str, size: int, *, right: bool) -> str:
        text = self._signs.plain(text)
        length = cell_len(text)
        if length > size:
            return set_cell_size(text, max(0, size - 1)) + self._signs.more
        blank = " " * (size - length)
        return blank + text if right else text + blank
