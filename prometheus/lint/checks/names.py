"""Names of series and labels that do not exist."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from difflib import get_close_matches

import promql_parser as promql

from prometheus.lint import tree
from prometheus.lint.checks.question import Question
from prometheus.lint.finding import Complaint


def unknown_metric(question: Question) -> Iterator[Complaint]:
    """Every name is exported or recorded."""
    for name in dict.fromkeys(selector.name for selector, _ in tree.selectors(question.tree)):
        if question.schema.find(name) is not None:
            continue
        if ":" in name:
            yield Complaint(
                "not-recorded",
                f"no rule records {name}",
                _near(name, question.schema.series, "record it, or ask for what is exported"),
            )
        else:
            yield Complaint(
                "unknown-metric",
                f"nothing exports {name}",
                _near(name, question.schema.series, "ask for a metric that is exported"),
            )


def unknown_label(question: Question) -> Iterator[Complaint]:
    """Every matcher is on a label that the series may have. To what others record a federation, or external
    labels, may have added some."""
    for selector, _ in tree.selectors(question.tree):
        series = question.schema.find(selector.name)
        if series is None or series.labels is None:
            continue
        there = ", ".join(sorted(series.labels)) or "none"
        for matcher in selector.matchers.matchers:
            absence = matcher.op == promql.MatchOp.Equal and not matcher.value
            if matcher.name not in series.labels and not absence:
                yield Complaint(
                    "unknown-label",
                    f"{selector.name} has no label {matcher.name}, so this matcher can match nothing",
                    _near(matcher.name, series.labels, f"it has {there}"),
                    "hint" if ":" in selector.name and not question.query.ours else None,
                )


def _near(word: str, known: Iterable[str], otherwise: str) -> str:
    close = get_close_matches(word, sorted(known), n=1, cutoff=0.75)
    return f"did you mean {close[0]}?" if close else otherwise
