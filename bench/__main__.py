"""`python -m bench`: run the named benchmarks and print their tables."""

from __future__ import annotations

import argparse
import platform
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from bench import (
    collector,
    console,
    dashboards,
    exporter,
    fleet,
    ledger,
    outbox,
    quota,
    relay,
    soak,
    terminal,
    upkeep,
)


def _relay(options: argparse.Namespace) -> Iterator[str]:
    rounds, seconds, against = options.rounds, options.seconds, options.against
    for title, rows in relay.compare(rounds, seconds, options.connections, against).items():
        yield relay.table(title, rows) + "\n"
    yield relay.tail_table(relay.tails(rounds, seconds, against))


def _quota(options: argparse.Namespace) -> Iterator[str]:
    results = quota.compare()
    yield quota.table(results)
    if options.plot:
        quota.plot(results, options.plot)


def _dashboards(_: argparse.Namespace) -> Iterator[str]:
    costs = dashboards.measure()
    yield dashboards.table(costs)
    if over := dashboards.over_budget(costs):
        raise SystemExit(f"more than {dashboards.MOST:,} samples at 7 days: {', '.join(over)}")


def _ledger(options: argparse.Namespace) -> Iterator[str]:
    return _listed(ledger.measure(options.ledger, options.rows, options.database))


def _whole(table: Callable[[], str]) -> Callable[[argparse.Namespace], Iterator[str]]:
    """One that has nothing to choose."""
    return lambda _: iter([table()])


def _figures(
    measure: Callable[[Path | None, int], Iterator[tuple[str, str]]],
) -> Callable[[argparse.Namespace], Iterator[str]]:
    """One of a ledger that is there, or that is made with so many rows: names and figures as they come."""

    return lambda options: _listed(measure(options.ledger, options.rows))


def _listed(found: Iterator[tuple[str, str]]) -> Iterator[str]:
    yield "| | measured |\n|---|--:|"
    yield from (f"| {name} | {figure} |" for name, figure in found)


BENCHES: dict[str, tuple[str, Callable[[argparse.Namespace], Iterator[str]]]] = {
    "relay": ("the proxy against a bare pass-through, nginx, no proxy at all", _relay),
    "fleet": (
        "50,000 requests over 20 accounts in every trouble, judged by the provider's log",
        _whole(lambda: fleet.table(fleet.findings())),
    ),
    "soak": (
        "1,000 streams at once, 200,000 requests in a row, scrapes under load",
        _whole(lambda: soak.table(soak.findings())),
    ),
    "exporter": (
        "a scrape of 1,000 accounts at 100,000 and at 10 million stored requests",
        _whole(lambda: exporter.table(exporter.compare(exporter.SCRAPES))),
    ),
    "ledger": (
        "insertion, size and the questions of the monitoring page, beside a naive GROUP BY",
        _ledger,
    ),
    "upkeep": (
        "backup, export, check and forgetting, and how long a writer waits meanwhile",
        _figures(upkeep.measure),
    ),
    "console": (
        "the monitoring page on a large ledger, its open pages, its live rows",
        _figures(console.measure),
    ),
    "terminal": (
        "a status line beside Python's own start, and the screen beside a proxy that writes",
        _figures(terminal.measure),
    ),
    "outbox": (
        "PostgreSQL away for the events of ten minutes at 500 a second, and back again",
        _whole(lambda: outbox.table(outbox.measure())),
    ),
    "quota": ("the quota estimate on 1,000 accounts whose true quotas are known", _quota),
    "collector": (
        "200,000 events that wait in a gateway's queue, and 500 a second",
        _whole(lambda: collector.table(collector.findings())),
    ),
    "dashboards": ("samples that opening each dashboard loads, with and without rules", _dashboards),
}
"""What can be measured: a line of help and what to run, which gives its tables."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run benchmarks; returns the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m bench",
        description="Compare side by side in one run; medians of interleaved rounds.",
        epilog="\n".join(f"  {name:12} {text}" for name, (text, _) in BENCHES.items()),
    )
    parser.add_argument("what", nargs="*", metavar="NAME", help="what to measure, see below (default: all)")
    parser.add_argument("--rounds", type=int, default=5, help="interleaved rounds (default: 5)")
    parser.add_argument("--seconds", type=int, default=4, help="seconds of each measurement (default: 4)")
    parser.add_argument("--connections", type=int, default=32, help="connections of the load (default: 32)")
    parser.add_argument(
        "--rows", type=int, default=1_000_000, help="ledger: requests to store (default: 1000000)"
    )
    parser.add_argument(
        "--ledger", type=Path, metavar="FILE", help="console, ledger, terminal: a ledger that is there"
    )
    parser.add_argument(
        "--database", metavar="URL", help="ledger: a PostgreSQL that holds such a ledger, asked alone"
    )
    parser.add_argument(
        "--against", type=_checkout, metavar="FOLDER", help="relay: another checkout, measured beside"
    )
    parser.add_argument("--plot", type=Path, metavar="PNG", help="quota: draw what it finds")
    options = parser.parse_args(arguments)
    unknown = [name for name in options.what if name not in BENCHES]
    if unknown:
        parser.error(f"no benchmark {unknown[0]!r}; there are: {', '.join(BENCHES)}")
    print(machine(), end="\n\n")
    for name in options.what or BENCHES:
        for text in BENCHES[name][1](options):
            print(text, flush=True)
    return 0


def _checkout(text: str) -> Path:
    folder = Path(text).resolve()
    if not (folder / "proxy" / "__main__.py").is_file():
        raise argparse.ArgumentTypeError(f"{text!r} is no checkout of Quotascope")
    return folder


def machine() -> str:
    """The machine in one line."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text(encoding="utf-8").splitlines() if info.exists() else []
    models = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    cpu = f"{len(models)} x {models[0]}" if models else platform.processor()
    return f"{cpu}, {platform.system()} {platform.release()}, Python {platform.python_version()}"


if __name__ == "__main__":
    sys.exit(main())
