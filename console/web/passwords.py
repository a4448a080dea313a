"""Passwords, and keys of callers: what they let one do."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Mapping

from argon2 import PasswordHasher
from argon2.exceptions import Argon2Error, InvalidHashError

from console.web.sessions import Role, Visitor
from settings.model import ProxyKey, Settings

MAX_PASSWORD = 1_000
MIN_PASSWORD = 8


def hashed(password: str) -> str:
    """What the configuration keeps of a password. Raises: ValueError saying what is allowed."""
    if not MIN_PASSWORD <= len(password) <= MAX_PASSWORD:
        raise ValueError(f"a password has {MIN_PASSWORD} to {MAX_PASSWORD} characters")
    return PasswordHasher().hash(password)


def visitor_of_password(settings: Settings, password: str) -> Visitor | None:
    """Who logs in with a password; it takes some 50 ms of a core on purpose, right or wrong."""
    console = settings.console
    roles: tuple[tuple[Role, object], ...] = (
        ("operate", console.operate_password_hash),
        ("view", console.view_password_hash),
    )
    found: Role | None = None
    for role, secret in roles:
        kept = getattr(secret, "get_secret_value", lambda: None)()
        if kept and len(password) <= MAX_PASSWORD and _fits(kept, password):
            found = found or role
    return Visitor("operator" if found == "operate" else "viewer", found) if found else None


def holder_of_key(keys: Mapping[str, ProxyKey], presented: str) -> Visitor | None:
    """The proxy key that somebody presents, by its digest alone."""
    digest = hashlib.sha256(presented.encode(errors="surrogateescape")).hexdigest()
    names = [name for name, key in keys.items() if hmac.compare_digest(key.sha256, digest)]
    return Visitor(names[0], "key") if presented and names else None


def _fits(kept: str, password: str) -> bool:
    try:
        return PasswordHasher().verify(kept, password)
    except (Argon2Error, InvalidHashError):
        return False
