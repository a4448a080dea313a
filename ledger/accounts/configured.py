"""How an account is described, and what is wrong with a description. Pure.

No secret is ever part of one: a credential is a reference to where it is kept.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal, Protocol, get_args

from ledger.errors import AccountError
from ledger.values import DEFAULT_ACCOUNT


def placed(account: Description) -> Description:
    """The description, checked, with the path of its credential made absolute: a relative one is taken from
    the working directory, and `~` is the home of who runs this.

    Raises: AccountError.
    """
    known = reference(checked(account).id, account.credential)
    if known.kind == "env":
        return account
    try:
        path = Path(known.place).expanduser().absolute()
    except RuntimeError as error:
        home = known.place.partition("/")[0]
        raise AccountError(account.id, f"credential: the home of {home} is not known here") from error
    return checked(replace(account, credential=f"{known.kind}:{path}"))


Pool = Literal["pinned", "full"]
"""A pinned account is used first, the others when no pinned one can be."""

PLANS = ("free", "plus", "pro", "prolite", "team", "business", "enterprise", "edu", "api")
"""The plans that are known; `api` is a key that is billed by use and has no quota windows."""

Kind = Literal["env", "file", "codex"]

MAX_EMAIL = 320
MAX_REFERENCE = 1_000
"""Characters that the ledger keeps."""

_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@+-]{0,99}")
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_FORMS = "env:NAME (an environment variable), file:PATH, or codex:PATH (a Codex auth.json)"


@dataclass(frozen=True, slots=True)
class Reference:
    """Where a credential is kept: an environment variable, a file, or a Codex `auth.json`."""

    kind: Kind
    place: str

    def __str__(self) -> str:
        return f"{self.kind}:{self.place}"


@dataclass(frozen=True, slots=True)
class Description:
    """What an operator says of an account.

    Attributes:
        plan: one of `PLANS`.
        credential: a reference, like `env:ANNA_KEY`.
        email: printable text, or nothing.
        upstream_base_url: None takes the proxy's own upstream. Whether it is a URL that can be sent to is
            checked where it comes from: by `settings.urls`, for the file and the command line alike.
    """

    id: str
    credential: str
    email: str = ""
    plan: str = "api"
    upstream_base_url: str | None = None
    pool: Pool = "full"


class Table(Protocol):
    @property
    def credential(self) -> str: ...
    @property
    def email(self) -> str: ...
    @property
    def plan(self) -> str: ...
    @property
    def upstream_base_url(self) -> str | None: ...
    @property
    def pool(self) -> Pool: ...


def described(name: str, table: Table) -> Description:
    """What the configuration says of an account, unchecked."""
    return Description(
        id=name,
        credential=table.credential,
        email=table.email,
        plan=table.plan,
        upstream_base_url=table.upstream_base_url,
        pool=table.pool,
    )


def checked(account: Description) -> Description:
    """The description, if an account can be made of it.

    Raises: AccountError. A credential that is no reference may be the secret itself: it is not shown.
    """
    name = account.id
    if not _ID.fullmatch(name):
        raise AccountError(name, "an id is made of letters, digits and . _ @ + -, at most 100 of them")
    if name == DEFAULT_ACCOUNT:
        raise AccountError(name, "this id is reserved for requests without an account; choose another")
    if account.plan not in PLANS:
        raise AccountError(name, f"unknown plan {account.plan!r}; allowed: {', '.join(PLANS)}")
    if account.pool not in get_args(Pool):
        raise AccountError(name, f"unknown pool {account.pool!r}; allowed: {', '.join(get_args(Pool))}")
    if not account.email.isprintable() or len(account.email) > MAX_EMAIL:
        raise AccountError(name, f"email: allowed: printable text, at most {MAX_EMAIL} characters")
    reference(name, account.credential)
    if len(account.credential) > MAX_REFERENCE:
        raise AccountError(name, f"credential: allowed: at most {MAX_REFERENCE} characters")
    return account


def reference(account_id: str, text: str) -> Reference:
    """A credential's reference, taken apart.

    Raises: AccountError; the text is not shown, it may be a secret that was put in the wrong place.
    """
    kind, _, place = text.partition(":")
    if kind == "env" and _VARIABLE.fullmatch(place):
        return Reference("env", place)
    if kind in ("file", "codex") and place.strip() and place.isprintable():
        return Reference("file" if kind == "file" else "codex", place)
    raise AccountError(account_id, f"credential is not a reference; allowed: {_FORMS}")
