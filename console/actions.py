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
        "All running proxies stop sending requests to it within 2 seconds. Requests in flight complete "
        "normally. It stays paused until somebody resumes it.",
    ),
    "resume": (
        "Resume",
        "All running proxies use it again within 2 seconds; recorded rate limits and failures are cleared.",
    ),
    "reauth": (
        "Reload credential",
        "Renew the credential first (codex login, or a new key in the file). All running proxies reload it "
        "within 2 seconds and try the account again; a paused account stays paused.",
    ),
    "remove": (
        "Remove",
        "All running proxies stop using it within 2 seconds, and its credential reference is deleted. Its "
        "requests stay in the ledger; adding it again restores its history.",
    ),
}
"""What an action is called, and what will happen."""
