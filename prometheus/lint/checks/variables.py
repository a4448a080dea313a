"""Variables that nobody defines."""

from __future__ import annotations

import re
from collections.abc import Iterator

from prometheus.lint.finding import Complaint
from prometheus.lint.query import Query
from prometheus.lint.variables import undefined, used


def undefined_variable(query: Query) -> Iterator[Complaint]:
    """Every variable of a query, its legend and its panel's title is the dashboard's or Grafana's."""
    for name in undefined(used(query.expr, *query.texts), query):
        defined = ", ".join(sorted(query.variables or ())) or "none"
        where = "Prometheus knows no variables" if query.variables is None else f"it defines: {defined}"
        harmless = name not in used(query.expr) or _may_be_filled_in(name, query)
        yield Complaint(
            "undefined-variable",
            f"${name} is not defined: {where}",
            "add it to the dashboard's variables, or write the value itself",
            "warning" if harmless else None,
        )


def _may_be_filled_in(name: str, query: Query) -> bool:
    """A file that defines nothing but datasources, or has lost the inputs of its export, may be a part that
    somebody completes; in rules `${x}` is what Flux and OpenShift fill in."""
    if query.variables is None:
        return not re.search(rf"\${name}\b", query.expr)
    return not query.variables or not query.chosen or name.startswith("DS_")
