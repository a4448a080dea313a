"""Ranges that are too short for the samples they need."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

import promql_parser as promql

from prometheus.config import SAMPLES_PER_WINDOW
from prometheus.lint import tree
from prometheus.lint.checks.question import Question
from prometheus.lint.finding import Complaint
from prometheus.lint.schema import Series
from prometheus.promql import promql as duration

TILES = timedelta(minutes=10)
"""Series that come less often are totals of the time since the sample before: one is enough."""


def short_range(question: Question) -> Iterator[Complaint]:
    """A range holds at least four samples, so that one that is lost does not leave a gap."""
    for node, above in tree.walk(question.tree):
        if not isinstance(node, promql.MatrixSelector):
            continue
        if not question.query.ours and _of_single_samples(above):
            continue
        series = question.schema.find(node.vector_selector.name or "")
        every = (series.every if series else None) or question.scrape_interval
        least = _samples(series, every) * every
        if node.range < least:
            yield Complaint(
                "short-range",
                f"[{_text(node.range)}] is shorter than {least // every} samples, one each {duration(every)}",
                f"use [$__rate_interval] in a panel, or at least [{duration(least)}]",
            )


def _samples(series: Series | None, every: timedelta) -> int:
    gauge = series is not None and series.kind == "gauge"
    return 1 if gauge and every >= TILES else SAMPLES_PER_WINDOW


def _of_single_samples(above: tree.Ancestors) -> bool:
    """Whether a range is only looked through, like that of avg_over_time: one sample is an answer."""
    calls = [str(node.func.name) for node in above if isinstance(node, promql.Call)]
    return bool(calls) and calls[-1].endswith("_over_time")


def _text(range_: timedelta) -> str:
    return duration(range_) if range_ > timedelta(0) else "0s"
