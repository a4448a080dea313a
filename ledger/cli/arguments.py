"""The command line of `python -m ledger`."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from ledger.accounts.configured import PLANS
from ledger.cli import failure
from ledger.cli.price import add_price
from ledger.cli.upkeep import add_upkeep

DESCRIPTION = "Manage the ledger: accounts, prices, backups, exports and maintenance."

EPILOG = """\
examples:
  python -m ledger accounts add anna --plan plus --credential codex:~/.codex/auth.json
  python -m ledger accounts add spare --credential file:/run/secrets/spare --pool pinned
  python -m ledger accounts pause anna        proxies stop using it within 2 s
  python -m ledger accounts reauth anna       after renewing its credential
  python -m ledger accounts history anna      changes to it, and who made them
  python -m ledger price --model gpt-5.6-sol --input 18014 --cache-write 18011 --output 500
  python -m ledger prices unpriced            models in use that have no price
  python -m ledger failure 4711               the provider's response, if storage.failure_bodies is on
  python -m ledger backup                     a verified copy; safe while proxies are writing
  python -m ledger check --repair             rebuild aggregates that do not match the requests
  python -m ledger export may.csv --since 2026-05-01 --until 2026-06-01 --status error

A credential is a reference, never the secret itself: env:NAME is an environment variable of the proxy, set
before it starts; file:PATH is a file that contains only the key; codex:PATH is the auth.json written by
`codex login`. Relative paths are made absolute when the account is added.

exit codes: 0 success; 1 not possible in the current state (no such account, ...); 2 bad input, or no ledger
"""

ACTIONS = {
    "pause": "stop sending it requests",
    "resume": "use it again at once, and forget its recorded limits and cooldowns",
    "reauth": "read its renewed credential and use the account again",
    "remove": "remove it; its past requests stay in the ledger",
}
"""Actions on an existing account."""

PRICE_ACTIONS = {
    "list": "list the prices in force",
    "unpriced": "list models in use without a price, with the TOML to add",
    "diff": "show what the installed price library would change",
    "update": "adopt the prices of the installed library; running proxies follow",
    "apply": "apply prices from files and configuration; running proxies and exporters follow",
}

MAX_ENTRIES = 50
LARGEST = 1_000_000


def parser(kind: type[argparse.ArgumentParser] = argparse.ArgumentParser) -> argparse.ArgumentParser:
    """The command line.

    Args:
        kind: of parser; the program's complains in one line, which this room need not know of.
    """
    top = _with_examples(kind(prog="python -m ledger"))
    subjects = top.add_subparsers(dest="subject", required=True, metavar="COMMAND")
    subject = _with_examples(
        subjects.add_parser("accounts", help="manage the accounts that the proxy routes requests to")
    )
    commands = subject.add_subparsers(dest="command", required=True, metavar="ACTION")
    _add(commands.add_parser("add", help="add an account"))
    _config(commands.add_parser("list", help="list all accounts with their status and limits"))
    _history(commands.add_parser("history", help="show changes to accounts, newest first"))
    for name, help_text in ACTIONS.items():
        sub = commands.add_parser(name, help=help_text, description=help_text)
        sub.add_argument("id", help="account id, as shown by `list`")
        _config(sub)
    _pricing(subjects)
    add_upkeep(subjects, _config)
    failed = subjects.add_parser("failure", help=failure.HELP, description=failure.HELP)
    failure.add_failure(failed)
    _config(failed)
    return top


def _pricing(subjects: Any) -> None:
    help_text = "explain what a request costs"
    price = subjects.add_parser("price", help=help_text, description=help_text)
    add_price(price)
    _config(price)
    help_text = "list, check and update prices"
    prices = subjects.add_parser("prices", help=help_text, description=help_text)
    commands = prices.add_subparsers(dest="command", required=True, metavar="ACTION")
    for name, help_text in PRICE_ACTIONS.items():
        sub = commands.add_parser(name, help=help_text, description=help_text)
        _config(sub)
        if name == "list":
            sub.add_argument("model", nargs="?", help="only models whose name contains this text")
            sub.add_argument("--provider", help="only this provider")


def _with_examples(parser: argparse.ArgumentParser) -> argparse.ArgumentParser:
    parser.description, parser.epilog = DESCRIPTION, EPILOG
    return parser


def _add(sub: argparse.ArgumentParser) -> None:
    sub.add_argument("id", help="a name of your choice, used in the ledger and in metrics")
    sub.add_argument(
        "--credential", required=True, metavar="REFERENCE", help="env:NAME, file:PATH or codex:PATH"
    )
    sub.add_argument("--email", default="", help="e-mail address of its owner, for dashboards")
    sub.add_argument("--plan", default="api", metavar="PLAN", help=f"{', '.join(PLANS)} (default: api)")
    sub.add_argument(
        "--upstream", metavar="URL", help="base URL of its provider (default: the proxy's upstream)"
    )
    sub.add_argument(
        "--pool",
        default="full",
        metavar="POOL",
        help="full or pinned; pinned accounts are used first (default: full)",
    )
    _config(sub)


def _history(sub: argparse.ArgumentParser) -> None:
    sub.add_argument("id", nargs="?", help="only this account, even if it was removed")
    sub.add_argument(
        "--most",
        type=_number,
        default=MAX_ENTRIES,
        metavar="N",
        help=f"number of entries (default: {MAX_ENTRIES})",
    )
    _config(sub)


def _number(text: str) -> int:
    if not (text.isascii() and text.isdecimal() and 1 <= int(text) <= LARGEST):
        raise argparse.ArgumentTypeError(f"{text!r}: allowed: 1 to {LARGEST}")
    return int(text)


def _config(sub: argparse.ArgumentParser) -> None:
    sub.add_argument(
        "--config",
        type=Path,
        metavar="FILE",
        help="configuration file (default: codex-usage.toml, if it exists)",
    )
