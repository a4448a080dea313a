"""Queries of Prometheus rule files, and of the Kubernetes resource that wraps them."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

import yaml

from prometheus.errors import SourceError
from prometheus.lint.finding import Place
from prometheus.lint.query import Query, Source
from prometheus.lint.sources.durations import parsed
from prometheus.lint.sources.lines import line_of

OUR_GROUPS = "quotascope-"
_LABEL = re.compile(r"\$labels\.([A-Za-z_]\w*)")


def groups(document: object) -> list[dict[str, Any]] | None:
    """The groups of a rule file; None where it is none."""
    if isinstance(document, dict) and isinstance(document.get("spec"), dict):
        document = document["spec"]
    found = document.get("groups") if isinstance(document, dict) else None
    if not isinstance(found, list) or not all(isinstance(group, dict) for group in found):
        return None
    return found


def load(file: str, text: str) -> Source:
    """The queries of one rule file.

    Raises: SourceError where it is no YAML, or no rule file.
    """
    try:
        found = groups(yaml.safe_load(text))
    except yaml.YAMLError as error:
        raise SourceError(f"{file}: not YAML: {' '.join(str(error).split())}") from error
    if found is None:
        raise SourceError(f"{file}: not a rule file: it has no list of groups")
    ours = bool(found) and all(str(group.get("name", "")).startswith(OUR_GROUPS) for group in found)
    queries = tuple(query for group in found for query in _rules(file, text, group, ours))
    return Source(file, "rules", queries, ours)


def _rules(file: str, text: str, group: Mapping[str, Any], ours: bool) -> Iterator[Query]:
    every = parsed(group.get("interval"))
    for rule in group.get("rules") or ():
        expr = rule.get("expr") if isinstance(rule, dict) else None
        if not isinstance(expr, (str, int, float)):
            raise SourceError(f"{file}: group {group.get('name')}: a rule without expr")
        kind = "alert" if "alert" in rule else "record"
        name = str(rule.get(kind, ""))
        yield Query(
            Place(file, name, kind, line_of(text, f"{kind}: {name}\n", name)),
            str(expr),
            named=frozenset(_labels(rule)),
            records=name if kind == "record" else "",
            every=every,
            ours=ours,
        )


def _labels(rule: Mapping[str, Any]) -> Iterator[str]:
    """Labels that an alert's templates print; one that is only tried, by `with` or `if`, may be missing."""
    added = set(rule.get("labels") or ())
    for template in (rule.get("annotations") or {}).values():
        certain = re.sub(r"\{\{-?\s*(?:with|if)\s[^}]*\}\}", "", str(template))
        yield from set(_LABEL.findall(certain)) - added
