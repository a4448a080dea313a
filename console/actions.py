"""What a person may do to an account, and what it will do."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

from sqlalchemy import Connection

from ledger.accounts import changes
from ledger.accounts.audit import Origin

ORIGIN: Origin = "console"
Change = Callable[[Connection, str, datetime, Any, str | None], None]

ACTIONS: Mapping[str, Change] = {
    "pause": changes.pause,
    "resume": changes.resume,
    "reauth": changes.reauth,
    "remove": changes.remove,
}

WORDS: Mapping[str, tuple[str, str]] = {
    "pause": (
        "Pause",
        "Every running proxy stops sending requests to it within 2 seconds. What is under way ends as it "
        "would have. It stays paused until somebody resumes it: no proxy does by itself.",
    ),
    "resume": (
        "Resume",
        "Every running proxy uses it again within 2 seconds, and forgets rate limits and failures that were "
        "noticed before.",
    ),
    "reauth": (
        "Read its credential again",
        "Renew the credential behind its reference first (codex login, or a new key in the file). Then every "
        "running proxy reads it again within 2 seconds, and tries the account again; a paused one stays so.",
    ),
    "remove": (
        "Remove",
        "Every running proxy stops using it within 2 seconds, and the reference to its credential is "
        "forgotten. Its requests stay in the ledger. Adding it again brings its history back.",
    ),
}
"""What an action is called, and what will happen."""
