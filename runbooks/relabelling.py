"""What Prometheus' relabelling makes of a series: enough of it to say whether the series is stored."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

Labels = Mapping[str, str]


def relabelled(labels: Labels, configs: Iterable[Mapping[str, Any]]) -> Labels | None:
    """The labels after all steps; None where a step drops the series.

    Args:
        configs: entries of `metric_relabel_configs` as Prometheus shows them: defaults may be left out.
    """
    found: dict[str, str] | None = dict(labels)
    for config in configs:
        if found is None:
            return None
        found = _step(found, config)
    return found


def _step(labels: dict[str, str], config: Mapping[str, Any]) -> dict[str, str] | None:
    action = str(config.get("action", "replace")).lower()
    separator = str(config.get("separator", ";"))
    value = separator.join(labels.get(name, "") for name in config.get("source_labels") or ())
    pattern = _pattern(str(config.get("regex", "(.*)")))
    target = str(config.get("target_label", ""))
    match action:
        case "drop" | "keep":
            return labels if bool(pattern.fullmatch(value)) == (action == "keep") else None
        case "dropequal" | "keepequal":
            return labels if (labels.get(target, "") == value) == (action == "keepequal") else None
        case "labeldrop":
            return {k: v for k, v in labels.items() if not pattern.fullmatch(k)}
        case "labelkeep":
            return {k: v for k, v in labels.items() if pattern.fullmatch(k)}
        case "labelmap":
            return labels | _mapped(labels, pattern, config)
        case "lowercase" | "uppercase":
            return labels | {target: value.lower() if action == "lowercase" else value.upper()}
        case "replace":
            return _replaced(labels, pattern, value, target, config)
        case _:  # hashmod and what is still to come set a label, and drop nothing
            return labels


def _mapped(labels: Labels, pattern: re.Pattern[str], config: Mapping[str, Any]) -> dict[str, str]:
    found = ((pattern.fullmatch(name), value) for name, value in labels.items())
    return {_expanded(match, config): value for match, value in found if match}


def _replaced(
    labels: dict[str, str], pattern: re.Pattern[str], value: str, target: str, config: Mapping[str, Any]
) -> dict[str, str]:
    match = pattern.fullmatch(value)
    if match is None:
        return labels
    new = _expanded(match, config)
    if new:
        return labels | {target: new}
    return {k: v for k, v in labels.items() if k != target}


def _expanded(match: re.Match[str], config: Mapping[str, Any]) -> str:
    """The replacement, with `$1` and `${name}` filled in."""
    template = str(config.get("replacement", "$1"))
    return re.sub(r"\$(?:\{(\w+)\}|(\w+))", lambda found: _group(match, found[1] or found[2]), template)


def _group(match: re.Match[str], name: str) -> str:
    try:
        return match[int(name) if name.isdigit() else name] or ""
    except (IndexError, KeyError):
        return ""


def _pattern(text: str) -> re.Pattern[str]:
    return re.compile(text, re.DOTALL)
