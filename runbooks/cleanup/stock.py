"""What is stored: per metric the series that match, their samples, and who still delivers new ones."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from runbooks.errors import ServerError
from runbooks.matchers import narrowed
from runbooks.prometheus_api import Labels, Prometheus, labels_of

Progress = Callable[[str], None]


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
    Raises: ServerError.
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
    active = tuple(labels_of(api.query(matcher, now)))
    return Stock(name, matcher, tuple(series), _samples(api, matcher, now), active)


def _samples(api: Prometheus, matcher: str, now: float) -> int | None:
    try:
        answer = api.query(f"sum(count_over_time({matcher}[{int(now)}s]))", now)
    except ServerError as error:
        if "too many samples" in str(error):
            return None
        raise
    return int(float(answer[0]["value"][1])) if answer else 0
