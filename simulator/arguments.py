"""What `python -m simulator` can be told."""

from __future__ import annotations

from argparse import ArgumentTypeError
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

from settings.arguments import OneLineParser
from settings.urls import is_http
from simulator.history.seeded import EXPORTER_ADDRESS
from simulator.provider.fixed import EVENTS_PER_WRITE

Add = Callable[..., OneLineParser]
"""Adds a command: the `add_parser` of argparse."""


def parser() -> OneLineParser:
    """The parser; its result has `command` and that command's options."""
    top = OneLineParser(
        prog="python -m simulator",
        description="A simulated LLM provider, callers that use it, and invented history with known totals.",
        epilog="Exit codes: 0 done, 1 nothing could be reached, 2 bad input.",
    )
    commands = top.add_subparsers(dest="command", required=True, metavar="COMMAND")
    _upstream(commands.add_parser)
    _traffic(commands.add_parser)
    _history(commands.add_parser)
    return top


def _upstream(add: Add) -> None:
    sub = add(
        "upstream",
        help="run a provider that speaks OpenAI's API",
        description="Run a provider: chat completions, responses, completions, embeddings, messages, models.",
        epilog="Put the proxy before it:\n"
        "  CODEX_USAGE_UPSTREAM_BASE_URL=http://127.0.0.1:9999 python -m proxy",
    )
    sub.add_argument(
        "--listen",
        type=address,
        default=("127.0.0.1", 9999),
        metavar="HOST:PORT",
        help="where (default 127.0.0.1:9999; port 0 takes a free one)",
    )
    sub.add_argument("--seed", type=int, default=1, help="draws other answers (default 1)")
    sub.add_argument(
        "--speed",
        type=positive,
        default=1.0,
        metavar="FACTOR",
        help="answer so many times faster than a real provider (default 1)",
    )
    sub.add_argument(
        "--fleet", type=Path, metavar="FILE", help="go on with the accounts' quota where a history left it"
    )
    sub.add_argument(
        "--fixed", action="store_true", help="for benchmarks: the same bytes for every request, at once"
    )
    sub.add_argument(
        "--events-per-write",
        type=whole,
        default=EVENTS_PER_WRITE,
        metavar="N",
        help=f"with --fixed: events of a stream that leave together (default {EVENTS_PER_WRITE})",
    )


def _traffic(add: Add) -> None:
    sub = add(
        "traffic",
        help="send requests of several callers to a proxy or provider",
        description="Send chat completions, responses and embeddings, streamed and not, until Ctrl-C.",
    )
    sub.add_argument(
        "--base-url",
        type=base_url,
        default="http://127.0.0.1:8787/v1",
        metavar="URL",
        help="whom to ask, with /v1 (default http://127.0.0.1:8787/v1)",
    )
    sub.add_argument(
        "--rate", type=positive, default=3.0, help="mean number of requests per second (default 3)"
    )
    sub.add_argument("--seconds", type=positive, help="end after so long (default: never)")
    sub.add_argument("--seed", type=int, default=1, help="draws other requests (default 1)")
    sub.add_argument(
        "--rhythm",
        metavar="ZONE",
        help="follow the working hours of a time zone, like Europe/Berlin (default: the same rate always)",
    )


def _history(add: Add) -> None:
    sub = add(
        "history",
        help="invent weeks of requests with known totals",
        description="Invent history and write it into a ledger, into a file for Prometheus, or both.",
        epilog="Into a Prometheus:\n"
        "  python -m simulator history --openmetrics samples.txt --interval 300\n"
        "  promtool tsdb create-blocks-from openmetrics --max-block-duration=18h samples.txt DATA_DIR",
    )
    sub.add_argument(
        "--database",
        metavar="FILE|URL",
        help="the ledger: a SQLite file, or postgresql://USER@HOST/NAME; made where it is missing",
    )
    sub.add_argument(
        "--openmetrics",
        type=Path,
        metavar="FILE",
        help="the samples that a Prometheus would have of it, for promtool",
    )
    sub.add_argument("--days", type=whole, default=14, help="how many days (default 14)")
    sub.add_argument(
        "--until",
        type=moment,
        metavar="TIME",
        help="when it ends, like 2026-09-15 or 2026-09-15T08:30, UTC (default: now)",
    )
    sub.add_argument(
        "--requests-per-day",
        type=positive,
        default=1_430.0,
        metavar="N",
        help="mean of a week (default 1430)",
    )
    sub.add_argument(
        "--zone", default="Europe/Berlin", help="whose working hours it follows (default Europe/Berlin)"
    )
    sub.add_argument("--seed", type=int, default=1, help="invents another history (default 1)")
    sub.add_argument("--fleet", type=Path, metavar="FILE", help="keep where the accounts' quota ends in here")
    sub.add_argument(
        "--keys", type=Path, metavar="FOLDER", help="with --database: give the accounts keys, kept in here"
    )
    sub.add_argument(
        "--instances",
        nargs=2,
        default=("127.0.0.1:8787", EXPORTER_ADDRESS),
        metavar=("PROXY", "EXPORTER"),
        help=f"with --openmetrics: where both are scraped (default 127.0.0.1:8787 {EXPORTER_ADDRESS})",
    )
    sub.add_argument(
        "--interval",
        type=whole,
        default=60,
        metavar="SECONDS",
        help="with --openmetrics: from sample to sample (default 60)",
    )


def address(text: str) -> tuple[str, int]:
    host, _, port = text.rpartition(":")
    if not host or not port.isdigit() or int(port) > 65_535:
        raise ArgumentTypeError(f"{text!r} is not an address; allowed: HOST:PORT, like 127.0.0.1:9999")
    return host.strip("[]"), int(port)


def base_url(text: str) -> str:
    """An http URL without a trailing slash."""
    if not is_http(text):
        raise ArgumentTypeError(f"{text!r} is not a URL; allowed: one like http://127.0.0.1:8787/v1")
    return text.rstrip("/")


def positive(text: str) -> float:
    """A number above 0."""
    try:
        number = float(text)
    except ValueError:
        number = 0.0
    if not 0 < number < float("inf"):
        raise ArgumentTypeError(f"{text!r} is not a number above 0")
    return number


def whole(text: str) -> int:
    """A whole number above 0."""
    if not text.isascii() or not text.isdigit() or int(text) == 0:
        raise ArgumentTypeError(f"{text!r} is not a whole number above 0")
    return int(text)


def moment(text: str) -> datetime:
    """A day or a time, UTC where it does not say."""
    try:
        found = datetime.fromisoformat(text)
    except ValueError as error:
        raise ArgumentTypeError(f"{text!r} is not a time; allowed: one like 2026-09-15T08:30") from error
    return found.replace(tzinfo=UTC) if found.tzinfo is None else found.astimezone(UTC)
