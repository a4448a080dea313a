"""`python -m ledger backup | restore | check | vacuum | prune | export | stats | migrate`."""

from __future__ import annotations

import argparse
import gc
import os
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from time import monotonic
from typing import IO, Any, get_args

from sqlalchemy import URL, Engine

from ledger.cli.moments import moment
from ledger.errors import LedgerError, StoreError
from ledger.outbox import contents
from ledger.pricing.prices import PriceBook
from ledger.requests.filter import DIMENSIONS, CacheState, RequestFilter
from ledger.state import is_there, missing
from ledger.store import migrate, name_of, reader, writer
from ledger.upkeep import checking, copies, retention, space
from ledger.upkeep.exporting import Texts, batches
from ledger.upkeep.formats import FORMATS
from ledger.values import Status

REPORT_SECONDS = 2.0
NONE = "(none)"
"""Stands for requests that have no such value."""


@dataclass(frozen=True, slots=True)
class Ledger:
    """The ledger of the configuration.

    Attributes:
        book: makes the prices that hold.
        outbox: where proxies of this machine keep what the ledger does not have yet; None: nowhere.
    """

    url: URL
    keep: retention.Keep
    book: Callable[[], PriceBook]
    outbox: Path | None = None


def add_upkeep(subjects: Any, config: Callable[[argparse.ArgumentParser], None]) -> None:
    made = {}
    for name, (_, help_text) in COMMANDS.items():
        made[name] = subjects.add_parser(name, help=help_text, description=help_text)
        config(made[name])
    file = "the copy (default: next to the ledger, with a timestamp)"
    made["backup"].add_argument("file", nargs="?", type=Path, help=file)
    made["restore"].add_argument("file", type=Path, help="a copy made by `backup`")
    kept = "replace an existing ledger, which is kept under another name"
    made["restore"].add_argument("--replace", action="store_true", help=kept)
    made["check"].add_argument("--repair", action="store_true", help="rebuild aggregates that differ")
    through = "verify the whole file, too (a small one always is): one long read, and the WAL grows"
    made["check"].add_argument("--file", action="store_true", default=None, help=through)
    whole = "rewrite the whole file to its minimum size; proxies cannot write meanwhile"
    made["vacuum"].add_argument("--full", action="store_true", help=whole)
    _add_export(made["export"])


def _add_export(sub: argparse.ArgumentParser) -> None:
    sub.add_argument("file", nargs="?", type=Path, help=".csv, .jsonl or .parquet (default: standard output)")
    sub.add_argument(
        "--format", choices=sorted(FORMATS), help="default: by the file's extension; jsonl on standard output"
    )
    sub.add_argument(
        "--since", type=moment, help="from this time on, like 2026-08-21T12:00+02:00 (default zone: UTC)"
    )
    sub.add_argument("--until", type=moment, help="before this time")
    for name in DIMENSIONS:
        choices = get_args(Status) if name == "status" else None
        help_text = f"repeatable; {NONE} selects requests without one"
        sub.add_argument(
            _option(name), action="append", default=[], metavar="VALUE", choices=choices, help=help_text
        )
    sub.add_argument("--cache", action="append", default=[], choices=get_args(CacheState))
    sub.add_argument("--text", default="", help="text in a model name, an id, an error, ...")


def run(asked: argparse.Namespace, ledger: Ledger, now: datetime) -> str:
    """Run one of the commands; what it has to say. Raises: LedgerError."""
    command, _ = COMMANDS[asked.subject]
    return command(asked, ledger, now)


def _backup(asked: argparse.Namespace, ledger: Ledger, now: datetime) -> str:
    file = _file(ledger.url, "pg_dump --format=custom --file=FILE DATABASE")
    if not file.exists():
        raise missing(ledger.url)
    copy = copies.make(
        file, asked.file or copies.default_name(file, now), _progress("copied", "MB", 1_000_000)
    )
    return f"{copy.path}: {_described(copy)}; verified"


