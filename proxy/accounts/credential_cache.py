"""The credentials of the accounts in use, in memory: requests read no file.

They are read when the accounts are, in a thread: each once, again when it was renewed, and again as long as
it cannot be read. What cannot be read here is this process's own trouble; others may well have it.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime

import aiohttp

from ledger.accounts.configured import reference
from ledger.accounts.pool import Member
from ledger.errors import AccountError
from proxy.accounts.auth_file import unwritable
from proxy.accounts.credentials import Credential, Kind, path_of, read_credential
from proxy.accounts.token_refresh import refresh
from proxy.errors import CredentialError, RefreshRefused, TokenUnavailable

log = logging.getLogger("quotascope.credentials")

_Stamp = tuple[str, datetime | None]
"""An account's reference, and when it was last said that there is something new behind it."""


@dataclass(frozen=True, slots=True)
class _Held:
    """What was found behind a reference.

    Attributes:
        credential: None where none could be read.
        problem: why not, or why a login cannot be written back.
    """

    stamp: _Stamp
    credential: Credential | None
    problem: str | None = None


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
        self._held: dict[str, _Held] = {}
        self._noted: dict[str, str] = {}
        self._untold: list[str] = []
        self._dead: dict[str, set[str]] = {}
        self._refreshing: dict[str, asyncio.Task[Credential]] = {}

    async def load(self, members: Iterable[Member]) -> Mapping[str, Kind]:
        """Read what is new, renewed or could not be read before, and forget what is not among these.

        Returns: the accounts whose credential this process holds, and of which kind it is.
        """
        wanted = {member.account.id: member for member in members}
        stale = [member for member in wanted.values() if not self._holds(member)]
        found = await asyncio.to_thread(_read_all, stale, self._environ) if stale else {}
        self._held = {name: held for name, held in (self._held | found).items() if name in wanted}
        for name, held in found.items():
            self._note(name, held)
        return {name: held.credential.kind for name, held in self._held.items() if held.credential}

    def tell(self) -> None:
        """Log what was found wrong since the last time; what stays wrong is told once."""
        untold, self._untold = self._untold, []
        for line in untold:
            log.warning("%s", line)

    def credential(self, member: Member) -> Credential:
        """The credential of an account. Raises: CredentialError where this process holds none."""
        name = member.account.id
        held = self._held.get(name)
        if held is None or held.credential is None:
            raise CredentialError(name, (held and held.problem) or "its credential was not read yet")
        return held.credential

    async def refreshed(self, member: Member, old: Credential) -> Credential:
        """A new token for a login whose token was refused; requests that ask together get the same.

        Raises: RefreshRefused where a new login is needed, TokenUnavailable; CredentialError where its file
            cannot be read, and is then held no more.
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

    async def close(self) -> None:
        """Wait for what is being refreshed: an old refresh token is spent, the new one not yet written."""
        while self._refreshing:
            await asyncio.wait(self._refreshing.values())

    async def _refresh(self, member: Member, old: Credential) -> Credential:
        name, stamp = member.account.id, _stamp(member)
        dead = self._dead.setdefault(name, set())
        dead.add(old.token)
        try:
            path = path_of(name, reference(name, member.account.credential))
            new = await refresh(name, path, old, dead, self._client, self._token_url)
        except (RefreshRefused, TokenUnavailable) as error:
            self._refused(error.status)
            raise
        except CredentialError as error:
            self._put(name, _Held(stamp, None, error.problem))
            raise
        lost = f"its new token could not be written to {path} ({new.unkept}), where the old one is spent now"
        self._put(name, _Held(stamp, new.credential, lost if new.unkept else None))
        return new.credential

    def _end(self, name: str, done: asyncio.Task[Credential]) -> None:
        self._refreshing.pop(name, None)
        if not done.cancelled():
            done.exception()  # whoever still waits is told; if nobody does, that is no error

    def _holds(self, member: Member) -> bool:
        held = self._held.get(member.account.id)
        return held is not None and held.credential is not None and held.stamp == _stamp(member)

    def _put(self, name: str, held: _Held) -> None:
        """Take over how a refresh went, unless the account was given another credential meanwhile."""
        before = self._held.get(name)
        if before is not None and before.stamp == held.stamp:
            self._held[name] = held
            self._note(name, held)

    def _note(self, name: str, held: _Held) -> None:
        if held.problem is None:
            self._noted.pop(name, None)
        elif self._noted.get(name) != held.problem:
            self._noted[name] = held.problem
            rest = "" if held.credential else "; until it can be read this process leaves the account alone"
            self._untold.append(f"account {name!r}: {held.problem}{rest}")


def _stamp(member: Member) -> _Stamp:
    return member.account.credential, member.renewed_at


def _read_all(members: Iterable[Member], environ: Mapping[str, str]) -> dict[str, _Held]:
    return {member.account.id: _read(member, environ) for member in members}


def _read(member: Member, environ: Mapping[str, str]) -> _Held:
    name, stamp = member.account.id, _stamp(member)
    try:
        place = reference(name, member.account.credential)
        credential = read_credential(name, place, environ)
        why = unwritable(path_of(name, place)) if credential.can_refresh else None
    except CredentialError as error:
        return _Held(stamp, None, error.problem)
    except AccountError:
        return _Held(stamp, None, "its credential is no reference that is known here")
    lost = (
        f"{place.place} cannot be written ({why}): a token that is refreshed will be lost with this process"
    )
    return _Held(stamp, credential, lost if why else None)
