"""New tokens for Codex logins, and the file that keeps them.

A refresh token works once, so the new one is written back to the `auth.json` that the login came from,
and a lock beside it keeps processes from spending the same one twice.
"""

from __future__ import annotations

import asyncio
import fcntl
import json
import os
from collections.abc import Mapping, Set
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import aiohttp

from proxy.errors import RefreshRefused, TokenUnavailable
from proxy.routing.credentials import Credential, from_auth, parse_auth, read_text
from proxy.routing.marks import PERMANENT

CLIENT_ID = "app_EMoamEEZ73f0CkXaXp7hrann"
"""Codex's own, as its login uses it."""

TIMEOUT = aiohttp.ClientTimeout(total=30)
_REFUSALS = frozenset({400, 401, 403})


async def refresh(
    account_id: str,
    path: Path,
    old: Credential,
    dead: Set[str],
    client: aiohttp.ClientSession,
    token_url: str,
) -> Credential:
    """A login with a new token, which stands in its file before it is used.

    Args:
        path: the `auth.json`.
        old: the login whose token was refused.
        dead: all tokens that were refused; where the file holds another one, that is taken.
    Raises: RefreshRefused where the login is over, TokenUnavailable where it may go better later,
        CredentialError for a file that cannot be read.
    """
    lock = await asyncio.to_thread(_lock, path)
    try:
        text = await asyncio.to_thread(read_text, account_id, path)
        kept = from_auth(account_id, path, text)
        if kept.token not in dead or old.refresh_token is None:
            return kept
        new = await _ask(account_id, old.refresh_token, client, token_url)
        changed = _renewed(parse_auth(account_id, path, text), new)
        with suppress(OSError):  # a file that is not ours to write: the token serves this process alone
            await asyncio.to_thread(_write, path, changed)
        return from_auth(account_id, path, changed)
    finally:
        os.close(lock)


async def _ask(
    account_id: str, refresh_token: str, client: aiohttp.ClientSession, token_url: str
) -> Mapping[str, Any]:
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
    if status in _REFUSALS:
        raise RefreshRefused(account_id, status, _code(document))
    if status != 200 or not isinstance(document.get("access_token"), str):
        raise TokenUnavailable(account_id, status, f"{token_url} answers {status} and gives no token")
    return document


def _code(document: Mapping[str, Any]) -> str:
    """Why a refresh was refused, in one of the known words."""
    error = document.get("error")
    code = error.get("code") if isinstance(error, dict) else error
    return code if isinstance(code, str) and code in PERMANENT else "refresh_token_invalidated"


def _renewed(document: dict[str, Any], new: Mapping[str, Any]) -> str:
    tokens = {**document["tokens"]}
    for name in ("access_token", "refresh_token", "id_token"):
        if isinstance(new.get(name), str):
            tokens[name] = new[name]
    moment = datetime.now(UTC).isoformat().replace("+00:00", "Z")
    return json.dumps({**document, "tokens": tokens, "last_refresh": moment}, indent=2)


def _write(path: Path, text: str) -> None:
    """Replace a file's text whole; it is its owner's alone."""
    path = path.resolve()
    fresh = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
            file.write(text)
        fresh.replace(path)
    finally:
        fresh.unlink(missing_ok=True)


def _lock(path: Path) -> int:
    """A lock that no other process holds; where none can be made there is nobody to share with."""
    try:
        lock = os.open(path.resolve().with_name(f".{path.name}.lock"), os.O_RDWR | os.O_CREAT, 0o600)
    except OSError:
        return os.open(os.devnull, os.O_RDONLY)
    fcntl.flock(lock, fcntl.LOCK_EX)
    return lock


def _document(body: bytes) -> Mapping[str, Any]:
    try:
        found = json.loads(body)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}
