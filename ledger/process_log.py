"""The log of a service: warnings of ours and of the libraries, without secrets."""

from __future__ import annotations

import logging

from ledger.privacy import without_likely

FORMAT = "%(asctime)s %(levelname)s [%(name)s] %(message)s"
MAX_LINE = 16 * 1024
"""Characters of one record that are kept, its traceback included."""


class WithoutSecrets(logging.Formatter):
    """Leaves out whatever looks like a secret, in messages and in tracebacks alike: a library's error may
    hold the bytes that it could not read."""

    def format(self, record: logging.LogRecord) -> str:
        return without_likely(self.cleaned(super().format(record)[:MAX_LINE]))

    def cleaned(self, line: str) -> str:
        """The line without what this service in particular has to keep out."""
        return line


def set_up() -> None:
    handler = logging.StreamHandler()
    handler.setFormatter(WithoutSecrets(FORMAT))
    logging.basicConfig(level=logging.WARNING, handlers=[handler])
