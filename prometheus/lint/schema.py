"""Which series there are, of what kind and with which labels: the ground that every check stands on."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import timedelta

from metrics import collector as collector_metrics
from metrics import exporter as exporter_metrics
from metrics import proxy as proxy_metrics
from metrics import recorded as names
from metrics.family import MetricFamily
from prometheus.config import RuleConfig

DETERMINED: Mapping[str, frozenset[str]] = {
    exporter_metrics.IDENTITY.name: frozenset({"display", "plan_type"}),
}
"""Labels that follow from `account_id`: they tell no two series of one target apart."""

CLASSIC = ("_bucket", "_sum", "_count", "_total")
"""Endings of counters, and of the parts of a histogram that is not native."""


@dataclass(frozen=True, slots=True)
class Series:
    """All series of one name.

    Attributes:
        kind: "counter", "gauge", or "" where it is not known.
        labels: those that it may have; None where they are not known.
        family: the family that it belongs to: a histogram has three names.
        job: who exports it; "" where several may, or a rule does.
        determined: labels that follow from the others.
        every: time between two samples; None is the scrape interval.
        guessed: the kind is only a guess by the name's ending.
    """

    name: str
    kind: str
    labels: frozenset[str] | None = None
    family: str = ""
    job: str = ""
    determined: frozenset[str] = frozenset()
    every: timedelta | None = None
    guessed: bool = False


@dataclass(frozen=True, slots=True)
class Schema:
    """All series that are known.

    Attributes:
        closed: nothing else exists: an unknown name is a fault.
    """

    series: Mapping[str, Series] = field(default_factory=dict)
    closed: bool = False

    def find(self, name: str) -> Series | None:
        """The series of a name. An unknown one of an open schema is guessed from its ending."""
        found = self.series.get(name)
        if found is None and not self.closed:
            return Series(name, "counter" if name.endswith(("_total", "_bucket")) else "", guessed=True)
        return found

    @staticmethod
    def joined(schemas: Iterable[Schema]) -> Schema:
        """What several scrapes show together: closed, as each of them is."""
        series: dict[str, Series] = {}
        for schema in schemas:
            for name, one in schema.series.items():
                known = series.get(name)
                series[name] = one if known is None else _merged(known, one)
        return Schema(series, closed=True)

    def plus(self, series: Iterable[Series]) -> Schema:
        return Schema({**self.series, **{s.name: s for s in series}}, self.closed)

    def without_recorded(self) -> Schema:
        """The schema without the names that rules record: they have a colon."""
        return Schema({n: s for n, s in self.series.items() if ":" not in n}, self.closed)


def _merged(one: Series, other: Series) -> Series:
    """The same name in two scrapes: labels of either; the kind only where they agree."""
    labels = None if one.labels is None or other.labels is None else one.labels | other.labels
    return replace(one, labels=labels, kind=one.kind if one.kind == other.kind else "")


def ours(config: RuleConfig) -> Schema:
    """All that is declared in this repository, and what Prometheus adds."""
    series = [
        *_declared(proxy_metrics.FAMILIES, config.proxy_job),
        *_declared(exporter_metrics.FAMILIES, config.exporter_job),
        *_declared(collector_metrics.OWN, config.collector_job),
        *_declared(names.BUILT_IN, ""),
        *(_recorded(family, config) for family in names.RECORDED),
        # Alerts bring labels of their own.
        *(Series(name, "gauge", family=name) for name in ("ALERTS", "ALERTS_FOR_STATE")),
    ]
    return Schema({s.name: s for s in series}, closed=True)


def families(config: RuleConfig) -> frozenset[str]:
    """Names of the families that our services export."""
    return frozenset(s.family for s in ours(config).series.values() if s.job)


def _declared(families: Iterable[MetricFamily], job: str) -> Iterable[Series]:
    for family in families:
        for name in family.series:
            bucket = family.kind == "histogram" and name == family.bucket
            yield Series(
                name,
                "gauge" if family.kind == "gauge" else "counter",
                frozenset({*family.labels, *names.JOB_AND_INSTANCE, *(("le",) if bucket else ())}),
                family.name,
                job,
                DETERMINED.get(family.name, frozenset()),
            )


def _recorded(family: MetricFamily, config: RuleConfig) -> Series:
    hourly = family in {hourly.name for hourly in names.HOURLY}
    every = timedelta(hours=1) if hourly else config.evaluation_interval
    return Series(family.name, family.kind, frozenset(family.labels), family.name, every=every)
