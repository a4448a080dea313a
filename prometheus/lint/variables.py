"""Grafana's variables in queries: which are used, and text in their place that parses."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from datetime import timedelta

from prometheus.config import SAMPLES_PER_WINDOW
from prometheus.lint.query import Query
from prometheus.promql import promql as duration

_VARIABLE = re.compile(
    r"\$\{([A-Za-z_]\w*)(?:\.[\w.]+)?(?::[^}]*)?\}|(?<!\\)\$([A-Za-z_]\w*)|\[\[(\w+)(?::\w+)?\]\]"
)
_STRING = re.compile(r'"(?:\\.|[^"\\])*"|\'(?:\\.|[^\'\\])*\'|`[^`]*`')
_RAW = re.compile(r"`([^`]*)`")
"""A string in which no backslash means anything: promql-parser reads them as if it did."""

_LABEL_LIST = re.compile(r"\b(?:by|without|on|ignoring|group_left|group_right)\s*\(\s*[\w\s,]*$")
_DURATION = re.compile(r"(?:\d+(?:ms|[smhdwy]))+")
_NUMBER = re.compile(r"-?\d+(?:\.\d+)?")

BUILT_IN = frozenset({"timeFilter", "timezone"})
"""Grafana's own, beside those that begin with two underscores."""

RANGE = timedelta(days=1)
"""What `$__range` stands for: it is as long as a person chooses."""


def used(*texts: str) -> frozenset[str]:
    return frozenset(name for text in texts for found in _VARIABLE.finditer(text) for name in _name(found))


def undefined(names: Iterable[str], query: Query) -> list[str]:
    """Which of the names neither the dashboard nor Grafana defines."""
    defined = query.variables or {}
    if query.variables is None:  # a rule's templates have variables of their own, its query has none
        return sorted(names)
    return sorted(n for n in names if n not in defined and not n.startswith("__") and n not in BUILT_IN)


def structural(query: Query) -> bool:
    """Whether a variable stands outside of strings, ranges and numbers: its value is part of the syntax."""
    plain = _STRING.sub('""', query.expr)
    return any(not name.startswith("__") for found in _VARIABLE.finditer(plain) for name in _name(found))


def substituted(query: Query, scrape_interval: timedelta, function: str = "sum") -> str:
    """The query with something that parses in place of each variable.

    Args:
        function: what a variable before a parenthesis stands for, where its value does not say.
    """
    text, end, parts = query.expr, 0, []
    strings = [found.span() for found in _STRING.finditer(text)]
    for found in _VARIABLE.finditer(text):
        (name,) = _name(found)
        quoted = any(start < found.start() < stop for start, stop in strings)
        parts += [
            text[end : found.start()],
            _replacement(name, text, found, quoted, query, scrape_interval, function),
        ]
        end = found.end()
    return _RAW.sub(lambda raw: json.dumps(raw[1], ensure_ascii=False), "".join((*parts, text[end:])))


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
    if _in_matchers(before):
        return _matcher(before)
    if before[-1:].isalnum() or before.endswith(("_", ":")):  # a part of a name
        return current if current.isidentifier() else "x"
    return current if _NUMBER.fullmatch(current) or current.isidentifier() else "1"


def _replacement(
    name: str, text: str, found: re.Match[str], quoted: bool, query: Query, scrape: timedelta, function: str
) -> str:
    """What a variable stands for, by what follows it: a function, a metric's name, or a value."""
    after = text[found.end() : found.end() + 1]
    before = text[: found.start()]
    if not quoted and not name.startswith("__") and not _in_matchers(before):
        if after == "(":
            return _function(name, query, function)
        if after in ("[", "{"):
            return _function(name, query, "metric")
    return _value(name, before, quoted, query, scrape)


def _function(name: str, query: Query, otherwise: str) -> str:
    current = (query.variables or {}).get(name, "")
    return current if current.isidentifier() else otherwise


def _in_matchers(before: str) -> bool:
    """Whether a text ends inside `{...}`, outside of its strings."""
    plain = _STRING.sub('""', before)
    return plain.rfind("{") > plain.rfind("}")


def _matcher(before: str) -> str:
    """A matcher that matches everything, where one may stand; nothing after another one, as a list that
    brings its own comma would have it."""
    plain = before.rstrip()
    if plain.endswith(("=", "=~", "!=", "!~")):
        return '""'
    if not plain.endswith(("{", ",")):
        return ""
    named = re.search(r"[\w:]\s*\{[^{]*$", plain)
    return 'job=~".*"' if named else '__name__=~".+"'


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
