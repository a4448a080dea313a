"""Asking the provider how much of a Codex login's quota is used, where no answer has said so for a while."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from time import time
from typing import Any
from urllib.parse import urlsplit

import aiohttp

from ledger.accounts.pool import Member
from ledger.values import UsageSample
from proxy.accounts.credential_cache import Vault
from proxy.accounts.credentials import Credential
from proxy.errors import CredentialError, PollFailed, ProxyError, RefreshRefused
from proxy.metering.quota import number, reset_at
from proxy.routing.counters import Counting
from proxy.routing.failure import Failure
from proxy.routing.router import Router

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
        raise PollFailed(status, f"{parts.netloc} reports no quota window")
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


_OUT = ("paused", "deactivated", "reauth_required")

log = logging.getLogger("quotascope.polling")


class Polling:
    """Polls the logins of a router.

    Args:
        take: takes what was told.
        base: the provider of logins that have none of their own.
        seconds: how often a login is asked for; what was told in passing since then will do.
    """

    def __init__(
        self,
        router: Router,
        vault: Vault,
        client: aiohttp.ClientSession,
        counting: Counting,
        take: Callable[[Sequence[UsageSample]], None],
        *,
        base: str,
        seconds: float,
    ) -> None:
        self._router = router
        self._vault = vault
        self._client = client
        self._counting = counting
        self._take = take
        self._base = base
        self._seconds = seconds
        self._told: dict[str, str] = {}
        self._hopeless: dict[str, str] = {}

    async def run(self) -> None:
        """Poll until cancelled."""
        while True:
            await self.once()
            await asyncio.sleep(self._seconds)

    async def once(self) -> None:
        """Ask for each login that is due; a failure is told once, and hinders no other one."""
        for member in list(self._router.members.values()):
            credential, began = self._due(member), time()
            if credential is None:
                continue
            try:
                self._take(await self._ask(member, credential))
                self._told.pop(member.account.id, None)
            except Exception as error:
                self._failed(member.account.id, error, began)

    def _due(self, member: Member) -> Credential | None:
        """The login to ask with; None where there is none, or nothing to ask."""
        told = member.secondary or member.primary
        if member.status in _OUT or (told and time() - told.at.timestamp() < self._seconds):
            return None
        try:
            credential = self._vault.credential(member)
        except CredentialError:
            return None
        return credential if credential.kind == "login" else None

    async def _ask(self, member: Member, credential: Credential) -> Sequence[UsageSample]:
        """The windows, if need be with a new token. Raises: PollFailed, CredentialError."""
        name, base = member.account.id, member.account.upstream_base_url or self._base
        try:
            return await poll(self._client, base, name, credential)
        except PollFailed as error:
            spent = not credential.can_refresh or self._hopeless.get(name) == credential.token
            if error.status != 401 or spent:
                raise
        fresh = await self._vault.refreshed(member, credential)
        try:
            return await poll(self._client, base, name, fresh)
        except PollFailed as error:
            if error.status == 401:  # its age is not what is wrong: the next refusal asks for no new token
                self._hopeless[name] = fresh.token
            raise

    def _failed(self, name: str, error: Exception, began: float) -> None:
        if isinstance(error, PollFailed):
            self._counting.poll_failed(error.status)
        if isinstance(error, RefreshRefused):
            self._router.failed(name, Failure(0, error.code, str(error)), began)
        text = f"{type(error).__name__}: {error}"
        if self._told.get(name) != text:
            self._told[name] = text
            why = None if isinstance(error, ProxyError) else error
            log.warning("the quota of account %r cannot be asked for: %s", name, error, exc_info=why)