def _restore(asked: argparse.Namespace, ledger: Ledger, now: datetime) -> str:
    file = _file(ledger.url, "pg_restore --clean --if-exists --dbname=DATABASE FILE")
    copy, kept = copies.restore(asked.file, file, replace=asked.replace, now=now)
    before = f"; the ledger before it is {kept}" if kept else ""
    return f"{file}: restored, {_described(copy)}{before}"


def _check(asked: argparse.Namespace, ledger: Ledger, now: datetime) -> str:
    with _opened(ledger.url) as engine:
        progress = _progress("checked", "hours")
        report = checking.check(engine, mend=asked.repair, file=asked.file, progress=progress)
    found = [f"damaged: {problem}" for problem in report.problems]
    found += [f"{report.lost} requests refer to missing texts"] if report.lost else []
    wrong = [(len(report.hours), "hours"), (len(report.days), "days")]
    done = "were rebuilt" if report.mended else "do not match the requests: --repair rebuilds them"
    found += [f"the aggregates of {number} {what} {done}" for number, what in wrong if number]
    if not report.sound:
        raise LedgerError("; ".join(found))
    found += [] if report.file_checked else ["the file as a whole was not verified: --file does"]
    return "; ".join([f"{report.requests} requests and their aggregates are consistent", *found])


def _vacuum(asked: argparse.Namespace, ledger: Ledger, now: datetime) -> str:
    with _opened(ledger.url) as engine:
        if asked.full:
            freed = space.rewrite(engine)
        else:
            freed = space.give_back(engine, progress=_progress("given back", "MB", 1_000_000))
    return f"{_size(freed)} given back"


def _prune(asked: argparse.Namespace, ledger: Ledger, now: datetime) -> str:
    if ledger.keep == retention.Keep():
        return "nothing to delete: storage.retention sets no limits"
    with _opened(ledger.url) as engine:
        found = retention.prune(engine, ledger.keep, now)
    return (
        f"{found.requests} requests and {found.hours} sums by hour forgotten, {_size(found.bytes)} given "
        "back; all totals are what they were"
    )


def _export(asked: argparse.Namespace, ledger: Ledger, now: datetime) -> str:
    made = FORMATS[asked.format or _format(asked.file)]
    given: dict[str, Any] = {name: tuple(_values(name, getattr(asked, name))) for name in DIMENSIONS}
    where = RequestFilter(asked.since, asked.until, cache=tuple(asked.cache), text=asked.text, **given)
    book, number, texts = ledger.book(), 0, Texts()
    with _opened(ledger.url), _target(asked.file) as target, _uncollected():
        engine = reader(ledger.url, busy_timeout_seconds=5)
        try:
            writing = made(target, texts)
            for batch in batches(engine, where, book, now, texts):
                writing.write(batch)
                number += len(batch)
            writing.close()
        finally:
            engine.dispose()
    return f"{number} requests written to {asked.file}" if asked.file else ""


def _format(file: Path | None) -> str:
    if file is None or file == Path(os.devnull):
        return "jsonl"
    suffix = file.suffix.lstrip(".").lower()
    if suffix not in FORMATS:
        raise LedgerError(f"{file}: unknown format; allowed: {', '.join(sorted(FORMATS))}, or give --format")
    return suffix


def _stats(asked: argparse.Namespace, ledger: Ledger, now: datetime) -> str:
    with _opened(ledger.url) as engine:
        found = space.stats(engine, name_of(ledger.url))
    a_request = found.bytes_a_request
    lines = {
        "ledger": found.where,
        "schema": found.schema,
        "size": f"{_size(found.bytes)}, {_size(found.free_bytes)} of it free, WAL {_size(found.wal_bytes)}",
        "requests": f"{found.requests:,}" + (f", {a_request:.0f} bytes each" if a_request else ""),
        "aggregated": f"{found.counted:,}",
        "hourly aggregates": f"{found.hours:,}",
        "oldest, newest": f"{_time(found.oldest)}, {_time(found.newest)}",
        "requests kept since": _time(found.requests_since, "the beginning"),
        "hours kept since": _time(found.hours_since, "the beginning"),
    }
    waiting = contents(ledger.outbox) if ledger.outbox else None
    if waiting is not None:
        lines["outbox"] = f"{waiting.waiting:,} wait in {ledger.outbox}, {_size(waiting.bytes)}"
        aside = [f"{number:,} refused: {reason}" for reason, number in sorted(waiting.refused.items())]
        lines["set aside there"] = "; ".join(aside) or "none"
    return "\n".join(f"{name:<21}{value}" for name, value in lines.items())


