"""Reading the credentials that accounts refer to. A secret lives in memory alone: it is never logged, never
part of an error's text, never in a `repr`."""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from ledger.accounts.configured import Reference
from proxy.errors import CredentialError

MAX_BYTES = 1024 * 1024

Kind = Literal["key", "login"]
"""A provider's API key, or a ChatGPT login."""


@dataclass(frozen=True, slots=True)
class Credential:
    """What goes upstream for an account.

    Attributes:
        token: the key or access token.
        refresh_token: by which a new token is had; None where there is no such thing.
        chatgpt_account: the header `chatgpt-account-id` of a Codex login.
        kind: what it is, and so where it is good for anything.
        lines: the header lines that present it.
    """

    token: str = field(repr=False)
    refresh_token: str | None = field(default=None, repr=False)
    chatgpt_account: str | None = field(default=None, repr=False)
    kind: Kind = "key"
    lines: tuple[bytes, ...] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        lines = tuple(f"{name}: {value}".encode() for name, value in self.headers)
        object.__setattr__(self, "lines", lines)

    @property
    def can_refresh(self) -> bool:
        """Whether it is a login, whose token can be refreshed."""
        return self.refresh_token is not None

    @property
    def secrets(self) -> tuple[str | None, ...]:
        """What of it nothing that is stored may hold."""
        return self.token, self.refresh_token, self.chatgpt_account

    @property
    def headers(self) -> tuple[tuple[str, str], ...]:
        """The headers that present it."""
        bearer = ("Authorization", f"Bearer {self.token}")
        return (bearer, ("chatgpt-account-id", self.chatgpt_account)) if self.chatgpt_account else (bearer,)


def read_credential(account_id: str, reference: Reference, environ: Mapping[str, str]) -> Credential:
    """The credential behind a reference.

    Raises: CredentialError naming the account and what is missing.
    """
    if reference.kind == "env":
        value = environ.get(reference.place, "").strip()
        if not value:
            raise CredentialError(account_id, f"the environment variable {reference.place} is not set")
        return _plain(account_id, str(reference), value)
    path = path_of(account_id, reference)
    text = read_text(account_id, path)
    if reference.kind == "file":
        return _plain(account_id, str(reference), text.strip())
    return from_auth(account_id, path, text)


def path_of(account_id: str, reference: Reference) -> Path:
    """The file that a reference names; `~` is the home of who runs this. Raises: CredentialError."""
    try:
        return Path(reference.place).expanduser()
    except RuntimeError:
        raise CredentialError(account_id, f"{reference}: there is no such home directory") from None


def read_text(account_id: str, path: Path) -> str:
    """A credential's file. Raises: CredentialError."""
    try:
        return _read(path).decode()
    except OSError as error:
        raise CredentialError(account_id, f"cannot read {path}: {error.strerror}") from error
    except UnicodeDecodeError:
        raise CredentialError(account_id, f"{path} is not text") from None  # the cause holds its bytes
    except ValueError as error:
        raise CredentialError(account_id, f"{str(path)!r} cannot be the name of a file") from error


def _read(path: Path) -> bytes:
    """The beginning of a regular file: whoever opens or reads anything else may wait for ever."""
    with open(path, "rb", opener=lambda name, flags: os.open(name, flags | os.O_NONBLOCK)) as file:
        if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
            raise OSError(0, "it is not a regular file")
        return file.read(MAX_BYTES)


def from_auth(account_id: str, path: Path, text: str) -> Credential:
    """The credential of a Codex `auth.json`: a ChatGPT login, else an API key. Raises: CredentialError."""
    document = parse_auth(account_id, path, text)
    tokens = document.get("tokens")
    if isinstance(tokens, dict) and _text(tokens.get("access_token")):
        account = _text(tokens.get("account_id"))
        login = _plain(account_id, str(path), tokens["access_token"])
        if account is not None:
            _plain(account_id, str(path), account)
        return Credential(login.token, _text(tokens.get("refresh_token")), account, kind="login")
    key = _text(document.get("OPENAI_API_KEY"))
    if key is None:
        raise CredentialError(account_id, f"{path} holds neither a login nor a key; run `codex login`")
    return _plain(account_id, str(path), key)


def parse_auth(account_id: str, path: Path, text: str) -> dict[str, Any]:
    """The document of an `auth.json`. Raises: CredentialError, without any of its text."""
    try:
        document = json.loads(text)
    except (ValueError, RecursionError):
        document = None
    if not isinstance(document, dict):
        raise CredentialError(account_id, f"{path} is not the auth.json of a Codex login")
    return document


def _plain(account_id: str, place: str, value: str) -> Credential:
    if not value or not value.isascii() or not value.isprintable() or " " in value:
        raise CredentialError(account_id, f"{place} does not hold a key: one word on one line is expected")
    return Credential(value)


def _text(value: object) -> str | None:
    return value if isinstance(value, str) and value else None
