"""Quantiles of histograms need the buckets' label."""

from __future__ import annotations

from collections.abc import Iterator

import promql_parser as promql

from prometheus.lint import tree
from prometheus.lint.checks.question import Question
from prometheus.lint.finding import Complaint
from prometheus.lint.schema import CLASSIC
from prometheus.lint.shape import shape

BOUNDS = frozenset({"le", "vmrange"})
"""Labels with the bounds of buckets: of Prometheus, and of VictoriaMetrics."""


def quantile_without_le(question: Question) -> Iterator[Complaint]:
    """`le` is there where histogram_quantile looks for it."""
    for node, _ in tree.walk(question.tree):
        if not isinstance(node, promql.Call) or str(node.func.name) != "histogram_quantile":
            continue
        if all(_may_be_native(question, s.name) for s, _ in tree.selectors(node.args[1])):
            continue
        present = shape(node.args[1], question.schema).labels
        if present is not None and not present & BOUNDS:
            yield Complaint(
                "quantile-without-le",
                "what histogram_quantile is given has no label le, so the answer is empty",
                "ask for the _bucket series, and keep le: sum by (le) (rate(..._bucket[...]))",
            )


def _may_be_native(question: Question, name: str) -> bool:
    """A native histogram is one series without buckets. Of the parts of a classic one the name tells."""
    series = question.schema.find(name)
    unknown = series is None or series.guessed or not series.kind
    return unknown and not name.endswith(CLASSIC)
