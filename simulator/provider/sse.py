"""Server-sent events as bytes, each with what it tells the reader about usage."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from ledger.values import Usage


@dataclass(frozen=True, slots=True)
class Event:
    """One event, its closing blank line included.

    Attributes:
        tells: the token counts that a reader of this event knows; None where it says nothing of them.
    """

    data: bytes
    tells: Usage | None = None

    def with_line_end(self, line_end: str) -> Event:
        """The same event with other line ends; JSON carries no raw newline that this could touch."""
        return replace(self, data=self.data.replace(b"\n", line_end.encode()))


DONE = Event(b"data: [DONE]\n\n")


def compact(document: Mapping[str, Any]) -> bytes:
    """JSON as the provider writes it into streams: no spaces, UTF-8 unescaped."""
    return json.dumps(document, separators=(",", ":"), ensure_ascii=False).encode()


def data_event(document: Mapping[str, Any], tells: Usage | None = None) -> Event:
    """An event without a name, as chat completions send them."""
    return Event(b"data: " + compact(document) + b"\n\n", tells)


def named_event(document: Mapping[str, Any], tells: Usage | None = None) -> Event:
    """An event whose name is the document's `type`, as responses and messages send them."""
    name = str(document["type"]).encode()
    return Event(b"event: " + name + b"\ndata: " + compact(document) + b"\n\n", tells)
