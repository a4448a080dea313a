"""The usage windows of accounts as bars. Pure."""

from __future__ import annotations

from rich.text import Text

from console import formats as f
from console.quota import Pace
from console.snapshot import OUT_OF_USE, AccountQuota, Snapshot
from console.terminal import words
from console.terminal.words import Signs

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
    told = words.percent(window.used).rjust(4)
    told += f" {'resets ' if roomy and reset else ''}{reset}".ljust(14 if roomy else 7)
    leads = words.leads(window, found.at) if roomy else words.leads_short(window, found.at)
    told += f" {leads}".ljust(17 if roomy else 11)
    bar = min(MAX_BAR, max(3, size - len(window.short) - 3 - len(told)))
    text = Text(f"{window.short} ", style="not bold")
    text.append(words.bar(window.used, bar, signs), style)
    text.append(f" {told} ")
    return text
