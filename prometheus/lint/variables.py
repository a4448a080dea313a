"""Grafana's variables in queries: which are used, and text in their place that parses."""

from __future__ import annotations

import re
from collections.abc import Iterable
from datetime import timedelta

from prometheus.config import SAMPLES_PER_WINDOW
from prometheus.durations import promql as duration
from prometheus.lint.query import Query

_VARIABLE = re.compile(
    r"\$\{([A-Za-z_]\w*)(?:\.[\w.]+)?(?::[^}]*)?\}|\$([A-Za-z_]\w*)|\[\[(\w+)(?::\w+)?\]\]"
)
_STRING = re.compile(r'"(?:\\.|[^"\\])*"|\'(?:\\.|[^\'\\])*\'|`[^`]*`')
_LABEL_LIST = re.compile(r"\b(?:by|without|on|ignoring|group_left|group_right)\s*\(\s*[\w\s,]*$")
_DURATION = re.compile(r"(?:\d+(?:ms|[smhdwy]))+")
_NUMBER = re.compile(r"-?\d+(?:\.\d+)?")

BUILT_IN = frozenset({"timeFilter", "timezone"})
"""Grafana's own, beside those that begin with two underscores."""

RANGE = timedelta(days=1)
"""What `$__range` stands for: it is as long as a person chooses."""


def used(*texts: str) -> frozenset[str]:
    """Names of all variables in these texts."""
    return frozenset(name for text in texts for found in _VARIABLE.finditer(text) for name in _name(found))


def undefined(names: Iterable[str], query: Query) -> list[str]:
    """Which of the names neither the dashboard nor Grafana defines."""
    defined = query.variables or {}
    if query.variables is None:  # a rule's templates have variables of their own, its query has none
        return sorted(names)
    return sorted(n for n in names if n not in defined and not n.startswith("__") and n not in BUILT_IN)


def substituted(query: Query, scrape_interval: timedelta) -> str:
    """The query with something that parses in place of each variable."""
    text, end, parts = query.expr, 0, []
    strings = [found.span() for found in _STRING.finditer(text)]
    for found in _VARIABLE.finditer(text):
        (name,) = _name(found)
        quoted = any(start < found.start() < stop for start, stop in strings)
        parts += [
            text[end : found.start()],
            _value(name, text[: found.start()], quoted, query, scrape_interval),
        ]
        end = found.end()
    return "".join((*parts, text[end:]))


def _name(found: re.Match[str]) -> tuple[str, ...]:
    return tuple(name for name in found.groups() if name)


def _value(name: str, before: str, quoted: bool, query: Query, scrape: timedelta) -> str:
    built_in = _built_in(name, query.min_step or scrape)
    if built_in:
        return built_in
    if quoted:
        return f"${name}"
    current = (query.variables or {}).get(name, "")
    if (before.rpartition("[")[2].strip(" ") == "" and "[" in before) or before.endswith(("offset ", ":")):
        return current if _DURATION.fullmatch(current) else "5m"
    if _LABEL_LIST.search(before):
        return current if current.isidentifier() else "job"
    return current if _NUMBER.fullmatch(current) or current.isidentifier() else "1"


def _built_in(name: str, step: timedelta) -> str:
    seconds = f"{step.total_seconds():g}"
    return {
        "__rate_interval": duration(SAMPLES_PER_WINDOW * step),
        "__interval": duration(step),
        "__interval_ms": f"{step.total_seconds() * 1000:g}",
        "__rate_interval_ms": f"{SAMPLES_PER_WINDOW * step.total_seconds() * 1000:g}",
        "__range": duration(RANGE),
        "__range_s": f"{RANGE.total_seconds():g}",
        "__range_ms": f"{RANGE.total_seconds() * 1000:g}",
        "__from": "0",
        "__to": seconds,
    }.get(name, "")
