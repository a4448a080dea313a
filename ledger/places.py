"""Where a credential's file is: a path is made absolute when its account comes into the ledger, so that it
names the same file to every process that reads it there."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from ledger.described import Description, checked, reference
from ledger.errors import AccountError


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
