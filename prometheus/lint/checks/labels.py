"""Labels of results: grouped by, and named by a legend or an annotation."""

from __future__ import annotations

from collections.abc import Iterator

import promql_parser as promql

from prometheus.lint import tree
from prometheus.lint.checks.question import Question
from prometheus.lint.finding import Complaint
from prometheus.lint.shape import shape


def grouping_label(question: Question) -> Iterator[Complaint]:
    """What is grouped by is there to group by."""
    for node, _ in tree.walk(question.tree):
        if not isinstance(node, promql.AggregateExpr):
            continue
        kind, labels = tree.grouping(node)
        present = shape(node.expr, question.schema).labels
        for label in sorted(labels - present) if present is not None else ():
            there = ", ".join(sorted(present or ())) or "none"
            yield Complaint(
                "grouping-label",
                f"{node.op} {kind} ({label}): what is grouped has no label {label}",
                f"group by a label that it has ({there}), or keep {label} in the aggregation inside",
            )


def lost_label(question: Question) -> Iterator[Complaint]:
    """What a legend or an annotation names is in the result."""
    present = shape(question.tree, question.schema).labels
    if present is None:
        return
    for label in sorted(question.query.named - present):
        yield Complaint(
            "lost-label",
            f"{{{{{label}}}}} is asked for, and the result has no label {label}",
            f"keep it: by ({', '.join(sorted({*present, label}))})",
        )
