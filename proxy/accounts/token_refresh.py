"""New tokens for Codex logins.

A refresh token works once, so the new one is written back to the `auth.json` that the login came from,
and a lock beside it keeps processes from spending the same one twice.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping, Set
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import aiohttp

from ledger.requests.error_codes import PERMANENT
from proxy.accounts.auth_file import keep, locked
from proxy.accounts.credentials import Credential, from_auth, parse_auth, read_text
from proxy.errors import CredentialError, RefreshRefused, TokenUnavailable

CLIENT_ID = "app_EMoamEEZ73f0CkXaXp7hrann"
"""Codex's own, as its login uses it."""

TIMEOUT = aiohttp.ClientTimeout(total=30)
_REFUSALS = frozenset({400, 401, 403})
_OVER = {"invalid_grant": "refresh_token_invalidated"} | {
    code: code for code in PERMANENT if code.startswith(("refresh_token_", "account_"))
}
"""What the token URL says of a login that is over, in the words of `marks`; `invalid_grant` is OAuth's."""


@dataclass(frozen=True, slots=True)
class Renewed:
    """A login with a token that was not refused yet.

    Attributes:
        unkept: why it could not be written to its file, so that this process alone has it; None: it was.
    """

    credential: Credential
    unkept: str | None = None


async def refresh(
    account_id: str,
    path: Path,
    old: Credential,
    dead: Set[str],
    client: aiohttp.ClientSession,
    token_url: str,
) -> Renewed:
    """A login with a new token, which stands in its file before it is used.

    Args:
        path: the `auth.json`.
        old: the login whose token was refused.
        dead: all tokens that were refused; where the file holds another one, that is taken.
    Raises: RefreshRefused where the login is over, TokenUnavailable where it may go better later,
        CredentialError for a file that cannot be read.
    """
    async with locked(account_id, path):
        text = await asyncio.to_thread(read_text, account_id, path)
        kept = from_auth(account_id, path, text)
        if kept.token not in dead or old.refresh_token is None:
            return Renewed(kept)
        status, new = await _ask(account_id, old.refresh_token, client, token_url)
        changed = _renewed(parse_auth(account_id, path, text), new)
        try:
            credential = from_auth(account_id, path, changed)
        except CredentialError:
            raise TokenUnavailable(
                account_id, status, f"{token_url} gives something that is no token"
            ) from None
        return Renewed(credential, await asyncio.to_thread(_unkept, path, changed))


async def _ask(
    account_id: str, refresh_token: str, client: aiohttp.ClientSession, token_url: str
) -> tuple[int, Mapping[str, Any]]:
    """The token URL's answer, with a new token, and its status."""
    form = {
        "client_id": CLIENT_ID,
        "grant_type": "refresh_token",
        "refresh_token": refresh_token,
        "scope": "openid profile email",
    }
    try:
        async with client.post(token_url, json=form, timeout=TIMEOUT, allow_redirects=False) as answer:
            status, body = answer.status, await answer.read()
    except (aiohttp.ClientError, TimeoutError, OSError) as error:
        raise TokenUnavailable(account_id, 0, f"{token_url}: {type(error).__name__}") from None
    document = _document(body)
    if status in _REFUSALS and (code := _code(document)) is not None:
        raise RefreshRefused(account_id, status, code)
    if status != 200 or not isinstance(document.get("access_token"), str):
        raise TokenUnavailable(account_id, status, f"{token_url} answers {status} and gives no token")
    return status, document


def _code(document: Mapping[str, Any]) -> str | None:
    """Why a login is over; None where the answer does not say that it is."""
    error = document.get("error", document.get("code"))
    code = error.get("code") if isinstance(error, dict) else error
    return _OVER.get(code) if isinstance(code, str) else None


def _renewed(document: dict[str, Any], new: Mapping[str, Any]) -> str:
    tokens = {**document["tokens"]}
    for name in ("access_token", "refresh_token", "id_token"):
        if isinstance(new.get(name), str):
            tokens[name] = new[name]
    moment = datetime.now(UTC).isoformat().replace("+00:00", "Z")
    return json.dumps({**document, "tokens": tokens, "last_refresh": moment}, indent=2)


def _unkept(path: Path, text: str) -> str | None:
    try:
        keep(path, text)
    except OSError as error:
        return error.strerror or type(error).__name__
    return None


def _document(body: bytes) -> Mapping[str, Any]:
    try:
        found = json.loads(body)
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}
