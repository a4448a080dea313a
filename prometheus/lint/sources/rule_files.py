"""Queries of Prometheus rule files, and of the Kubernetes resource that wraps them."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

import yaml

from prometheus.errors import SourceError
from prometheus.lint.finding import Place
from prometheus.lint.query import Alert, Query, Source
from prometheus.lint.sources.datasources import asks_prometheus
from prometheus.lint.sources.durations import parsed
from prometheus.lint.sources.lines import line_of

OUR_GROUPS = "quotascope-"
_KEPT_WHOLE = re.compile(r"\{\{-?\s*`(.*?)`\s*-?\}\}", re.DOTALL)
_KEPT = re.compile(r"""\{\{-?\s*["'](\{\{|\}\})["']\s*-?\}\}""")
_LABEL = re.compile(r"\$labels\.([A-Za-z_]\w*)")


def groups(document: Any) -> list[dict[str, Any]] | None:
    """The groups of a rule file, a PrometheusRule, or a list of such; None where it is none of them."""
    if not isinstance(document, dict):
        return None
    if items(document):
        inside = [groups(item) for item in items(document)]
        return [group for found in inside for group in found or ()]
    if str(document.get("apiVersion", "")).startswith("loki."):
        return []  # LogQL
    if isinstance(document.get("spec"), dict):
        document = document["spec"]
    found = document.get("groups", None if document else [])
    if found is None and "groups" in document:
        return []
    if not isinstance(found, list) or not all(isinstance(group, dict) for group in found):
        return None
    return found


def items(document: Mapping[str, Any]) -> list[Any]:
    """What is in a list, or in a template of OpenShift."""
    found = document.get({"List": "items", "Template": "objects"}.get(str(document.get("kind")), ""))
    return found if isinstance(found, list) else []


class _Loader(yaml.SafeLoader):
    """YAML as Prometheus and Kubernetes read it: a lone `=` is a text, an anchor may be given twice, and
    a tag of somebody's own says nothing."""

    def compose_node(self, parent: Any, index: Any) -> Any:
        event = self.peek_event()  # type: ignore[no-untyped-call]
        if not isinstance(event, yaml.AliasEvent):
            self.anchors.pop(getattr(event, "anchor", None), None)
        return super().compose_node(parent, index)


def _nothing(_loader: yaml.SafeLoader, _tag: str, _node: yaml.Node) -> None:
    return None


def _as_text(_loader: yaml.SafeLoader, node: yaml.Node) -> str:
    return str(node.value)


_Loader.add_constructor("tag:yaml.org,2002:value", _as_text)
_Loader.add_multi_constructor("!", _nothing)


def loaded(text: str) -> Iterator[Any]:
    """The documents of a YAML file. Raises: yaml.YAMLError."""
    yield from yaml.load_all(text, Loader=_Loader)


def documents(file: str, text: str) -> list[Any]:
    """The documents of a YAML file that hold anything. Raises: SourceError."""
    try:
        return [document for document in loaded(_unescaped(text)) if document is not None]
    except yaml.YAMLError as error:
        raise SourceError(f"{file}: not YAML: {' '.join(str(error).split())}") from error


def _unescaped(text: str) -> str:
    """Prometheus' own templates, where a chart of Helm or a playbook quotes them."""
    whole = _KEPT_WHOLE.sub(lambda found: found[1], text)
    return _KEPT.sub(lambda found: found[1], whole)


def holds_rules(text: str) -> bool:
    """Whether a YAML file has rules. Raises: yaml.YAMLError."""
    return any(groups(document) for document in loaded(text))


def load(file: str, text: str, whole: str = "") -> Source:
    """The queries of one rule file, which may hold several documents.

    Args:
        whole: the file that this one stands in, to tell lines by.

    Raises: SourceError where it is no YAML, or no rule file.
    """
    found = documents(file, text)
    inside = [(each, groups(each)) for each in found]
    if found and all(rules is None for _, rules in inside):
        raise SourceError(f"{file}: not a rule file: it has no list of groups")
    kinds = [(str(each.get("kind")) == "VMRule", group) for each, rules in inside for group in rules or ()]
    ours = bool(kinds) and all(str(group.get("name", "")).startswith(OUR_GROUPS) for _, group in kinds)
    queries = (
        replace(query, victoria=victoria)
        for victoria, group in kinds
        for query in _rules(file, whole or text, group, ours)
    )
    return Source(file, "rules", tuple(queries), ours)


def _rules(file: str, text: str, group: Mapping[str, Any], ours: bool) -> Iterator[Query]:
    if group.get("type") in ("graphite", "vlogs"):  # vmalert asks others, too
        return
    every = parsed(group.get("interval"))
    for rule in group.get("rules") or ():
        if isinstance(rule, dict) and isinstance(rule.get("data"), list):
            yield from _grafana_rule(file, text, rule)
            continue
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
            labels=frozenset(map(str, rule.get("labels") or ())) if kind == "record" else frozenset(),
            alert=_alert(rule) if kind == "alert" else None,
            every=every,
            ours=ours,
        )


def _alert(rule: Mapping[str, Any]) -> Alert:
    texts = [*(rule.get("labels") or {}).values(), *(rule.get("annotations") or {}).values()]
    return Alert(bool(rule.get("for") or rule.get("keep_firing_for")), tuple(map(str, texts)))


def _grafana_rule(file: str, text: str, rule: Mapping[str, Any]) -> Iterator[Query]:
    """An alert rule as Grafana provisions it: queries by letter, conditions among them."""
    name = str(rule.get("title") or rule.get("uid") or "")
    for entry in rule["data"]:
        model = entry.get("model") if isinstance(entry, dict) else None
        expr = model.get("expr") if isinstance(model, dict) else None
        if isinstance(expr, str) and expr.strip() and asks_prometheus(model or {}, {}):
            place = Place(file, name, str(entry.get("refId") or "?"), line_of(text, expr, name))
            yield Query(place, expr, variables={})


def _labels(rule: Mapping[str, Any]) -> Iterator[str]:
    """Labels that an alert's templates print; one that is only tried, by `with` or `if`, may be missing."""
    added = set(rule.get("labels") or ())
    for template in (rule.get("annotations") or {}).values():
        certain = re.sub(r"\{\{-?\s*(?:with|if)\s[^}]*\}\}", "", str(template))
        yield from set(_LABEL.findall(certain)) - added
