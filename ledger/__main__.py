"""`python -m ledger`: the accounts that requests are routed to."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path

from sqlalchemy import Connection, Engine

from ledger import accounts
from ledger.described import PLANS, Description
from ledger.errors import AccountConflict, LedgerError
from ledger.fleet import read_fleet
from ledger.listing import table
from ledger.store import ledger_url, migrate, translated, writer
from settings.errors import SettingsError
from settings.load import load
from settings.model import Settings

EPILOG = """\
examples:
  python -m ledger accounts add anna --plan plus --credential codex:~/.codex/auth.json
  python -m ledger accounts add spare --credential env:SPARE_KEY --pool pinned
  python -m ledger accounts pause anna        the proxies stop using it within 2 s
  python -m ledger accounts reauth anna       after its credential was renewed

A credential is a reference, never the secret: env:NAME is read by the proxy from its environment,
file:PATH from a file that holds the key alone, codex:PATH from the auth.json that `codex login` writes.

exit codes: 0 done, 1 what is asked does not fit the account as it is, 2 bad input
"""

CHANGES: Mapping[str, Callable[[Connection, str, datetime], None]] = {
    "pause": accounts.pause,
    "resume": accounts.resume,
    "reauth": accounts.reauth,
    "remove": accounts.remove,
}

DONE = {
    "add": "added",
    "pause": "paused",
    "resume": "resumed",
    "reauth": "its credential is read anew",
    "remove": "removed",
}


def main(arguments: Sequence[str] | None = None, environ: Mapping[str, str] = os.environ) -> int:
    """Run one command; returns the exit code."""
    asked = parser().parse_args(arguments)
    try:
        engine = opened(load(asked.config, environ))
        try:
            with translated(engine.url, "cannot change"), engine.begin() as connection:
                return _run(connection, asked)
        finally:
            engine.dispose()
    except (SettingsError, LedgerError) as error:
        print(f"ledger: {error}", file=sys.stderr)
        return 1 if isinstance(error, AccountConflict) else 2


def parser() -> argparse.ArgumentParser:
    """The command line."""
    top = argparse.ArgumentParser(
        prog="python -m ledger",
        description="Add, list and change the accounts that the proxy routes requests to.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    subjects = top.add_subparsers(dest="subject", required=True, metavar="COMMAND")
    subject = subjects.add_parser(
        "accounts",
        help="the accounts that the proxy routes requests to",
        description="Add, list and change the accounts that the proxy routes requests to.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = subject.add_subparsers(dest="command", required=True, metavar="ACTION")
    _add(commands.add_parser("add", help="add an account"))
    _config(commands.add_parser("list", help="show all accounts with their status"))
    for name, help_text in (
        ("pause", "send it no more requests"),
        ("resume", "use it again, whatever was noticed of its limits"),
        ("reauth", "its credential was renewed: read it anew and try the account again"),
        ("remove", "take it out of use; its requests stay in the books"),
    ):
        sub = commands.add_parser(name, help=help_text, description=help_text)
        sub.add_argument("id", help="the account, as `list` shows it")
        _config(sub)
    return top


def _add(sub: argparse.ArgumentParser) -> None:
    sub.add_argument("id", help="a name of your choice; it stands in the books and the metrics")
    sub.add_argument(
        "--credential", required=True, metavar="REFERENCE", help="env:NAME, file:PATH or codex:PATH"
    )
    sub.add_argument("--email", default="", help="whose account it is, for dashboards")
    sub.add_argument("--plan", default="api", metavar="PLAN", help=f"{', '.join(PLANS)} (default: api)")
    sub.add_argument("--upstream", metavar="URL", help="its provider (default: the proxy's upstream)")
    sub.add_argument(
        "--pool", default="full", metavar="POOL", help="pinned is used before full (default: full)"
    )
    _config(sub)


def _config(sub: argparse.ArgumentParser) -> None:
    sub.add_argument(
        "--config", type=Path, metavar="FILE", help="TOML file; without it codex-usage.toml, if there is one"
    )


def opened(settings: Settings) -> Engine:
    """The ledger of the configuration, migrated. Raises: StoreError."""
    storage = settings.storage
    engine = writer(ledger_url(storage.database_url, storage.database_path))
    migrate(engine)
    return engine


def _run(connection: Connection, asked: argparse.Namespace) -> int:
    now = datetime.now(UTC)
    if asked.command == "list":
        print(table(read_fleet(connection).members, now))
        return 0
    if asked.command == "add":
        described = Description(
            id=asked.id,
            credential=asked.credential,
            email=asked.email,
            plan=asked.plan,
            upstream_base_url=asked.upstream,
            pool=asked.pool,
        )
        accounts.add(connection, described, now)
    else:
        CHANGES[asked.command](connection, asked.id, now)
    print(f"{asked.id}: {DONE[asked.command]}; running proxies follow within 2 s")
    return 0


if __name__ == "__main__":
    sys.exit(main())
