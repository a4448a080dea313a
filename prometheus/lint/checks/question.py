"""What a check is given: the query, its tree, and what is known of the world."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import timedelta

from prometheus.lint.finding import Complaint
from prometheus.lint.query import Query
from prometheus.lint.schema import Schema
from prometheus.lint.tree import Expr


@dataclass(frozen=True, slots=True)
class Question:
    """One parsed query."""

    query: Query
    tree: Expr
    schema: Schema
    scrape_interval: timedelta


Check = Callable[[Question], Iterator[Complaint]]
