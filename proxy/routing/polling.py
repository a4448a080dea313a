"""Asking again and again: for the quota of logins that no answer has told of for a while."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from time import time

import aiohttp

from ledger.fleet import Member
from ledger.values import UsageSample
from proxy.errors import CredentialError, PollFailed, ProxyError, RefreshRefused
from proxy.routing.counting import Counting
from proxy.routing.credentials import Credential
from proxy.routing.marks import Failure
from proxy.routing.poll import poll
from proxy.routing.router import Router
from proxy.routing.vault import Vault

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
