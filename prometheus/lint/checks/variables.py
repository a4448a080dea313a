"""Variables that nobody defines."""

from __future__ import annotations

from collections.abc import Iterator

from prometheus.lint.finding import Complaint
from prometheus.lint.query import Query
from prometheus.lint.variables import undefined, used


def undefined_variable(query: Query) -> Iterator[Complaint]:
    """Every variable of a query, its legend and its panel's title is the dashboard's or Grafana's."""
    for name in undefined(used(query.expr, *query.texts), query):
        defined = ", ".join(sorted(query.variables or ())) or "none"
        where = "Prometheus knows no variables" if query.variables is None else f"it defines: {defined}"
        # A file that defines none at all, or has lost the inputs of its export, may be a part that somebody's
        # build completes.
        part = query.variables is not None and (not query.variables or name.startswith("DS_"))
        yield Complaint(
            "undefined-variable",
            f"${name} is not defined: {where}",
            "add it to the dashboard's variables, or write the value itself",
            "warning" if part else None,
        )
