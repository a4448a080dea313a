"""POST /v1/embeddings: input tokens alone are counted."""

from __future__ import annotations

import base64
import struct
from typing import Any

from ledger.values import NO_USAGE, Usage
from simulator.provider.apis.call import Call, counts

DIMENSIONS = 8
"""Length of a vector where the request does not say; real models give 1,536 and more."""


def body(call: Call) -> dict[str, Any]:
    """A list with one vector for each input."""
    data = [
        {"object": "embedding", "index": index, "embedding": _vector(call, index)}
        for index in range(_inputs(call))
    ]
    document: dict[str, Any] = {"object": "list", "data": data, "model": call.model}
    if call.answer.reports_usage:
        tokens = counts(call.answer.usage).input
        document["usage"] = {"prompt_tokens": tokens, "total_tokens": tokens}
    return document


def told(call: Call) -> Usage:
    """What a reader of the answer learns: there is no output to be billed."""
    tokens = counts(call.answer.usage).input
    return Usage(tokens, 0) if call.answer.reports_usage else NO_USAGE


def _inputs(call: Call) -> int:
    """How many texts are embedded: a list of tokens is one text."""
    asked = call.request.get("input", "")
    return len(asked) if isinstance(asked, list) and not all(isinstance(t, int) for t in asked) else 1


def _vector(call: Call, index: int) -> list[float] | str:
    size = int(call.request.get("dimensions") or DIMENSIONS)
    values = [((call.number + index + i) % 7 - 3) / 8 for i in range(size)]
    if call.request.get("encoding_format") == "base64":
        return base64.b64encode(struct.pack(f"<{size}f", *values)).decode()
    return values
