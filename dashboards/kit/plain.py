"""grafanalib's objects as plain JSON, without what Grafana no longer reads."""

from __future__ import annotations

import json
from collections.abc import Set
from typing import Any

Json = dict[str, Any]


def plain(value: object) -> Json:
    """A grafanalib object, or JSON with such objects inside, as JSON alone."""
    result: Json = json.loads(json.dumps(value, default=lambda inner: inner.to_json_data()))
    return result


def merged(base: Json, extra: Json) -> Json:
    """`base` with the keys of `extra`; where both have an object, the two are merged."""
    return {**base, **{key: _either(base.get(key), value) for key, value in extra.items()}}


def without(value: Json, keys: Set[str]) -> Json:
    """`value` without these keys at its top, and without null at any depth."""
    stripped: Json = _no_nulls({key: inner for key, inner in value.items() if key not in keys})
    return stripped


def _either(base: Any, extra: Any) -> Any:
    return merged(base, extra) if isinstance(base, dict) and isinstance(extra, dict) else extra


def _no_nulls(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _no_nulls(inner) for key, inner in value.items() if inner is not None}
    return [_no_nulls(inner) for inner in value] if isinstance(value, list) else value
