"""One scrape: which collectors there are, and how their outcomes become one text."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from exporter.accounts import IdentityMode, by_status, identities
from exporter.collect import Collector, health, run
from exporter.exposition import render
from exporter.freshness import newest
from exporter.privacy import without_addresses
from exporter.samples import Samples
from exporter.source import Source
from exporter.spend import quota, spend
from exporter.windows import windows

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


def collectors(source: Source, mode: IdentityMode) -> tuple[Collector, ...]:
    """Every collector, in the order of the exposition."""

    def read_accounts(now: datetime) -> tuple[Samples, ...]:
        accounts = source.accounts(now).shown
        return by_status(accounts), identities(accounts, mode)

    def read_windows(now: datetime) -> tuple[Samples, ...]:
        return windows(source.usage(now), source.capacities)

    def read_spend(now: datetime) -> tuple[Samples, ...]:
        estimates = source.estimates(now)
        return *spend(estimates), *quota(estimates)

    def read_freshness(now: datetime) -> tuple[Samples, ...]:
        return (newest(source.newest_request()),)

    found = (
        Collector("accounts", read_accounts),
        Collector("windows", read_windows),
        Collector("spend", read_spend),
        Collector("freshness", read_freshness),
    )
    return tuple(map(without_addresses, found)) if mode == "account_id" else found


def scrape(subjects: Sequence[Collector], now: datetime) -> Scrape:
    """Run the collectors one after the other.

    Not beside each other: a statement holds the store for as long as its rows are fetched, and while other
    threads compute, Python lets a fetch wait for its turn with every row.

    Each failure is one line in the log.
    """
    outcomes = [run(subject, now) for subject in subjects]
    failed = [outcome for outcome in outcomes if outcome.error is not None]
    for outcome in failed:
        log.warning("collector %s failed: %s", outcome.collector, outcome.error)
    samples = [sample for outcome in outcomes for sample in outcome.samples]
    return Scrape(render([*samples, *health(outcomes)]), tuple(o.collector for o in failed))
