"""Ratios that disappear where they should be 0, or turn a whole sum into NaN."""

from __future__ import annotations

from collections.abc import Iterator

import promql_parser as promql

from prometheus.lint import tree
from prometheus.lint.checks.question import Question
from prometheus.lint.finding import Complaint
from prometheus.lint.tree import Expr

ENUMERATED = frozenset({"cpu", "le", "mode", "phase", "quantile", "state"})
"""Labels whose values are all there from the start: the modes of a CPU, the states of a unit."""


def empty_division(question: Question) -> Iterator[Complaint]:
    """A part of a whole has something to stand in for it while it has no series."""
    for operator in tree.operators(question.tree):
        if str(operator.op) != "/" or _is_compared(question, operator):
            continue
        whole = {s.name: _conditions(s) for s, _ in tree.selectors(operator.rhs)}
        for part, above in tree.selectors(operator.lhs):
            narrower = _conditions(part) - whole.get(part.name, _conditions(part))
            if {m.name for m in part.matchers.matchers} & ENUMERATED:
                continue
            if not _counts(question, part, above):
                continue  # a gauge is there as long as what it measures
            if narrower and not any(_is_or(node) for node in above):
                yield Complaint(
                    "empty-division",
                    f"the part {{{', '.join(sorted(narrower))}}} of {part.name} has no series until it "
                    "happens for the first time: the share is then empty, not 0",
                    "let 0 stand in: (PART or 0 * WHOLE) / WHOLE",
                )


def division_by_zero(question: Question) -> Iterator[Complaint]:
    """An aggregation over ratios: one group whose whole is 0 is NaN, and so is then the aggregate."""
    for node, _ in tree.walk(question.tree):
        if not isinstance(node, promql.AggregateExpr) or str(node.op) not in ("sum", "avg", "stddev"):
            continue
        inner = tree.bare(node.expr)
        if not isinstance(inner, promql.BinaryExpr) or str(inner.op) != "/" or tree.is_scalar(inner.rhs):
            continue
        divisor = tree.bare(inner.rhs)
        if isinstance(divisor, promql.BinaryExpr) and str(divisor.op) in tree.COMPARISONS:
            continue  # what is 0 was filtered
        if not any(_function(above) in tree.RATES for _, above in tree.selectors(inner.rhs)):
            continue  # sizes and limits are rarely 0
        yield Complaint(
            "division-by-zero",
            f"{node.op} over a ratio of rates: 0 / 0 in one group makes the result NaN",
            "divide after aggregating, or filter the divisor: / (... > 0)",
        )


def _counts(question: Question, part: Expr, above: tree.Ancestors) -> bool:
    series = question.schema.find(part.name) if part.name else None
    known = series.kind if series is not None and not series.guessed else ""
    return known == "counter" or (known == "" and _function(above) in tree.RATES)


def _function(above: tree.Ancestors) -> str:
    calls = [node for node in above if isinstance(node, promql.Call)]
    return str(calls[-1].func.name) if calls else ""


def _is_compared(question: Question, operator: Expr) -> bool:
    """An alert on `share > x` is silent while the share is empty, as it should be."""
    if question.query.alert is None:
        return False
    for node, above in tree.walk(question.tree):
        if node == operator:
            return any(isinstance(n, promql.BinaryExpr) and str(n.op) in (">", ">=") for n in above)
    return False


def _conditions(selector: Expr) -> frozenset[str]:
    return frozenset(f"{m.name}{_SIGNS[str(m.op)]}{m.value!r}" for m in selector.matchers.matchers)


_SIGNS = {
    "MatchOp.Equal": "=",
    "MatchOp.NotEqual": "!=",
    "MatchOp.Re": "=~",
    "MatchOp.NotRe": "!~",
}


def _is_or(node: Expr) -> bool:
    return isinstance(node, promql.BinaryExpr) and str(node.op) == "or"
