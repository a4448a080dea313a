"""Finding the counts in a document that is too long to be kept: its ends are, and what `"usage"` holds."""

from __future__ import annotations

import json
import re
from typing import Any

import msgspec

from proxy.metering.usage import NOTHING, Report, read_answer, report_over

_USAGE = re.compile(rb'"(usage\w*)"\s*:\s*\{')
_MODEL = re.compile(rb'"(model|modelVersion)"\s*:\s*("[^"\\]{1,200}")')
_TYPE = re.compile(rb'"type"\s*:\s*("[a-z_.]{1,60}")')

MAX_OBJECT = 16 * 1024
"""Bytes of a `usage` object."""

END_KEPT = 16 * 1024
"""Bytes of the document's beginning and end in which its model and type are looked for."""

_TYPE_WITHIN = 400

_SEAM = 64
"""Bytes in which `"usage": {` may be cut."""


class Sieve:
    """Sees the chunks of one document; bounded, whatever their number."""

    def __init__(self, api: str) -> None:
        self._api = api
        self._head = b""
        self._tail = b""
        self._open = b""  # a `usage` object that may not be complete
        self._report = NOTHING

    def feed(self, chunk: bytes) -> None:
        """Bytes as they pass."""
        if len(self._head) < END_KEPT:
            self._head += chunk[: END_KEPT - len(self._head)]
        seam = self._tail[-_SEAM:]
        self._tail = (self._tail + chunk)[-END_KEPT:] if len(chunk) < END_KEPT else chunk[-END_KEPT:]
        if self._open:
            self._open += chunk[: MAX_OBJECT - len(self._open)]
            if len(self._open) >= MAX_OBJECT:
                self._close()
        if b'"usage' not in chunk and b'"' not in seam:
            return
        found = list(_USAGE.finditer(seam + chunk))
        if found:
            self._close()
            for one in found[-2:]:
                self._close()
                self._open = (seam + chunk)[one.start() : one.start() + MAX_OBJECT]

    def end(self) -> Report:
        """What was found."""
        self._close()
        named: dict[str, Any] = {}
        for match in [*_MODEL.finditer(self._tail)][-1:] + [*_MODEL.finditer(self._head)][:1]:
            named[match[1].decode()] = msgspec.json.decode(match[2])
        if kind := _TYPE.search(self._head[:_TYPE_WITHIN]):
            named["type"] = msgspec.json.decode(kind[1])
        return report_over(read_answer(msgspec.json.encode(named), self._api), self._report)

    def _close(self) -> None:
        """Read the object that was found last."""
        raw, self._open = self._open, b""
        match = _USAGE.match(raw)
        if match is None:
            return
        text = raw[match.end() - 1 :].decode("utf-8", "replace")
        try:
            usage, _ = json.JSONDecoder().raw_decode(text)
        except (ValueError, RecursionError):
            return
        document = json.dumps({match[1].decode(): usage}).encode()
        self._report = report_over(read_answer(document, self._api), self._report)


_TOKEN = {
    "responses": re.compile(rb'"type"\s*:\s*"response\.[a-z_.]+\.delta"'),
    "messages": re.compile(rb'"type"\s*:\s*"content_block_delta"'),
    "completions": re.compile(rb'"(?:text|response)"\s*:\s*"[^"]'),
    "images": re.compile(rb'"type"\s*:\s*"image_[a-z]+\.(?:partial_image|completed)"'),
    "audio": re.compile(rb'"type"\s*:\s*"(?:transcript\.text|speech\.audio)\.delta"'),
}
_OTHER = re.compile(rb'"(?:content|reasoning|reasoning_content|refusal|arguments|name|text)"\s*:\s*"[^"]')
_CHAT = re.compile(rb'"(?:content|reasoning|reasoning_content|refusal|arguments|name)"\s*:\s*"[^"]')


def token_pattern(api: str) -> re.Pattern[bytes]:
    """What the event of a stream with its first generated token has in it."""
    return _TOKEN.get(api, _CHAT if api == "chat_completions" else _OTHER)
