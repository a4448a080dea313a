"""Counted series as OpenMetrics text: what `promtool tsdb create-blocks-from openmetrics` reads."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator
from decimal import Decimal
from itertools import pairwise

from metrics.family import MetricFamily
from simulator.history.counting import Counted, Series
from simulator.history.scrapes import Scrapes

END = "# EOF\n"


def text(counted: Counted, ticks: range | None = None) -> Iterator[str]:
    """The text in pieces: timestamps ascend within each group of series, so also within each series.

    Args:
        ticks: a part of the scrapes, for files that are to stay small; None writes all of them.
    """
    scrapes = counted.scrapes
    kept = scrapes.ticks(ticks)
    stamps = [f" {_seconds(scrapes, tick)}\n" for tick in kept]
    for family in counted.families:
        yield _head(family)
        for group in counted.of(family):
            prefixes = [f"{name}{{{_labels(family, labels, scrapes)}}} " for name, labels, _ in group]
            for run, values in _runs([series for _, _, series in group], kept):
                lines = [p + repr(float(v)) for p, v in zip(prefixes, values, strict=True)]
                yield "".join([line + stamp for stamp in stamps[run] for line in lines])
    yield END


def together(several: Iterable[Counted]) -> Iterator[str]:
    for counted in several:
        yield from (piece for piece in text(counted) if piece != END)
    yield END


def _runs(group: list[Series], kept: list[int]) -> Iterator[tuple[slice, list[Decimal]]]:
    """Where in the kept ticks a whole group stands still, and at which values."""
    changes = sorted({tick for series in group for tick in series.ticks})
    cuts = [*(bisect_left(kept, tick) for tick in changes), len(kept)]
    for tick, (start, end) in zip(changes, pairwise(cuts), strict=True):
        if start < end:
            yield slice(start, end), [s.values[bisect_right(s.ticks, tick) - 1] for s in group]


def _head(family: MetricFamily) -> str:
    name = family.name.removesuffix("_total") if family.kind == "counter" else family.name
    return f"# HELP {name} {_escaped(family.help)}\n# TYPE {name} {family.kind}\n"


def _labels(family: MetricFamily, values: tuple[str, ...], scrapes: Scrapes) -> str:
    names = (*family.labels, "le")[: len(values)]
    pairs = [("instance", scrapes.instance), ("job", scrapes.job), *zip(names, values, strict=True)]
    return ",".join(f'{name}="{_escaped(value)}"' for name, value in pairs)


def _seconds(scrapes: Scrapes, tick: int) -> str:
    return f"{scrapes.at(tick).timestamp():.3f}".removesuffix(".000")


def _escaped(text: str) -> str:
    return text.replace("\\", r"\\").replace("\n", r"\n").replace('"', r"\"")
