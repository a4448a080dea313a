"""One scrape: which collectors there are, and how their outcomes become one text."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

from exporter.accounts import IdentityMode, by_status, identities, statuses
from exporter.collect import Collector, Outcome, health, run
from exporter.log import Failures, without_addresses
from exporter.source import Source
from exporter.spend import newest, quota, size, spend
from exporter.windows import windows
from metrics.exporter import UNREADABLE_ROWS
from metrics.exposition import Beginnings, Exposition, Samples

log = logging.getLogger("quotascope.exporter")


class Unreadable:
    def __init__(self, table: str) -> None:
        self._table = table
        self._told = 0

    def samples(self, rows: int, newest: int | None = None) -> Samples:
        """How many rows there are.

        Args:
            newest: the id of the newest of them, for the log; never what stands in the row, which may be
                anything.
        """
        if rows > self._told:
            which = "" if newest is None else f", row {newest} among them"
            log.warning("%s: %d rows cannot be understood and do not count%s", self._table, rows, which)
        self._told = rows
        return Samples(UNREADABLE_ROWS, {(self._table,): rows})


@dataclass(frozen=True, slots=True)
class Scrape:
    """What one scrape answers.

    Attributes:
        errors: of each collector that could not read its data, in one line.
    """

    exposition: Exposition
    errors: Mapping[str, str] = field(default_factory=dict)

    @property
    def text(self) -> bytes:
        return self.exposition.text()[0]

    @property
    def failed(self) -> tuple[str, ...]:
        """The collectors that could not read their data."""
        return tuple(self.errors)


def collectors(source: Source, mode: IdentityMode) -> tuple[Collector, ...]:
    odd_accounts, odd_readings, odd_requests = map(Unreadable, ("accounts", "usage_history", "request_logs"))

    def read_accounts(now: datetime) -> tuple[Samples, ...]:
        found = source.accounts(now)
        counted = odd_accounts.samples(found.unreadable)
        return by_status(found.shown), identities(found.shown, mode), statuses(found.shown), counted

    def read_windows(now: datetime) -> tuple[Samples, ...]:
        usage, odd = source.usage(now), source.unreadable_readings(now)
        return *windows(usage, source.capacities), odd_readings.samples(len(odd), max(odd, default=None))

    def read_spend(now: datetime) -> tuple[Samples, ...]:
        estimates, odd = source.estimates(now), source.unreadable_requests(now)
        return *spend(estimates), *quota(estimates), odd_requests.samples(len(odd), max(odd, default=None))

    def read_freshness(now: datetime) -> tuple[Samples, ...]:
        return newest(source.newest_request(now)), size(source.bytes())

    found = (
        Collector("accounts", read_accounts),
        Collector("windows", read_windows),
        Collector("spend", read_spend),
        Collector("freshness", read_freshness),
    )
    return tuple(map(without_addresses, found)) if mode == "account_id" else found


def scrape(subjects: Sequence[Collector], now: datetime, beginnings: Beginnings) -> Scrape:
    """Run the collectors one after the other.

    Not beside each other: a statement holds the store for as long as its rows are fetched, and while other
    threads compute, Python lets a fetch wait for its turn with every row.
    """
    taken = answer([run(subject, now) for subject in subjects], beginnings)
    taken.exposition.look(now.timestamp())
    return taken


def answer(outcomes: Sequence[Outcome], beginnings: Beginnings) -> Scrape:
    """What is answered when the collectors have fared so."""
    samples = [sample for outcome in outcomes for sample in outcome.samples]
    errors = {outcome.collector: outcome.error for outcome in outcomes if outcome.error is not None}
    return Scrape(Exposition([*samples, *health(outcomes)], beginnings), errors)


class Scraper:
    """Scrapes a store as it is at that moment, and tells of failures in the log."""

    def __init__(self, source: Source, mode: IdentityMode) -> None:
        self._source, self._failures = source, Failures()
        self._subjects, self._beginnings = collectors(source, mode), Beginnings()

    def __call__(self) -> Scrape:
        """A scrape; blocking."""
        self._source.resume()
        return self._told(scrape(self._subjects, datetime.now(UTC), self._beginnings))

    def progressed(self) -> float:
        """When a scrape last got on, by `time.monotonic`."""
        return self._source.progressed

    def instead(self, seconds: float) -> Scrape:
        """End the scrape under way; what is answered in its place, when it has hung for so long."""
        self._source.interrupt()
        error = f"the store has not answered for {seconds:.0f} seconds"
        outcomes = [Outcome(s.name, seconds, error=error) for s in self._subjects]
        return self._told(answer(outcomes, self._beginnings))

    def _told(self, taken: Scrape) -> Scrape:
        self._failures.tell(taken.errors)
        return taken
