"""Deleting, and proving that it is done."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from runbooks.cleanup.stock import Progress, Stock
from runbooks.prometheus_api import Prometheus

STEPS = 1_000
"""Points of the range query that looks for leftovers; each covers all of its step."""


@dataclass(frozen=True, slots=True)
class Proof:
    """What queries find after a deletion.

    Attributes:
        instant, ranged: names of metrics of which such a query still returns something.
        index: series that only the index still knows: they go with compaction and retention.
    """

    instant: tuple[str, ...]
    ranged: tuple[str, ...]
    index: int

    @property
    def passed(self) -> bool:
        """No query returns anything."""
        return not self.instant and not self.ranged


def admin_api_is_on(api: Prometheus) -> bool:
    """Whether this Prometheus can delete at all.

    Raises: ServerError.
    """
    return api.flags().get("web.enable-admin-api") == "true"


def delete(api: Prometheus, stocks: Sequence[Stock], progress: Progress) -> None:
    """Delete metric by metric.

    Raises: ServerError; metrics before the one it names are deleted.
    """
    for number, stock in enumerate(stocks, 1):
        progress(f"deleting {number}/{len(stocks)} {stock.name}")
        api.delete_series(stock.matcher)


def prove(api: Prometheus, stocks: Sequence[Stock], now: float) -> Proof:
    """Ask for everything that was deleted, at one moment and over all time.

    Raises: ServerError.
    """
    return Proof(
        tuple(stock.name for stock in stocks if api.query(stock.matcher, now)),
        tuple(stock.name for stock in stocks if _over_all_time(api, stock.matcher, now)),
        sum(len(api.series(stock.matcher, 0, now)) for stock in stocks),
    )


def _over_all_time(api: Prometheus, matcher: str, now: float) -> bool:
    step = int(now) // STEPS + 1
    return bool(api.query_range(f"count(count_over_time({matcher}[{step}s]))", 0, now + step, step))
