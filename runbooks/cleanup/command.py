"""`python -m runbooks cleanup-series`: the clean-up step by step."""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from prometheus.cli import OneLineParser
from runbooks.cleanup import report
from runbooks.cleanup.deletion import admin_api_is_on, delete, prove
from runbooks.cleanup.guard import guards
from runbooks.cleanup.stock import Stock, find
from runbooks.matchers import selector
from runbooks.prometheus_api import Prometheus, server

DESCRIPTION = """\
Removes series from Prometheus' history: of a model, an account, or whatever a matcher selects. Shows first
what matches and who still exports it, makes sure that a relabel rule keeps it from coming back and that the
admin API is on, asks, deletes, and then proves by queries that nothing is left.
"""

EPILOG = """\
examples:
  python -m runbooks cleanup-series --model gpt-4.1-mini --dry-run
  python -m runbooks cleanup-series --model gpt-4.1-mini
  python -m runbooks cleanup-series --matcher 'codex_lb_proxy_latency_ms_bucket{api="other"}' --yes

exit codes: 0 deleted and proven, or nothing to delete; 1 something stands in the way, or samples are left;
2 bad arguments, or Prometheus does not answer
"""


def add(commands: argparse._SubParsersAction[OneLineParser]) -> None:
    """Add the command and its arguments."""
    parser = commands.add_parser(
        "cleanup-series",
        help="remove series from Prometheus' history, and prove it",
        description=DESCRIPTION,
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    several: dict[str, Any] = {"action": "append", "default": []}
    parser.add_argument("--model", metavar="NAME", **several, help="every series of this model; repeatable")
    parser.add_argument("--account", metavar="ID", **several, help="every series of this account; repeatable")
    parser.add_argument("--matcher", metavar="SELECTOR", **several, help="like 'up{job=\"old\"}'; repeatable")
    parser.add_argument(
        "--prometheus", metavar="URL", default="http://127.0.0.1:9090", help="default: http://127.0.0.1:9090"
    )
    parser.add_argument("--dry-run", action="store_true", help="look, and delete nothing")
    parser.add_argument("--yes", action="store_true", help="do not ask before deleting")
    parser.add_argument(
        "--unblocked", action="store_true", help="delete even what comes back with the next scrape"
    )
    parser.add_argument(
        "--clean-tombstones",
        action="store_true",
        help="rewrite the blocks at once, to free the disk; otherwise that happens at the next compaction",
    )


def run(arguments: argparse.Namespace, confirm: Callable[[str], bool]) -> int:
    """Clean up; returns the exit code.

    Args:
        confirm: asks a person; True means go on.
    Raises: TaskError.
    """
    matchers = selector(arguments.model, arguments.account, arguments.matcher)
    api = server(arguments.prometheus)
    stocks = [stock for stock in find(api, matchers, time.time(), print) if not stock.empty]
    if not stocks:
        print(f"no samples match {', '.join(matchers)}: nothing to delete")
        return 0
    _say(report.stocked(stocks))
    ready = _nothing_returns(api, arguments, matchers, stocks) and _can_delete(api)
    if arguments.dry_run or not ready:
        print("nothing was deleted")
        return 0 if ready else 1
    series = sum(len(stock.series) for stock in stocks)
    if not arguments.yes and not confirm(f"Delete {series} series of {len(stocks)} metrics for good?"):
        print("nothing was deleted")
        return 1
    return _carry_out(api, stocks, arguments.clean_tombstones)


def _nothing_returns(
    api: Prometheus, arguments: argparse.Namespace, matchers: Sequence[str], stocks: Sequence[Stock]
) -> bool:
    found = guards(stocks, matchers, api.config())
    _say(report.guarded(found))
    if not any(guard.lets_them_back for guard in found):
        return True
    _say(report.offer(matchers, arguments.model))
    return bool(arguments.unblocked)


def _can_delete(api: Prometheus) -> bool:
    on = admin_api_is_on(api)
    if not on:
        print(report.OPEN_ADMIN_API)
    return on


def _carry_out(api: Prometheus, stocks: Sequence[Stock], clean_tombstones: bool) -> int:
    delete(api, stocks, print)
    if clean_tombstones:
        print("cleaning tombstones")
        api.clean_tombstones()
    proof = prove(api, stocks, time.time())
    _say(report.proven(proof))
    print(report.CLOSE_ADMIN_API)
    return 0 if proof.passed else 1


def _say(lines: Iterable[str]) -> None:
    for line in lines:
        print(line)
