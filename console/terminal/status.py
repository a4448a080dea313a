"""`python -m console status`: usage and quota once, for a person, a status line or a program."""

from __future__ import annotations

import argparse
import gc
import os
import signal
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

from sqlalchemy import Connection

from console.errors import ConsoleError
from console.snapshot import NAMES, Name, Snapshot, snapshot
from console.terminal import lines, ready
from console.terminal.once import Ledger
from console.terminal.words import signs
from ledger.errors import LedgerError, UnknownAccount
from ledger.pricing.prices import PriceBook
from settings.arguments import OneLineParser, add_config, number
from settings.console import LOCALTIME
from settings.errors import SettingsError
from settings.load import Brief, brief

EXIT = {"ok": 0, "warn": 1, "crit": 2}
UNKNOWN = 3
CLEAR = "\x1b[H\x1b[2J"

EPILOG = """\
examples:
  python -m console status
  python -m console status --oneline                    today $12.40 · 5h:87%(2h1m) wk:50%(5d22h)
  python -m console status --format '{today_cost} {5h_used}'
  python -m console status --json --warn 80 --crit 95
  tmux:      set -g status-right '#(cd /srv/quotascope && python -m console status --oneline)'

exit codes: 0 below the thresholds, or none given; 1 at or above --warn; 2 at or above --crit; 3 the ledger
or the configuration cannot be read, or bad arguments
"""


def main(argv: Sequence[str], environ: Mapping[str, str] = os.environ, *, stays: bool = False) -> int:
    """Run the command; returns the exit code.

    Args:
        stays: a process may be left behind that answers the same command the next time.
    """
    asked = _parser().parse_args(argv)
    try:
        settings = brief(asked.config, environ)
        lines.names_in(asked.format or "")
    except (SettingsError, ConsoleError) as error:
        return _failed(str(error), asked)
    ledger = Ledger(settings)
    with suppress(KeyboardInterrupt):
        try:
            if asked.watch:
                return _repeated(ledger, settings, asked)
            code = _once(ledger, settings, asked)
            if stays and asked.stay and code != UNKNOWN and ledger.identity():
                again, state = (
                    partial(_again, ledger, settings, asked, environ),
                    partial(_state, ledger, _files()),
                )
                ready.stay(argv, environ, asked.stay, again, state)
            return code
        except BrokenPipeError:  # nobody reads any more
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return 0


def _repeated(ledger: Ledger, settings: Brief, asked: argparse.Namespace) -> int:
    """Until Ctrl-C; what cannot be read is said, and tried again."""
    gc.enable()
    clear = CLEAR if sys.stdout.isatty() and not (asked.json or asked.oneline or asked.format) else ""
    stopped = False

    def stop(*_: object) -> None:
        nonlocal stopped
        stopped = True  # what is raised while SQLite asks whether to go on ends a question, and no more
        raise KeyboardInterrupt

    signal.signal(signal.SIGINT, stop)
    while not stopped:
        print(clear, end="")
        _once(ledger, settings, asked)
        time.sleep(0 if stopped else asked.watch)
    return 0


def _once(ledger: Ledger, settings: Brief, asked: argparse.Namespace) -> int:
    try:
        code, text = _answer(ledger, settings, asked)
    except (LedgerError, ConsoleError) as error:
        return _failed(str(error), asked)
    print(text, flush=True)
    return code


def _answer(ledger: Ledger, settings: Brief, asked: argparse.Namespace) -> ready.Answer:
    now = datetime.now(UTC)
    found = ledger.answer(lambda c, book: _snapshot(c, book, now, settings, asked))
    reached = lines.level(found, asked.warn, asked.crit)
    return EXIT[reached], _text(found, reached, asked)


