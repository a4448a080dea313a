"""Calls of tools that the provider runs and bills by number, as a response object tells of them. Pure."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import msgspec

from proxy.metering.numbers import Numbers, get

_BILLED = {"web_search_call": "web_search", "file_search_call": "file_search"}


class _Item(msgspec.Struct):
    type: Any = None
    action: Any = None


_items = msgspec.json.Decoder(list[_Item])


def tool_calls(output: msgspec.Raw, tool_usage: object, numbers: Numbers) -> dict[str, Decimal]:
    """How often each of them was called.

    Args:
        output: a response's list of items; pages that a search opens are items too, and are not billed.
        tool_usage: the counts that some responses bring; they hold where they stand.
    """
    found = _counted(output)
    if not isinstance(tool_usage, dict):
        return found
    for name in ("web_search", "file_search"):
        told = numbers.units(get(tool_usage, name, "num_requests"))
        if told is not None:
            found[name] = told
    return found


def _counted(output: msgspec.Raw) -> dict[str, Decimal]:
    if not output or b"_search_call" not in bytes(output):
        return {}
    try:
        items = _items.decode(output)
    except (msgspec.DecodeError, RecursionError):
        return {}
    found: dict[str, Decimal] = {}
    for item in items:
        name = _BILLED.get(item.type) if isinstance(item.type, str) else None
        if name and get(item.action, "type") in (None, "search"):
            found[name] = found.get(name, Decimal(0)) + 1
    return found
