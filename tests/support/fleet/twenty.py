"""Twenty accounts with every trouble that accounts have, and three without: somebody can always answer."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from tests.support.fleet.accounts import ProviderAccount as A
from tests.support.fleet.attempts import ENDED

TWENTY: tuple[A, ...] = (
    A("steady-pro", "pro", 5.5),
    A("steady-team", "team", 3.5),
    A("steady-plus", "plus", 6.5),
    A("pinned", "plus", 4.0, pinned=True, hours=60),
    A("hours-plus", "plus", 5.0, hours=150, hours_seconds=3),
    A("hours-team", "team", 2.5, hours=90),
    A("week-pro", "pro", 4.5, week=160),
    A("week-free", "free", 1.5, week=60),
    A("credit", "api", credit=80),
    A("limited-plus", "plus", 3.0, limited_every=90),
    A("limited-edu", "edu", 6.0, limited_every=140, limited_seconds=2.5),
    A("limited-long", "business", 2.0, limited_every=120, limited_seconds=12.0),
    A("broken-plus", "plus", 4.0, broken_every=110),
    A("broken-enterprise", "enterprise", 5.0, broken_every=170),
    A("dead-from-the-start", "plus", lives=0, death="invalid_api_key"),
    A("deactivated", "pro", 3.0, lives=120),
    A("suspended", "team", 2.0, lives=90, death="account_suspended"),
    A("login-plus", "plus", 4.0, login=True, token_lives=130),
    A("login-pro", "pro", 5.0, login=True, token_lives=170),
    A("login-ends", "team", 3.0, login=True, token_lives=70, refreshes=1),
)

TROUBLES = (
    "rate_limit_exceeded",
    "usage_limit_reached",
    "insufficient_quota",
    "invalid_api_key",
    "account_deactivated",
    "account_suspended",
    "server_error",
    ENDED,
)
"""What they are refused with, as `tests.support.fleet.attempts` reads it."""

STEADY = frozenset(account.id for account in TWENTY if account.id.startswith("steady"))
"""Those that always answer."""


def tables(accounts: Iterable[A], folder: Path, origin: str) -> dict[str, dict[str, Any]]:
    """What a proxy's configuration says of accounts, as `[accounts.ID]`; their credentials are written
    into a folder.

    Args:
        origin: of the simulated provider. Logins name it as theirs: else a proxy keeps them to the
            ChatGPT backend.
    """
    return {
        account.id: {
            "credential": _credential(account, folder / account.id),
            "plan": account.plan,
            "pool": "pinned" if account.pinned else "full",
            **({"upstream_base_url": origin} if account.login else {}),
        }
        for account in accounts
    }


def _credential(account: A, file: Path) -> str:
    if not account.login:
        file.write_text(account.first_token + "\n", encoding="utf-8")
        return f"file:{file}"
    tokens = {
        "access_token": account.first_token,
        "refresh_token": f"rt-simulated-{account.id}-0",
        "account_id": f"chatgpt-{account.id}",
    }
    file.write_text(json.dumps({"tokens": tokens}), encoding="utf-8")
    return f"codex:{file}"
