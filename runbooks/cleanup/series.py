"""The series of a clean-up: what is stored, who still delivers it, deleting it, and the proof."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from prometheus.errors import ApiError
from prometheus.http_api import Labels, Prometheus
from runbooks.matchers import narrowed

Progress = Callable[[str], None]

STEPS = 1_000
"""Points of the range query that looks for leftovers; each covers all of its step."""


@dataclass(frozen=True, slots=True)
class Stock:
    """What is stored of one metric.

    Attributes:
        matcher: selects these series and no other metric.
        series: labels of all series that the index knows.
        samples: how many there are; None where Prometheus refuses to count so many.
        active: labels of the series that have a sample now.
    """

    name: str
    matcher: str
    series: tuple[Labels, ...]
    samples: int | None
    active: tuple[Labels, ...]

    @property
    def empty(self) -> bool:
        """Only the index knows it."""
        return self.samples == 0


def find(api: Prometheus, matchers: Sequence[str], now: float, progress: Progress) -> list[Stock]:
    """Everything that matches, metric by metric.

    Args:
        now: seconds since 1970.
        progress: told of each metric before it is counted.
    Raises: ApiError.
    """
    found: dict[tuple[str, str], list[Labels]] = {}
    for matcher in matchers:
        for labels in api.series(matcher, 0, now):
            found.setdefault((labels.get("__name__", ""), matcher), []).append(labels)
    stocks = []
    for number, ((name, matcher), series) in enumerate(sorted(found.items(), key=lambda one: one[0]), 1):
        progress(f"counting {number}/{len(found)} {name}")
        stocks.append(_stock(api, name, narrowed(matcher, name), series, now))
    return stocks


def _stock(api: Prometheus, name: str, matcher: str, series: list[Labels], now: float) -> Stock:
    active = tuple(one["metric"] for one in api.query(matcher, now))
    return Stock(name, matcher, tuple(series), _samples(api, matcher, now), active)


def _samples(api: Prometheus, matcher: str, now: float) -> int | None:
    try:
        answer = api.query(f"sum(count_over_time({matcher}[{int(now)}s]))", now)
    except ApiError as error:
        if "too many samples" in str(error):
            return None
        raise
    return int(float(answer[0]["value"][1])) if answer else 0


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
        return not self.instant and not self.ranged


def admin_api_is_on(api: Prometheus) -> bool:
    """Whether this Prometheus can delete at all. Raises: ApiError."""
    return bool(api.ask("status/flags").get("web.enable-admin-api") == "true")


def delete(api: Prometheus, stocks: Sequence[Stock], progress: Progress) -> None:
    """Delete metric by metric.

    Raises: ApiError; metrics before the one it names are deleted.
    """
    for number, stock in enumerate(stocks, 1):
        progress(f"deleting {number}/{len(stocks)} {stock.name}")
        api.send("admin/tsdb/delete_series", **{"match[]": stock.matcher})


def prove(api: Prometheus, stocks: Sequence[Stock], now: float) -> Proof:
    """Ask for everything that was deleted, at one moment and over all time.

    Raises: ApiError.
    """
    return Proof(
        tuple(stock.name for stock in stocks if api.query(stock.matcher, now)),
        tuple(stock.name for stock in stocks if _over_all_time(api, stock.matcher, now)),
        sum(len(api.series(stock.matcher, 0, now)) for stock in stocks),
    )


def _over_all_time(api: Prometheus, matcher: str, now: float) -> bool:
    step = int(now) // STEPS + 1
    return bool(api.query_range(f"count(count_over_time({matcher}[{step}s]))", 0, now + step, step))
