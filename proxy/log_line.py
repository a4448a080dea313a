"""One line of log for each request, in logfmt: names and counts, never content."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from typing import TextIO

from ledger.values import RequestEvent


class LogLines:
    """Writes a line for each event of a batch; a closed or broken stream costs only the lines."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def __call__(self, events: Sequence[RequestEvent]) -> None:
        with suppress(OSError, ValueError):
            self._stream.write("".join(f"{line(event)}\n" for event in events))
            self._stream.flush()


def line(event: RequestEvent) -> str:
    """The event as one line of `key=value` pairs; unknown values are left out."""
    usage = event.usage
    pairs = (
        ("status", event.status),
        ("http", event.http_status),
        ("end", event.end_reason),
        ("route", f'"{event.method} {event.route}"'),
        ("model", _quoted(event.model)),
        ("key", _quoted(event.api_key_id)),
        ("account", _quoted(event.account_id)),
        ("input", usage.input_tokens),
        ("cached", usage.cached_input_tokens),
        ("output", usage.output_tokens),
        ("reasoning", usage.reasoning_tokens),
        ("first_token_ms", _rounded(event.latency_first_token_ms)),
        ("ms", _rounded(event.latency_ms)),
        ("error", _quoted(event.error_code)),
    )
    fields = " ".join(f"{name}={value}" for name, value in pairs if value is not None)
    return f"{event.requested_at.isoformat(timespec='milliseconds')} {fields}"


def _rounded(milliseconds: float | None) -> int | None:
    return None if milliseconds is None else round(milliseconds)


def _quoted(text: str | None) -> str | None:
    """Callers choose these: nothing of theirs may break the line or pass for another field."""
    if text is None:
        return None
    text = text[:100]
    return text if text.isascii() and text.isprintable() and not set(' "=') & set(text) else ascii(text)
