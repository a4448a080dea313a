"""Times as a command line takes them."""

from __future__ import annotations

import argparse
from datetime import UTC, datetime


def moment(text: str) -> datetime:
    """A date or time in ISO 8601; UTC if not said. Raises: ArgumentTypeError."""
    try:
        found = datetime.fromisoformat(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(
            f"{text!r}: allowed: a date or time, like 2026-08-21T12:00Z"
        ) from error
    return found if found.tzinfo else found.replace(tzinfo=UTC)
