"""What is laid over a view: texts that scroll, and questions before something is done."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from rich.text import Text
from textual import events
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical, VerticalScroll
from textual.screen import ModalScreen
from textual.widgets import Static

HELP = """\
1 2 3 4, Tab        views: overview, by, prices, accounts
up down, k j        one row        PgUp PgDn         one page
Home End, g G       first, last    Enter             open a row
Esc                 close, or take a filter away
/                   filter: type, Enter keeps it, Esc takes it away
s                   next order
d, D                By: next dimension, the one before
u, U                By: next unit of time, the one before
p                   pause: nothing moves until p is pressed again
a                   pause or resume the chosen account; asks first
?                   this text
q, Ctrl-C           quit

The mouse works: click a view, a row, once more to open it; the wheel scrolls.

Cost is what list prices say. `unknown`: the model has no price, or the answer had no counts. \
`+/-` compares with as much of the period before; `left` is what will be at the reset, at the pace so far."""


SMALL = """ {
    align: center middle; background: ansi_default;
    Vertical {
        width: 70; max-width: 100%; height: auto;
        border: ascii ansi_default; padding: 0 1; background: ansi_default;
    }
    Static { height: auto; }
}"""
"""How a screen with a question looks."""


class TextScreen(ModalScreen[None]):
    DEFAULT_CSS = """
    TextScreen { align: center middle; background: ansi_default; }
    TextScreen > VerticalScroll {
        width: 100%; max-width: 110; height: auto; max-height: 100%;
        border: ascii ansi_default; padding: 0 1; background: ansi_default;
        scrollbar-size: 0 0;
    }
    TextScreen Static { width: 100%; height: auto; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,enter,q", "dismiss", priority=True, show=False),
        Binding("j", "scroll(1)", show=False),
        Binding("k", "scroll(-1)", show=False),
    ]

    def __init__(self, title: str, text: Text) -> None:
        super().__init__()
        self._title, self._text = title, text

    def compose(self) -> ComposeResult:
        with VerticalScroll() as frame:
            frame.border_title = self._title
            frame.border_subtitle = "Esc closes"
            yield Static(self._text)

    def action_scroll(self, by: int) -> None:
        self.query_one(VerticalScroll).scroll_relative(y=by, animate=False)


class HelpScreen(TextScreen):
    def __init__(self) -> None:
        super().__init__("Keys", Text(HELP))


class ChoiceScreen(ModalScreen["str | None"]):
    """Which of several actions; each by its first letter."""

    DEFAULT_CSS = "ChoiceScreen" + SMALL
    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape,n,q", "choose('')", priority=True, show=False)]

    def __init__(self, title: str, names: Sequence[str]) -> None:
        super().__init__()
        self._title, self._names = title, names

    def compose(self) -> ComposeResult:
        with Vertical() as frame:
            frame.border_title = self._title
            yield Static(Text("\n".join(f"{name[0]}  {name}" for name in self._names) + "\n\nEsc: nothing"))

    def on_key(self, event: events.Key) -> None:
        for name in self._names:
            if event.key == name[0]:
                self.dismiss(name)

    def action_choose(self, name: str) -> None:
        self.dismiss(name or None)


class QuestionScreen(ModalScreen[bool]):
    """Asks before something is done. Nothing is done by a key that is easily hit: it takes a `y`."""

    DEFAULT_CSS = "QuestionScreen" + SMALL
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("y", "answer(True)", priority=True, show=False),
        Binding("n,escape,q", "answer(False)", priority=True, show=False),
    ]

    def __init__(self, title: str, text: str) -> None:
        super().__init__()
        self._title, self._text = title, text

    def compose(self) -> ComposeResult:
        with Vertical() as frame:
            frame.border_title = self._title
            yield Static(Text(self._text))
            yield Static(Text("\ny yes   n no", style="bold"))

    def action_answer(self, answer: bool) -> None:
        self.dismiss(answer)
