"""One scrape: which collectors there are, and how their outcomes become one text."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from functools import partial

from sqlalchemy import Connection, Engine
from sqlalchemy.engine import URL

from exporter import accounts, freshness, spend
from exporter.collect import Collector, Connect, health, run
from exporter.exposition import render
from ledger.store import translated

log = logging.getLogger("quotascope.exporter")


@dataclass(frozen=True, slots=True)
class Scrape:
    """What one scrape answers.

    Attributes:
        text: in the format of `exposition.CONTENT_TYPE`.
        failed: the collectors that could not read their data.
    """

    text: bytes
    failed: tuple[str, ...]


def collectors(mode: accounts.IdentityMode) -> tuple[Collector, ...]:
    """Every collector, in the order of the exposition."""
    return (
        Collector("accounts", partial(accounts.collect, mode=mode)),
        Collector("spend", spend.collect),
        Collector("freshness", freshness.collect),
    )


def scrape(subjects: Sequence[Collector], connect: Connect, now: datetime) -> Scrape:
    """Run the collectors beside each other, so that a lock is waited for once and not by each in turn.

    Each failure is one line in the log.
    """
    with ThreadPoolExecutor(len(subjects)) as threads:
        outcomes = list(threads.map(lambda subject: run(subject, connect, now), subjects))
    failed = [outcome for outcome in outcomes if outcome.error is not None]
    for outcome in failed:
        log.warning("collector %s failed: %s", outcome.collector, outcome.error)
    samples = [sample for outcome in outcomes for sample in outcome.samples]
    return Scrape(render([*samples, *health(outcomes)]), tuple(o.collector for o in failed))


@contextmanager
def reading(engine: Engine, url: URL) -> Iterator[Connection]:
    """A connection for one short read.

    Args:
        url: names the ledger in errors; a reader's engine does not know its file.
    Raises: StoreError for what the database raises, in here and in the caller's block.
    """
    with translated(url, "cannot read the ledger"), engine.connect() as connection:
        yield connection
