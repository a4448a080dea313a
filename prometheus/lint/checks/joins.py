"""Operators between two sides that are both series: can their labels meet, and how many meet?"""

from __future__ import annotations

import re
from collections.abc import Iterator

import promql_parser as promql

from prometheus.lint import tree
from prometheus.lint.checks.question import Question
from prometheus.lint.finding import Complaint, Severity
from prometheus.lint.shape import Shape, shape
from prometheus.lint.tree import Expr

OF_SOME = frozenset(
    {
        "cluster",
        "cluster_id",
        "cluster_name",
        "k8s_cluster",
        "datacenter",
        "dc",
        "env",
        "environment",
        "region",
    }
)
"""Labels that only those have who run several of them: elsewhere a query that groups by one still works."""


def join_label(question: Question) -> Iterator[Complaint]:
    """on, ignoring and group_left name labels that are there; to ignore another one changes nothing."""
    for operator, left, right in _sides(question):
        kind, labels = tree.matching(operator)
        for label in sorted(labels):
            missing = [
                name for name, side in (("left", left), ("right", right)) if label not in _labels(side)
            ]
            if missing and (kind == "on" or len(missing) == 2):
                yield Complaint(
                    "join-label",
                    f"{kind} ({label}): the {' and the '.join(missing)} side has no label {label}",
                    f"keep {label} in the aggregation on that side, or join by another label",
                    _weight(label, operator, len(missing)),
                )
        side, brought = tree.group_side(operator)
        giving = _labels(right if side == "group_left" else left)
        for label in sorted(brought - giving):
            yield Complaint(
                "join-label",
                f"{side} ({label}): the side that should bring {label} does not have it",
                f"it has {', '.join(sorted(giving)) or 'no labels'}",
                None if question.query.ours or label in _asked(question, operator) else "warning",
            )


def _asked(question: Question, operator: Expr) -> set[str]:
    """Labels that a legend, or an aggregation around an operator, asks of its result."""
    asked = set(question.query.named)
    for node, above in tree.walk(question.tree):
        if node == operator:
            around = [tree.grouping(each) for each in above if isinstance(each, promql.AggregateExpr)]
            asked |= {label for kind, labels in around if kind == "by" for label in labels}
    return asked


def _weight(label: str, operator: Expr, missing: int) -> Severity | None:
    """Where neither side has the label, one series on each side meets the other all the same; and `or` shows
    either side."""
    if tree.matching(operator)[0] != "on":
        return "hint"
    return None if missing == 1 and label not in OF_SOME and str(operator.op) != "or" else "warning"


def never_matches(question: Question) -> Iterator[Complaint]:
    """There can be a pair of series with the same labels."""
    for operator, left, right in _all_sides(question):
        reason = "" if str(operator.op) == "or" else _apart(operator, left, right)
        if reason:
            so = (
                "nothing is ever taken away" if str(operator.op) == "unless" else "the answer is always empty"
            )
            yield Complaint(
                "never-matches",
                f"{operator.op}: {reason}, so {so}",
                "say what to match: on (LABEL), or aggregate both sides by the same labels",
                None if question.query.ours or not _may_meet(operator, reason) else "warning",
            )


def _may_meet(operator: Expr, reason: str) -> bool:
    """To what others record a federation may have added labels; who runs one cluster alone has no label for
    it, whatever a query groups by."""
    recorded = any(":" in selector.name for selector, _ in tree.selectors(operator))
    _, alone, labels = reason.partition("alone has ")
    return recorded or bool(alone and OF_SOME.issuperset(labels.split(", ")))


def many_to_many(question: Question) -> Iterator[Complaint]:
    """Of the series that meet, one side has one alone; where the other has several, it says so."""
    certain = question.query.ours  # what a scrape of others shows is not all that tells their series apart
    for operator, left, right in _sides(question):
        if str(operator.op) in tree.SET_OPERATORS:
            continue
        matched = _matched(operator, left, right)
        more_left, more_right = left.key - matched, right.key - matched
        side, _ = tree.group_side(operator)
        if (side == "group_right" or not side) and more_left:
            yield _several("left", more_left, side, certain)
        if (side == "group_left" or not side) and more_right:
            yield _several("right", more_right, side, certain)


def _several(side: str, labels: frozenset[str], grouped: str, certain: bool) -> Complaint:
    words = ", ".join(sorted(labels))
    fix = f"aggregate the {side} side by the labels of the join alone, for example with max by (...)"
    if not grouped:
        fix += f", or let the {side} side have many: group_{side}"
    reason = f"several series of the {side} side may meet one: they differ in {words}"
    return Complaint("many-to-many", reason, fix, None if certain else "hint")


def _sides(question: Question) -> Iterator[tuple[Expr, Shape, Shape]]:
    """Every operator whose sides are both known."""
    for operator, left, right in _all_sides(question):
        if left.labels is not None and right.labels is not None:
            yield operator, left, right


def _all_sides(question: Question) -> Iterator[tuple[Expr, Shape, Shape]]:
    for operator in tree.operators(question.tree):
        yield operator, shape(operator.lhs, question.schema), shape(operator.rhs, question.schema)


def _labels(side: Shape) -> frozenset[str]:
    return side.labels or frozenset()


def _matched(operator: Expr, left: Shape, right: Shape) -> frozenset[str]:
    kind, labels = tree.matching(operator)
    return labels if kind == "on" else (_labels(left) | _labels(right)) - labels


def _apart(operator: Expr, left: Shape, right: Shape) -> str:
    """Why the sides never meet, or ""."""
    kind, labels = tree.matching(operator)
    different = _alone(left, right) - labels if kind != "on" else frozenset()
    if different:
        return f"one side alone has {', '.join(sorted(different))}"
    fixed = _values(left).keys() & _values(right).keys()
    for label in sorted(fixed & labels if kind == "on" else fixed - labels):
        if left.fixed[label] != right.fixed[label]:
            return f"{label} is {left.fixed[label]!r} on one side and {right.fixed[label]!r} on the other"
    scraped = {"job", "instance"} & (labels if kind == "on" else (_labels(left) | _labels(right)) - labels)
    if scraped and left.jobs and right.jobs and not left.jobs & right.jobs:
        return f"one side is scraped from {_one(left)}, the other from {_one(right)}"
    return ""


def _alone(left: Shape, right: Shape) -> frozenset[str]:
    """Labels that one side alone has: of a side that is unknown those that its matchers ask for."""
    if left.labels is not None and right.labels is not None:
        return (left.labels ^ right.labels) - left.sometimes - right.sometimes
    known, other = (left, right) if right.labels is None else (right, left)
    return frozenset(_values(other)) - known.labels if known.labels is not None else frozenset()


def _values(side: Shape) -> dict[str, str]:
    """Labels with one value alone that is written there: what a variable or a template holds nobody knows."""
    return {label: value for label, value in side.fixed.items() if not re.search(r"[$%{<@]", value)}


def _one(side: Shape) -> str:
    return " and ".join(sorted(side.jobs))
