"""Operators between two sides that are both series: can their labels meet, and how many meet?"""

from __future__ import annotations

from collections.abc import Iterator

from prometheus.lint import tree
from prometheus.lint.checks.question import Question
from prometheus.lint.finding import Complaint
from prometheus.lint.shape import Shape, shape
from prometheus.lint.tree import Expr


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
                    # Where neither has it, one series on each side meets the other all the same.
                    None if len(missing) == 1 else "warning" if kind == "on" else "hint",
                )
        side, brought = tree.group_side(operator)
        giving = _labels(right if side == "group_left" else left)
        for label in sorted(brought - giving):
            yield Complaint(
                "join-label",
                f"{side} ({label}): the side that should bring {label} does not have it",
                f"it has {', '.join(sorted(giving)) or 'no labels'}",
            )


def never_matches(question: Question) -> Iterator[Complaint]:
    """There can be a pair of series with the same labels."""
    for operator, left, right in _sides(question):
        reason = "" if str(operator.op) == "or" else _apart(operator, left, right)
        if reason:
            yield Complaint(
                "never-matches",
                f"{operator.op}: {reason}, so the answer is always empty",
                "say what to match: on (LABEL), or aggregate both sides by the same labels",
            )


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
    for operator in tree.operators(question.tree):
        left, right = (shape(side, question.schema) for side in (operator.lhs, operator.rhs))
        if left.labels is not None and right.labels is not None:
            yield operator, left, right


def _labels(side: Shape) -> frozenset[str]:
    return side.labels or frozenset()


def _matched(operator: Expr, left: Shape, right: Shape) -> frozenset[str]:
    kind, labels = tree.matching(operator)
    return labels if kind == "on" else (_labels(left) | _labels(right)) - labels


def _apart(operator: Expr, left: Shape, right: Shape) -> str:
    """Why the sides never meet, or ""."""
    matched = _matched(operator, left, right)
    kind, _ = tree.matching(operator)
    different = ((_labels(left) ^ _labels(right)) & matched) - left.sometimes - right.sometimes
    if kind != "on" and different:
        return f"one side alone has {', '.join(sorted(different))}"
    for label in sorted(matched & left.fixed.keys() & right.fixed.keys()):
        if left.fixed[label] != right.fixed[label]:
            return f"{label} is {left.fixed[label]!r} on one side and {right.fixed[label]!r} on the other"
    if matched & {"job", "instance"} and left.jobs and right.jobs and not left.jobs & right.jobs:
        return f"one side is scraped from {_one(left)}, the other from {_one(right)}"
    return ""


def _one(side: Shape) -> str:
    return " and ".join(sorted(side.jobs))
