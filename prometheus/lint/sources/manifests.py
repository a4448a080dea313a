"""What a manifest for Kubernetes holds: rules, and whole files in a ConfigMap or a GrafanaDashboard."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import yaml

from prometheus.errors import SourceError
from prometheus.lint.query import Source
from prometheus.lint.sources import dashboards, rule_files

RULE_ENDINGS = (".yml", ".yaml", ".rules")


def load(file: str, text: str) -> list[Source]:
    """The rules of a YAML file, and each file that stands in it.

    Raises: SourceError where it holds neither.
    """
    held = [held for document in rule_files.documents(file, text) for held in files(document)]
    found = [_held(file, text, name, inner) for name, inner in held]
    if held and not rule_files.holds_rules(text):
        return found
    return [rule_files.load(file, text), *found]


def files(document: Any) -> Iterator[tuple[str, str]]:
    """Names and texts of the dashboards and rule files in a manifest."""
    if not isinstance(document, dict):
        return
    for item in rule_files.items(document):
        yield from files(item)
    data = document.get("data") if document.get("kind") == "ConfigMap" else None
    spec = document.get("spec") if document.get("kind") == "GrafanaDashboard" else None
    if isinstance(spec, dict) and isinstance(spec.get("json"), str):
        yield "dashboard.json", spec["json"]
    for name, text in data.items() if isinstance(data, dict) else ():
        if isinstance(text, str) and _is_ours(str(name), text):
            yield str(name), text


def _is_ours(name: str, text: str) -> bool:
    """Whether a file in a ConfigMap, where any may stand, is a dashboard or a rule file."""
    try:
        if name.endswith(".json"):
            return dashboards.is_dashboard(json.loads(text))
        return name.endswith(RULE_ENDINGS) and rule_files.holds_rules(text)
    except (ValueError, yaml.YAMLError):
        return '"expr"' in text or "expr:" in text  # one of them, and broken: its loader says how


def _held(file: str, text: str, name: str, inner: str) -> Source:
    try:
        load_ = dashboards.load if name.endswith(".json") else rule_files.load
        return load_(file, inner, text)
    except SourceError as error:
        raise SourceError(f"{file}: {name}: {str(error).removeprefix(f'{file}: ')}") from error