def _migrate(asked: argparse.Namespace, ledger: Ledger, now: datetime) -> str:
    with _opened(ledger.url) as engine:
        return f"{name_of(ledger.url)} has schema {space.stats(engine, '').schema}"


COMMANDS: Mapping[str, tuple[Callable[[argparse.Namespace, Ledger, datetime], str], str]] = {
    "backup": (_backup, "copy the ledger, also while it is in use, and verify the copy"),
    "restore": (_restore, "replace the ledger with a backup"),
    "check": (_check, "verify the file and all aggregates; --repair rebuilds wrong aggregates"),
    "vacuum": (_vacuum, "return free space to the file system"),
    "prune": (_prune, "delete data past storage.retention; running proxies do this every hour"),
    "export": (_export, "export requests as JSON lines, CSV or Parquet"),
    "stats": (_stats, "show the ledger's contents and size"),
    "migrate": (_migrate, "migrate the ledger to this version's schema; starting a proxy does too"),
}
"""What runs a command, and what it is for."""


@contextmanager
def _opened(url: URL) -> Iterator[Engine]:
    """The ledger, migrated. Raises: StoreError where there is none."""
    if not is_there(url):
        raise missing(url)
    engine = writer(url)
    try:
        migrate(engine)
        yield engine
    finally:
        engine.dispose()


def _file(url: URL, instead: str) -> Path:
    if url.get_backend_name() != "sqlite":
        raise StoreError(f"{name_of(url)} is on a server, which has a command of its own for it: {instead}")
    return Path(url.database or "")


@contextmanager
def _uncollected() -> Iterator[None]:
    """A million rows come and go without a circle among them: to look for one takes a quarter more."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


@contextmanager
def _target(file: Path | None) -> Iterator[IO[bytes]]:
    """A file that its owner alone can read, under its name once it is whole; or standard output."""
    if file is None:
        try:
            yield sys.stdout.buffer
            sys.stdout.buffer.flush()
        except BrokenPipeError:  # whoever read it has enough
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return
    unfinished = file.with_name(file.name + copies.UNFINISHED)
    try:
        unfinished.unlink(missing_ok=True)
        opened = os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        with os.fdopen(opened, "wb") as target:
            yield target
        unfinished.replace(file)
    except OSError as error:
        raise StoreError(f"cannot write {file}: {error.strerror}") from error
    finally:
        unfinished.unlink(missing_ok=True)


def _progress(done_word: str, unit: str, per: int = 1) -> Callable[[int, int], None]:
    """Says on standard error how far it has come, every few seconds, where that takes long."""
    reported = monotonic()

    def report(done: int, of: int) -> None:
        nonlocal reported
        if monotonic() - reported >= REPORT_SECONDS:
            reported = monotonic()
            print(f"{done_word}: {done // per} of {of // per} {unit}", file=sys.stderr)

    return report


def _described(copy: copies.Copy) -> str:
    requests = "" if copy.requests is None else f" with {copy.requests:,} requests"
    return f"{_size(copy.bytes)}{requests}, schema {copy.schema}"


def _size(number: int) -> str:
    return f"{number / 1_000_000:,.1f} MB"


def _time(at: datetime | None, else_text: str = "none") -> str:
    return else_text if at is None else f"{at.astimezone(UTC):%Y-%m-%d %H:%M:%S}Z"


def _option(name: str) -> str:
    return "--" + name.replace("_", "-")


def _values(name: str, given: list[str]) -> Iterator[Any]:
    for value in given:
        if value == NONE:
            yield None
        elif name == "http_status":
            if not value.isdecimal():
                raise LedgerError(f"--http-status {value!r}: allowed: a number, like 429")
            yield int(value)
        elif name == "streamed":
            if value not in ("true", "false"):
                raise LedgerError(f"--streamed {value!r}: allowed: true, false")
            yield value == "true"
        else:
            yield value
