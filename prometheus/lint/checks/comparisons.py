"""Comparisons that cannot turn out differently, and matchers that say less than they seem to."""

from __future__ import annotations

import re
from collections.abc import Iterator

import promql_parser as promql

from prometheus.lint import tree
from prometheus.lint.checks.question import Question
from prometheus.lint.finding import Complaint
from prometheus.lint.tree import Expr

_LITERAL = re.compile(r"[\w /:@%-]*")
_NEVER_NEGATIVE = frozenset({"rate", "irate", "increase", "count_over_time", "resets", "changes"})


def constant_comparison(question: Question) -> Iterator[Complaint]:
    """A comparison can be true, and can be false."""
    for node, _ in tree.walk(question.tree):
        if not isinstance(node, promql.BinaryExpr) or str(node.op) not in tree.COMPARISONS:
            continue
        if node.modifier is not None and node.modifier.return_bool:
            continue
        if _leaves_out_nan(node) and question.query.alert is None:
            continue
        outcome = _outcome(node)
        if outcome:
            yield Complaint(
                "constant-comparison",
                outcome,
                "compare with a value on either side of which it can be",
                "warning" if outcome.endswith("always true") and question.query.alert is None else None,
            )


def _outcome(node: Expr) -> str:
    left, bound = tree.bare(node.lhs), tree.bare(node.rhs)
    if not isinstance(bound, promql.NumberLiteral):
        return ""
    if isinstance(left, promql.NumberLiteral):
        return f"{left.val:g} {node.op} {bound.val:g} has the same outcome always"
    if not _is_never_negative(left):
        return ""
    if (str(node.op) == "<" and bound.val <= 0) or (str(node.op) == "<=" and bound.val < 0):
        return f"it is never negative, so {node.op} {bound.val:g} is never true"
    if (str(node.op) == ">=" and bound.val <= 0) or (str(node.op) == ">" and bound.val < 0):
        return f"it is never negative, so {node.op} {bound.val:g} is always true"
    return ""


def _leaves_out_nan(node: promql.BinaryExpr) -> bool:
    """`>= 0` is how others do that; a count is never NaN."""
    left, bound = tree.bare(node.lhs), tree.bare(node.rhs)
    counts = isinstance(left, promql.AggregateExpr) and str(left.op) == "count"
    zero = isinstance(bound, promql.NumberLiteral) and bound.val == 0
    return str(node.op) == ">=" and zero and not counts


def _is_never_negative(expr: Expr) -> bool:
    expr = tree.bare(expr)
    if isinstance(expr, promql.Call):
        return str(expr.func.name) in _NEVER_NEGATIVE
    if isinstance(expr, promql.AggregateExpr):
        return str(expr.op) == "count" or (
            str(expr.op) in ("sum", "avg", "max", "min") and _is_never_negative(expr.expr)
        )
    return False


def redundant_regexp(question: Question) -> Iterator[Complaint]:
    """A regular expression says more than equality would; Prometheus anchors it at both ends itself."""
    for node, _ in tree.walk(question.tree):
        if not isinstance(node, promql.VectorSelector):
            continue
        for matcher in node.matchers.matchers:
            if matcher.op not in (promql.MatchOp.Re, promql.MatchOp.NotRe) or "$" in matcher.value[:-1]:
                continue
            equal = "=" if matcher.op == promql.MatchOp.Re else "!="
            if matcher.value and _LITERAL.fullmatch(matcher.value):
                yield Complaint(
                    "redundant-regexp",
                    f"the pattern {matcher.value!r} of {matcher.name} is a plain value",
                    f'write {matcher.name}{equal}"{matcher.value}"',
                )
            elif matcher.value.startswith("^") or matcher.value.endswith("$"):
                yield Complaint(
                    "redundant-regexp",
                    f"the pattern of {matcher.name} is anchored twice: Prometheus matches whole values",
                    "take ^ and $ away",
                )
