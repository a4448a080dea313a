"""Counters are read by their rise, everything else as it stands."""

from __future__ import annotations

from collections.abc import Iterator

import promql_parser as promql

from prometheus.lint import tree
from prometheus.lint.checks.question import Question
from prometheus.lint.finding import Complaint
from prometheus.lint.tree import Ancestors, Expr

PRESENCE = frozenset({"absent", "absent_over_time", "present_over_time", "count_over_time", "timestamp"})
"""Functions that ask whether or when there is a sample, not what it is."""

COUNTING = frozenset({"count", "group", "count_values"})
"""Aggregations that do the same."""


def counter_without_rate(question: Question) -> Iterator[Complaint]:
    """A counter stands under a function that knows its resets."""
    if question.query.lists:
        return
    for selector, above in tree.selectors(question.tree):
        series = question.schema.find(selector.name)
        if series is None or series.kind != "counter":
            continue
        if _function(above) in tree.RATES | PRESENCE | COUNTING or _is_recorded_as_counter(question, above):
            continue
        if _is_only_counted(selector, above):
            continue
        guess = " by its name" if series.guessed else ""
        yield Complaint(
            "counter-without-rate",
            f"{selector.name} is a counter{guess}: it falls to 0 when its process restarts",
            f"take rate({selector.name}[...]) or increase({selector.name}[...]), then aggregate",
            "hint" if series.guessed else None,
        )


def rate_of_gauge(question: Question) -> Iterator[Complaint]:
    """Nothing but a counter stands under rate, irate, increase or resets."""
    for selector, above in tree.selectors(question.tree):
        series = question.schema.find(selector.name)
        function = _function(above)
        if series is not None and series.kind == "gauge" and function in tree.RATES:
            yield Complaint(
                "rate-of-gauge",
                f"{selector.name} may fall, and {function} would take each fall for a restart",
                "use delta, deriv or avg_over_time",
            )


def _is_only_counted(selector: Expr, above: Ancestors) -> bool:
    """Whether only the presence of its series matters: somewhere above they are counted, compared to true or
    false, or they stand behind `and` or `unless`."""
    below = selector
    for node in reversed(above):
        if isinstance(node, promql.AggregateExpr) and str(node.op) in COUNTING:
            return True
        if isinstance(node, promql.Call) and str(node.func.name) in PRESENCE:
            return True
        if isinstance(node, promql.BinaryExpr):
            if str(node.op) in ("and", "unless") and node.rhs == below:
                return True
            if node.modifier is not None and node.modifier.return_bool:
                return True
        below = node
    return False


def _function(above: Ancestors) -> str:
    """The nearest function or aggregation around a selector."""
    for node in reversed(above):
        if isinstance(node, promql.Call):
            return str(node.func.name)
        if isinstance(node, promql.AggregateExpr):
            return str(node.op)
        if isinstance(node, promql.BinaryExpr):
            return ""
    return ""


def _is_recorded_as_counter(question: Question, above: Ancestors) -> bool:
    """A sum of counters that keeps each process apart, stored under the name of a counter, is one again."""
    if not question.query.records.endswith("_total") or len(above) != 1:
        return False
    (aggregate,) = above
    if not isinstance(aggregate, promql.AggregateExpr) or str(aggregate.op) != "sum":
        return False
    kind, labels = tree.grouping(aggregate)
    process = {"job", "instance"}
    return process <= labels if kind == "by" else not process & labels
