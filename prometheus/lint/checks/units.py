"""What a panel says the number is, against what the query makes of it."""

from __future__ import annotations

from collections.abc import Iterator

import promql_parser as promql

from prometheus.lint import tree
from prometheus.lint.checks.question import Question
from prometheus.lint.finding import Complaint


def unit_of_rate(question: Question) -> Iterator[Complaint]:
    """Money per second is no amount of money: a rate in a currency is multiplied to the time it means."""
    unit = question.query.unit
    if not unit.startswith("currency"):
        return
    top = tree.bare(question.tree)
    while isinstance(top, promql.AggregateExpr):
        top = tree.bare(top.expr)
    if isinstance(top, promql.Call) and str(top.func.name) in ("rate", "irate"):
        yield Complaint(
            "unit-of-rate",
            f"the panel's unit is {unit}, and {top.func.name} gives an amount per second",
            "take increase(...[range]) for an amount, or multiply: 3600 * rate(...) an hour",
        )
