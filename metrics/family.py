"""How a metric family is declared: once, as data, before anything exports or charts it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Kind = Literal["counter", "gauge", "histogram"]


@dataclass(frozen=True, slots=True)
class MetricFamily:
    """One Prometheus family.

    Attributes:
        name: the family's full name as scraped; a counter carries its `_total`.
        unit: base unit of the values ("seconds", "usd", "tokens", ...); "" where it counts things.
        labels: label names in declaration order.
        buckets: upper bounds of a histogram, ascending, without +Inf; empty otherwise.
    """

    name: str
    kind: Kind
    help: str
    labels: tuple[str, ...] = ()
    unit: str = ""
    buckets: tuple[float, ...] = ()

    @property
    def bucket(self) -> str:
        return self._series("_bucket")

    @property
    def sum(self) -> str:
        return self._series("_sum")

    @property
    def count(self) -> str:
        return self._series("_count")

    @property
    def series(self) -> tuple[str, ...]:
        """Every series name that this family puts on a scrape."""
        return (self.bucket, self.sum, self.count) if self.kind == "histogram" else (self.name,)

    def __str__(self) -> str:
        return self.name

    def _series(self, suffix: str) -> str:
        if self.kind != "histogram":
            raise TypeError(f"{self.name} is a {self.kind}: only a histogram has {suffix} series")
        return self.name + suffix
