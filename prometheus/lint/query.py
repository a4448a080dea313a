"""A query as it was found: its text, and what its surroundings say about it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta

from prometheus.lint.finding import Place

TEMPLATE = re.compile(r"<%|\{%-? |^[^#\n]*: *\{\{|^\s*<[\w -]+>\s*\Z", re.MULTILINE)
"""What stands in files that Helm, Jinja, ERB or a person completes, and in none that Prometheus reads."""


@dataclass(frozen=True, slots=True)
class Alert:
    """What an alert says of itself, beside its query.

    Attributes:
        waits: it has a `for`, or keeps firing for a while.
        templates: the texts of its labels and annotations.
    """

    waits: bool
    templates: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Query:
    """One query.

    Attributes:
        expr: the text as written, comments and variables included.
        named: labels that a legend or an annotation asks of the result.
        texts: other texts beside it that may hold variables: title, legend, datasource.
        variables: the dashboard's variables with their current values; None outside of Grafana.
        chosen: the dashboard has variables for more than its datasources.
        min_step: the least step; None takes the scrape interval.
        unit: Grafana's unit of the panel, "" where none is set.
        records: the name under which the result is stored.
        labels: labels that the rule adds to each of its series, by name.
        alert: the alert that the query raises, with what it says of itself; None where it raises none.
        every: how often a recording rule is evaluated.
        lists: only lists names or label values, and reads none of the values.
        victoria: its datasource is a VictoriaMetrics, which knows more than PromQL.
        ours: made by this repository, so that its metrics are known.
    """

    place: Place
    expr: str
    named: frozenset[str] = frozenset()
    texts: tuple[str, ...] = ()
    variables: Mapping[str, str] | None = None
    chosen: bool = True
    min_step: timedelta | None = None
    unit: str = ""
    records: str = ""
    labels: frozenset[str] = frozenset()
    alert: Alert | None = None
    every: timedelta | None = None
    lists: bool = False
    victoria: bool = False
    ours: bool = False


@dataclass(frozen=True, slots=True)
class Source:
    """One file and the queries in it.

    Attributes:
        kind: what a file of this kind does with its queries.
        error: why it cannot be read; "" where it can.
        template: it is to be rendered before it can.
    """

    file: str
    kind: str
    queries: tuple[Query, ...]
    ours: bool = field(default=False)
    error: str = ""
    template: bool = False
