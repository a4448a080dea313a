"""Samples -> the text that Prometheus reads.

Written here and not by prometheus_client because a thousand accounts have some fifteen thousand values,
and building an object for each takes longer than reading them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache

from metrics.exporter import FAMILIES
from metrics.family import MetricFamily


@dataclass(frozen=True, slots=True)
class Samples:
    """What one scrape knows of one family.

    Attributes:
        values: label values in the order of the family's labels -> value in the family's unit. A family
            without labels has the one key (); a value that is not known has no key.
    Raises: ValueError where a key does not fit the labels.
    """

    family: MetricFamily
    values: Mapping[tuple[str, ...], float]

    def __post_init__(self) -> None:
        if set(map(len, self.values)) - {len(self.family.labels)}:
            wrong = next(key for key in self.values if len(key) != len(self.family.labels))
            raise ValueError(f"{self.family} has the labels {self.family.labels}, not {wrong}")


CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"

MAX_STARTS = 50_000
"""Lines of one family whose beginning is remembered; accounts come and go."""

_ODD = {"nan": "NaN", "inf": "+Inf", "-inf": "-Inf"}
_ESCAPES = str.maketrans({"\\": r"\\", "\n": r"\n", '"': r"\""})


def render(samples: Iterable[Samples], families: Sequence[MetricFamily] = FAMILIES) -> bytes:
    """The text of one scrape. Every declared family is there with its help and type, without values where
    nothing is known of it.

    Raises: KeyError for a family that is not declared in `metrics.exporter`.
    """
    lines = {family.name: [_head(family)] for family in families}
    for each in samples:
        name, starts = each.family.name, _starts(each.family)
        lines[name] += [f"{starts[key]}{_number(value)}\n" for key, value in each.values.items()]
    return "".join("".join(part) for part in lines.values()).encode()


class _Starts(dict[tuple[str, ...], str]):
    """Label values -> how their line begins: `name{label="value",...} `. The same from scrape to scrape."""

    def __init__(self, family: MetricFamily) -> None:
        self._family = family

    def __missing__(self, key: tuple[str, ...]) -> str:
        if len(self) >= MAX_STARTS:
            self.clear()
        pairs = zip(self._family.labels, (value.translate(_ESCAPES) for value in key), strict=True)
        labels = "{" + ",".join(f'{name}="{value}"' for name, value in pairs) + "}" if key else ""
        start = self[key] = f"{self._family.name}{labels} "
        return start


@cache
def _starts(family: MetricFamily) -> _Starts:
    return _Starts(family)


def _head(family: MetricFamily) -> str:
    return f"# HELP {family.name} {family.help}\n# TYPE {family.name} {family.kind}\n"


def _number(value: float) -> str:
    text = repr(float(value))
    return _ODD.get(text, text)


def histogram(family: MetricFamily, values: Mapping[tuple[str, ...], tuple[Sequence[int], float]]) -> bytes:
    """The text of one histogram.

    Args:
        values: label values -> the count of each bucket with those below it, the last one +Inf, and the sum.
    """
    lines = [_head(family)]
    bounds = [*map(_number, family.buckets), "+Inf"]
    for key, (counts, total) in values.items():
        pairs = list(zip(family.labels, (value.translate(_ESCAPES) for value in key), strict=True))
        labels = ",".join(f'{name}="{value}"' for name, value in pairs)
        before = f"{labels}," if labels else ""
        lines += [
            f'{family.bucket}{{{before}le="{bound}"}} {count}\n'
            for bound, count in zip(bounds, counts, strict=True)
        ]
        whole = f"{{{labels}}}" if labels else ""
        lines += [f"{family.sum}{whole} {_number(total)}\n", f"{family.count}{whole} {counts[-1]}\n"]
    return "".join(lines).encode()
