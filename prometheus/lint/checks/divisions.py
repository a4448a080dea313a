"""Shares that disappear where they should be 0."""

from __future__ import annotations

from collections.abc import Iterator

import promql_parser as promql

from prometheus.lint import tree
from prometheus.lint.checks.question import Question
from prometheus.lint.finding import Complaint
from prometheus.lint.tree import Expr


def empty_division(question: Question) -> Iterator[Complaint]:
    """A part of a whole has something to stand in for it while it has no series."""
    for operator in tree.operators(question.tree):
        if str(operator.op) != "/":
            continue
        whole = {s.name: _conditions(s) for s, _ in tree.selectors(operator.rhs)}
        for part, above in tree.selectors(operator.lhs):
            narrower = _conditions(part) - whole.get(part.name, _conditions(part))
            if narrower and not any(_is_or(node) for node in above):
                yield Complaint(
                    "empty-division",
                    f"the part {{{', '.join(sorted(narrower))}}} of {part.name} has no series until it "
                    "happens for the first time: the share is then empty, not 0",
                    "let 0 stand in: (PART or 0 * WHOLE) / WHOLE",
                )


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
