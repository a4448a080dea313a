"""What the event that ends a turn says of its failure. Pure.

On a WebSocket an error is an event of its own. It brings what the head of an HTTP answer would say:
`{"type": "error", "status": 429, "headers": {...}, "error": {...}}`; some call the status `status_code`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import msgspec

from proxy.metering.usage import UNREADABLE, Report
from proxy.routing.failure import Failure, told_failure


class _Head(msgspec.Struct):
    status: Any = None
    status_code: Any = None
    headers: Any = None


_heads = msgspec.json.Decoder(_Head)


def turn_failure(event: bytes, code: str | None, report: Report, now: float) -> Failure | None:
    """How a turn failed; None where it went well.

    Args:
        event: the one that ended it.
        code: of its error, if there was one.
        report: what its events said.
        now: epoch seconds.
    """
    if code is None:
        return None
    failure = told_failure(code, report, now)
    try:
        head = _heads.decode(event)
    except UNREADABLE:
        return failure
    status = next((s for s in (head.status, head.status_code) if _is_error(s)), failure.http_status)
    return replace(failure, http_status=status, headers=_headers(head.headers))


def _is_error(status: object) -> bool:
    return type(status) is int and 400 <= status <= 599


def _headers(told: object) -> Mapping[str, str]:
    if not isinstance(told, dict):
        return {}
    return {name.lower(): str(value) for name, value in told.items() if isinstance(value, str | int | float)}
