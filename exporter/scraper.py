"""Scraping a store: now, or saying that it cannot be."""

from __future__ import annotations

from datetime import UTC, datetime

from exporter.accounts import IdentityMode
from exporter.collect import Outcome
from exporter.log import Failures
from exporter.scrape import Scrape, answer, collectors, scrape
from exporter.source import Source


class Scraper:
    """Scrapes a store as it is at that moment, and tells of failures in the log."""

    def __init__(self, source: Source, mode: IdentityMode) -> None:
        self._source, self._failures = source, Failures()
        self._subjects = collectors(source, mode)

    def __call__(self) -> Scrape:
        """A scrape; blocking."""
        self._source.resume()
        return self._told(scrape(self._subjects, datetime.now(UTC)))

    def progressed(self) -> float:
        """When a scrape last got on, by `time.monotonic`."""
        return self._source.progressed

    def instead(self, seconds: float) -> Scrape:
        """End the scrape under way; what is answered in its place, when it has hung for so long."""
        self._source.interrupt()
        error = f"the store has not answered for {seconds:.0f} seconds"
        return self._told(answer([Outcome(s.name, seconds, error=error) for s in self._subjects]))

    def _told(self, taken: Scrape) -> Scrape:
        self._failures.tell(taken.errors)
        return taken
