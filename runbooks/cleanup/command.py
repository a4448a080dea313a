"""`python -m runbooks cleanup-series`: the clean-up step by step."""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import yaml

from prometheus.http_api import Prometheus, checked
from runbooks.cleanup.guard import Guard, guards, offered
from runbooks.cleanup.series import Proof, Stock, admin_api_is_on, delete, find, prove
from runbooks.matchers import selector
from settings.arguments import OneLineParser

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


OPEN_ADMIN_API = """\
The admin API is off, so nothing can be deleted. Open it for the clean-up alone:
  a program:  restart Prometheus with --web.enable-admin-api
  compose:    add "- --web.enable-admin-api" to the command of the service prometheus in
              docker-compose.observability.yml, then: docker compose ... up -d prometheus
Then run this again."""

CLOSE_ADMIN_API = "Now close the admin API again: restart Prometheus without --web.enable-admin-api."


def add(commands: argparse._SubParsersAction[OneLineParser]) -> None:
    parser = commands.add_parser(
        "cleanup-series",
        help="remove series from Prometheus' history, and prove it",
        description=DESCRIPTION,
        epilog=EPILOG,
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
    Raises: TaskError, ApiError.
    """
    matchers = selector(arguments.model, arguments.account, arguments.matcher)
    api = Prometheus(checked(arguments.prometheus))
    stocks = [stock for stock in find(api, matchers, time.time(), print) if not stock.empty]
    if not stocks:
        print(f"no samples match {', '.join(matchers)}: nothing to delete")
        return 0
    _say(_stocked(stocks))
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
    found = guards(stocks, api.ask("status/config")["yaml"])
    _say(_guarded(found))
    if not any(guard.lets_them_back for guard in found):
        return True
    _say(_offer(matchers, arguments.model))
    return bool(arguments.unblocked)


def _can_delete(api: Prometheus) -> bool:
    on = admin_api_is_on(api)
    if not on:
        print(OPEN_ADMIN_API)
    return on


def _carry_out(api: Prometheus, stocks: Sequence[Stock], clean_tombstones: bool) -> int:
    delete(api, stocks, print)
    if clean_tombstones:
        print("cleaning tombstones")
        api.send("admin/tsdb/clean_tombstones")
    proof = prove(api, stocks, time.time())
    _say(_proven(proof))
    print(CLOSE_ADMIN_API)
    return 0 if proof.passed else 1


def _say(lines: Iterable[str]) -> None:
    for line in lines:
        print(line)


def _stocked(stocks: Sequence[Stock]) -> Iterator[str]:
    width = max(len(stock.name) for stock in stocks)
    yield f"{'metric':<{width}}  {'series':>8}  {'samples':>12}  still exported by"
    for stock in stocks:
        samples = "too many" if stock.samples is None else f"{stock.samples:,}"
        jobs = ", ".join(sorted({labels.get("job") or "(no job)" for labels in stock.active})) or "nobody"
        yield f"{stock.name:<{width}}  {len(stock.series):>8,}  {samples:>12}  {jobs}"


def _guarded(found: Sequence[Guard]) -> Iterator[str]:
    for guard in found:
        if guard.blocked:
            yield f"{guard.job}: a relabel rule keeps them out"
        elif guard.active:
            yield f"{guard.job}: nothing keeps them out, and they would be back with the next scrape"
        else:
            yield f"{guard.job}: does not export them now; no relabel rule would keep them out"


def _offer(matchers: Sequence[str], models: Sequence[str]) -> Iterator[str]:
    """What to add so that nothing comes back."""
    rules = [(matcher, offered(matcher)) for matcher in matchers]
    yield "Add to metric_relabel_configs of these jobs, reload Prometheus, wait for a scrape, run this again:"
    for matcher, rule in rules:
        if rule is None:
            yield f"  (no rule can be derived from {matcher}: write one by hand)"
        else:
            yield from ("  " + line for line in _entry(rule.document()))
    if models and len(models) == len(matchers):
        options = " ".join(f"--drop-model {model}" for model in models)
        yield f"or build it: python -m prometheus build {options}"


def _proven(proof: Proof) -> Iterator[str]:
    for kind, names in (("instant", proof.instant), ("range", proof.ranged)):
        said = f"still return samples of {', '.join(names)}" if names else "return nothing"
        yield f"verify: {kind} queries {said}"
    if proof.index:
        yield (
            f"verify: /series still lists {proof.index} label sets; that does not matter: "
            "they go with compaction and retention"
        )
    yield "passed" if proof.passed else "FAILED: samples are still there, or have come back"


def _entry(document: object) -> list[str]:
    return yaml.safe_dump([document], sort_keys=False, allow_unicode=True).splitlines()
