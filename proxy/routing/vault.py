"""The credentials of the accounts in use: each read once, and read anew when it was renewed."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from datetime import datetime

import aiohttp

from ledger.described import Reference, reference
from ledger.fleet import Member
from proxy.errors import RefreshRefused, TokenUnavailable
from proxy.routing.credentials import Credential, path_of, read_credential
from proxy.routing.tokens import refresh


class Vault:
    """Keeps credentials in memory.

    Args:
        environ: the process environment.
        token_url: where the tokens of Codex logins are refreshed.
        refused: is told the status of each refresh that gave no token; 0 where no answer came.
    """

    def __init__(
        self,
        environ: Mapping[str, str],
        client: aiohttp.ClientSession,
        token_url: str,
        refused: Callable[[int], None],
    ) -> None:
        self._environ = environ
        self._client = client
        self._token_url = token_url
        self._refused = refused
        self._kept: dict[str, tuple[tuple[str, datetime | None], Credential]] = {}
        self._dead: dict[str, set[str]] = {}
        self._refreshing: dict[str, asyncio.Task[Credential]] = {}

    def credential(self, member: Member) -> Credential:
        """The credential of an account; its file is read only when it was renewed.

        Raises: CredentialError.
        """
        stamp = (member.account.credential, member.renewed_at)
        kept = self._kept.get(member.account.id)
        if kept is not None and kept[0] == stamp:
            return kept[1]
        name = member.account.id
        found = read_credential(name, self._reference(member), self._environ)
        self._kept[name] = (stamp, found)
        return found

    async def refreshed(self, member: Member, old: Credential) -> Credential:
        """A new token for a login whose token was refused; requests that ask together get the same.

        Raises: RefreshRefused where a new login is needed, TokenUnavailable, CredentialError.
        """
        now = self.credential(member)
        if now.token != old.token:
            return now
        name = member.account.id
        task = self._refreshing.get(name)
        if task is None:
            task = self._refreshing[name] = asyncio.create_task(self._refresh(member, old))
            task.add_done_callback(lambda done: self._end(name, done))
        # A caller who leaves must not end what others wait for, nor leave the file locked.
        return await asyncio.shield(task)

    async def _refresh(self, member: Member, old: Credential) -> Credential:
        name, path = member.account.id, path_of(self._reference(member))
        dead = self._dead.setdefault(name, set())
        dead.add(old.token)
        try:
            new = await refresh(name, path, old, dead, self._client, self._token_url)
        except (RefreshRefused, TokenUnavailable) as error:
            self._refused(error.status)
            raise
        self._kept[name] = ((member.account.credential, member.renewed_at), new)
        return new

    def _end(self, name: str, done: asyncio.Task[Credential]) -> None:
        self._refreshing.pop(name, None)
        if not done.cancelled():
            done.exception()  # whoever still waits is told; if nobody does, that is no error

    def _reference(self, member: Member) -> Reference:
        return reference(member.account.id, member.account.credential)
