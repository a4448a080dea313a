"""One line of log for each request, in logfmt: names and counts, never content."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from contextlib import suppress
from typing import TextIO

from ledger.values import NO_USAGE, RequestEvent, Usage
from settings.names import Names

_PLAIN = re.compile(r"[\w.:/@+-]{1,100}", re.ASCII)


MAX_LINES = 64
"""Lines that are written at once: to write one takes as long as to make five."""


class LogLines:
    """Writes a line for each event; a closed or broken stream costs only the lines."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._lines: list[str] = []

    def __call__(self, events: Sequence[RequestEvent]) -> None:
        self._lines += [f"{line(event)}\n" for event in events]
        if len(self._lines) >= MAX_LINES:
            self.deliver()

    def deliver(self) -> None:
        """Write the lines that were made since the last time."""
        lines, self._lines = self._lines, []
        if lines:
            with suppress(OSError, ValueError):
                self._stream.write("".join(lines))
                self._stream.flush()


def line(event: RequestEvent) -> str:
    """The event as one line of `key=value` pairs; unknown values are left out."""
    usage = event.usage
    text = (
        f"{event.requested_at.isoformat()[:19]}Z status={event.status} http={event.http_status} "
        f'end={event.end_reason} route="{event.method} {event.route}" '
        f"key={_safe(event.api_key_id)} account={_safe(event.account_id)} ms={event.latency_ms:.0f}"
    )
    if event.model is not None:
        text += f" model={_safe(event.model)}"
    if usage is not NO_USAGE:
        text += _counts(usage)
    if event.latency_first_token_ms is not None:
        text += f" first_token_ms={event.latency_first_token_ms:.0f}"
    if event.error_code is not None:
        text += f" error={_safe(event.error_code)}"
    return text


def _counts(usage: Usage) -> str:
    text = "" if usage.input_tokens is None else f" input={usage.input_tokens}"
    if usage.cached_input_tokens is not None:
        text += f" cached={usage.cached_input_tokens}"
    if usage.output_tokens is not None:
        text += f" output={usage.output_tokens}"
    return text if usage.reasoning_tokens is None else f"{text} reasoning={usage.reasoning_tokens}"


def _quoted(text: str) -> str:
    """Callers choose these: nothing of theirs may break the line or pass for another field.

    Quoted as logfmt quotes: double quotes always, since a parser may take any other for a letter.
    """
    return text if _PLAIN.fullmatch(text) else json.dumps(text[:100]).replace("\x7f", "\\u007f")


_safe = Names(_quoted).__getitem__
