"""Durations as Grafana and Prometheus write them, read."""

from __future__ import annotations

from datetime import timedelta

import promql_parser


def parsed(text: object) -> timedelta | None:
    """`15s` and the like; None where it is nothing of the kind, as with a variable."""
    if not isinstance(text, str):
        return None
    try:
        found: timedelta = promql_parser.parse_duration(text.removeprefix(">").strip())
    except ValueError:
        return None
    return found if found > timedelta(0) else None