def _again(
    ledger: Ledger, settings: Brief, asked: argparse.Namespace, environ: Mapping[str, str]
) -> ready.Answer | None:
    """The next answer. What is wrong, and what a changed configuration says, a new process finds out."""
    try:
        unchanged = brief(asked.config, environ) == settings
        return _answer(ledger, settings, asked) if unchanged else None
    except (SettingsError, LedgerError, ConsoleError):
        return None


def _state(ledger: Ledger, files: Sequence[str]) -> object:
    """What an answer depends on beside the ledger's content: which file that is, and what is in others."""
    return ledger.identity(), [_stamp(Path(file)) for file in files]


def _files() -> list[str]:
    """What this program is made of, and the machine's time zone."""
    loaded = (getattr(module, "__file__", None) for module in sys.modules.values())
    return [str(LOCALTIME), *filter(None, loaded)]


def _stamp(file: Path) -> object:
    with suppress(OSError):
        found = file.stat()
        return found.st_ino, found.st_size, found.st_mtime_ns
    return None


def _snapshot(
    connection: Connection, book: PriceBook, now: datetime, settings: Brief, asked: argparse.Namespace
) -> Snapshot:
    names, compared = _needed(asked)
    found = snapshot(connection, book, now, settings.console.zone, names=names, compared=compared)
    if asked.account:
        known = {account.id: account for account in found.accounts}
        for name in asked.account:
            if name not in known:
                raise UnknownAccount(name, f"no such account; there are: {', '.join(known) or 'none'}")
        found = replace(found, accounts=tuple(known[name] for name in asked.account))
    return found


def _needed(asked: argparse.Namespace) -> tuple[Sequence[Name], bool]:
    """The periods that are shown, and whether with those before: asking for less is faster."""
    if asked.format:
        return lines.periods_in(asked.format), "_change}" in asked.format
    return (("today",), False) if asked.oneline else (NAMES, True)


def _text(found: Snapshot, reached: lines.Level, asked: argparse.Namespace) -> str:
    drawn = signs(sys.stdout.encoding, ascii_only=asked.ascii)
    if asked.json:
        return lines.json_line(lines.document(found, reached))
    if asked.format:
        return lines.formatted(asked.format, found, reached, drawn)
    return lines.oneline(found, drawn) if asked.oneline else lines.table(found, drawn)


def _failed(problem: str, asked: argparse.Namespace) -> int:
    if asked.json:
        print(lines.json_line({"schema": lines.SCHEMA, "error": problem}), flush=True)
    else:
        print(f"status: {problem}", file=sys.stderr, flush=True)
    return UNKNOWN


class _Parser(OneLineParser):
    exit_code = UNKNOWN  # 2 would say that a window is full


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog="python -m console status",
        description="Print the cost of the current periods compared with the previous ones, and the quota "
        "usage of each account.",
        epilog=EPILOG,
    )
    add_config(parser)
    shape = parser.add_mutually_exclusive_group()
    shape.add_argument("--json", action="store_true", help="one line of JSON; see docs/terminal.md")
    shape.add_argument("--oneline", action="store_true", help="one short line for a status bar")
    shape.add_argument("--format", metavar="TEXT", help="a custom line with fields like {today_cost}")
    parser.add_argument("--account", metavar="ID", action="append", help="only this account; repeatable")
    parser.add_argument(
        "--warn", metavar="PERCENT", type=number(0, 100), help="exit with 1 if a window is at least this full"
    )
    parser.add_argument(
        "--crit", metavar="PERCENT", type=number(0, 100), help="exit with 2 if a window is at least this full"
    )
    parser.add_argument("--watch", metavar="SECONDS", type=number(0.2, 86_400), help="repeat until Ctrl-C")
    parser.add_argument(
        "--stay",
        metavar="SECONDS",
        type=number(0, 86_400),
        default=0.0,
        help="for a prompt: leave a process behind for as long, which answers the same command quickly",
    )
    parser.add_argument(
        "--ascii", action="store_true", help="use plain ASCII even if the terminal supports more"
    )
    return parser
