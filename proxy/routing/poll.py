"""Asking the provider how much of a Codex login's quota is used, where no answer has told it in passing."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlsplit

import aiohttp

from ledger.values import UsageSample
from proxy.errors import PollFailed
from proxy.quota import number, reset_at
from proxy.routing.credentials import Credential

PATH = "/backend-api/wham/usage"
TIMEOUT = aiohttp.ClientTimeout(total=30)
_WINDOWS = {"primary": "primary_window", "secondary": "secondary_window"}


async def poll(
    client: aiohttp.ClientSession, base: str, account_id: str, credential: Credential
) -> tuple[UsageSample, ...]:
    """What the provider says now.

    Args:
        base: the provider, with any path; the question goes to its host.
    Raises: PollFailed.
    """
    parts = urlsplit(base)
    url = f"{parts.scheme}://{parts.netloc}{PATH}"
    try:
        async with client.get(
            url, headers=dict(credential.headers), timeout=TIMEOUT, allow_redirects=False
        ) as answer:
            status, body = answer.status, await answer.read()
    except (aiohttp.ClientError, TimeoutError, OSError) as error:
        raise PollFailed(0, f"{parts.netloc} cannot be asked: {type(error).__name__}") from None
    if status != 200:
        raise PollFailed(status, f"{parts.netloc} answers {status}")
    samples = parse_usage(body, account_id, datetime.now(UTC))
    if not samples:
        raise PollFailed(status, f"{parts.netloc} tells no quota window")
    return samples


def parse_usage(body: bytes, account_id: str, now: datetime) -> tuple[UsageSample, ...]:
    """The windows of a usage answer; none for anything that is no such answer."""
    try:
        document = json.loads(body)
    except (ValueError, RecursionError):
        return ()
    limits = document.get("rate_limit") if isinstance(document, dict) else None
    if not isinstance(limits, dict):
        return ()
    told = {name: limits.get(key) for name, key in _WINDOWS.items()}
    credits = document.get("credits")
    credits = credits if isinstance(credits, dict) else {}
    return tuple(
        _sample(account_id, now, name, window, used, credits)
        for name, window in told.items()
        if isinstance(window, dict) and (used := number(window.get("used_percent"))) is not None
    )


def _sample(
    account_id: str,
    now: datetime,
    name: str,
    window: Mapping[str, Any],
    used: float,
    credits: Mapping[str, Any],
) -> UsageSample:
    seconds = number(window.get("limit_window_seconds"))
    return UsageSample(
        account_id=account_id,
        recorded_at=now,
        window=name,
        used_percent=used,
        reset_at=reset_at(window, now),
        window_minutes=None if seconds is None else round(seconds / 60),
        credits_has=_flag(credits.get("has_credits")),
        credits_unlimited=_flag(credits.get("unlimited")),
        credits_balance=number(credits.get("balance")),
    )


def _flag(value: object) -> bool | None:
    return value if isinstance(value, bool) else None
