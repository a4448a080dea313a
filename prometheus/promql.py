"""PromQL as text, put together from declared families: a label that does not exist stops the build."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from metrics.family import MetricFamily
from metrics.recorded import JOB_AND_INSTANCE
from prometheus.errors import QueryError
from settings.rules import written

promql = written
"""A duration as PromQL has it."""


@dataclass(frozen=True, slots=True)
class Matcher:
    label: str
    operator: Literal["=", "!=", "=~", "!~"]
    value: str

    def __str__(self) -> str:
        escaped = self.value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
        return f'{self.label}{self.operator}"{escaped}"'


def equal(label: str, value: str) -> Matcher:
    """`label="value"`"""
    return Matcher(label, "=", value)


def matching(label: str, pattern: str) -> Matcher:
    """`label=~"pattern"`, anchored at both ends."""
    return Matcher(label, "=~", pattern)


def one_of(label: str, values: Iterable[str]) -> Matcher:
    """The label is one of these values, taken as they stand."""
    return matching(label, "|".join(map(literal, values)))


def literal(text: str) -> str:
    """A regular expression (RE2) that matches this text alone."""
    return re.sub(r"[\\.+*?()|\[\]{}^$]", r"\\\g<0>", text)


def select(family: MetricFamily, *matchers: Matcher) -> str:
    """The series of a counter or gauge: `name{label="value"}`.

    Raises: QueryError on a label that the family does not have, or on a histogram.
    """
    if family.kind == "histogram":
        raise QueryError(f"{family.name} is a histogram: select its buckets")
    return _select(family, family.name, matchers)


def without_label(selector: str, pattern: Matcher) -> str:
    """The series of a selector whose name has not this label, where the pattern fits an empty text; else
    none of them."""
    name, _, inside = selector.rstrip("}").partition("{")
    return f"{name}{{{','.join(filter(None, (inside, str(pattern))))}}}"


def buckets(family: MetricFamily, *matchers: Matcher) -> str:
    """The bucket series of a histogram.

    Raises: QueryError on a label that the family does not have, or on anything but a histogram.
    """
    if family.kind != "histogram":
        raise QueryError(f"{family.name} is a {family.kind}: it has no buckets")
    return _select(family, family.bucket, matchers, "le")


def rate(selector: str, window: str) -> str:
    """Increase per second over the window."""
    return f"rate({selector}[{window}])"


def increase(selector: str, window: str) -> str:
    """Increase over the window; a counter's first value is never part of it."""
    return f"increase({selector}[{window}])"


def increase_from_first(selector: str, window: str) -> str:
    """Increase over the window; the first value of a series that appeared within it counts too.

    It appeared where it has fewer samples than its process had successful scrapes. Where a whole process
    is new, nobody knows what it had counted before, and nothing is added.
    """
    allowed = "# lint-ignore counter-without-rate: the first value of a new series is its rise\n"
    scrapes = f"on (job, instance) group_left () sum_over_time(up[{window}])"
    appeared = f"{selector} and count_over_time({selector}[{window}]) < {scrapes}"
    return f"{allowed}(({appeared}) unless {selector} offset {window}) or {increase(selector, window)}"


def total(expr: str, *by: str) -> str:
    return f"sum by ({', '.join(by)}) ({expr})" if by else f"sum({expr})"


def share(part: str, whole: str, *by: str) -> str:
    """The sum of one part through the sum of the whole: 0 where the part has no series yet, nothing where
    the whole is 0."""
    over = total(whole, *by)
    return f"({total(part, *by)} or 0 * {over}) / ({over} > 0)"


def quantile(q: float, bucket_rate: str, *by: str) -> str:
    """A quantile of a histogram's bucket rates, by these labels, in the histogram's unit."""
    return f"histogram_quantile({q:g}, {total(bucket_rate, *by, 'le')})"


def _select(family: MetricFamily, series: str, matchers: tuple[Matcher, ...], *more: str) -> str:
    known = {*family.labels, *JOB_AND_INSTANCE, *more}
    for matcher in matchers:
        if matcher.label not in known:
            raise QueryError(
                f"{family.name} has no label {matcher.label!r}; it has {', '.join(sorted(known))}"
            )
    inside = ",".join(map(str, matchers))
    return f"{series}{{{inside}}}" if inside else series
