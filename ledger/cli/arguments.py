"""The command line of `python -m ledger`."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from ledger.accounts.configured import PLANS
from ledger.cli import failure
from ledger.cli.price import add_price
from ledger.cli.upkeep import add_upkeep

DESCRIPTION = "The ledger: accounts that the proxy routes requests to, what requests cost, its upkeep."

EPILOG = """\
examples:
  python -m ledger accounts add anna --plan plus --credential codex:~/.codex/auth.json
  python -m ledger accounts add spare --credential file:/run/secrets/spare --pool pinned
  python -m ledger accounts pause anna        the proxies stop using it within 2 s
  python -m ledger accounts reauth anna       after its credential was renewed
  python -m ledger accounts history anna      what was done to it, and by whom
  python -m ledger price --model gpt-5.6-sol --input 18014 --cache-write 18011 --output 500
  python -m ledger prices unpriced            models that were used and have no price
  python -m ledger failure 4711               what the provider answered, if storage.failure_bodies is on
  python -m ledger backup                     a checked copy beside the ledger, while proxies write
  python -m ledger check --repair             sums that differ from the requests are put right
  python -m ledger export may.csv --since 2026-05-01 --until 2026-06-01 --status error

A credential is a reference, never the secret: env:NAME is read by the proxy from its environment, so set it
before the proxy starts; file:PATH from a file that holds the key alone; codex:PATH from the auth.json that
`codex login` writes. A path is made absolute when the account is added.

exit codes: 0 done, 1 what is asked does not fit the accounts as they are, 2 bad input or no ledger to work on
"""

ACTIONS = {
    "pause": "send it no more requests",
    "resume": "use it again at once, whatever was noticed of its limits",
    "reauth": "its credential was renewed: read it again and try the account again",
    "remove": "take it out of use; its requests stay in the books",
}
"""What can be done to an account that is there."""

PRICE_ACTIONS = {
    "list": "show the prices that hold",
    "unpriced": "show models that were used and have no price, with the lines to paste",
    "diff": "show what the price library that is installed would change",
    "update": "take the prices of the library that is installed, for proxies that run too",
    "apply": "hand the prices of files and configuration to proxies and exporters that run",
}

MAX_ENTRIES = 50
LARGEST = 1_000_000


def parser() -> argparse.ArgumentParser:
    """The command line."""
    top = _with_examples(argparse.ArgumentParser(prog="python -m ledger"))
    subjects = top.add_subparsers(dest="subject", required=True, metavar="COMMAND")
    subject = _with_examples(
        subjects.add_parser("accounts", help="the accounts that the proxy routes requests to")
    )
    commands = subject.add_subparsers(dest="command", required=True, metavar="ACTION")
    _add(commands.add_parser("add", help="add an account"))
    _config(commands.add_parser("list", help="show all accounts, and what stands against each"))
    _history(commands.add_parser("history", help="show what was done to accounts, the latest first"))
    for name, help_text in ACTIONS.items():
        sub = commands.add_parser(name, help=help_text, description=help_text)
        sub.add_argument("id", help="the account, as `list` shows it")
        _config(sub)
    _pricing(subjects)
    add_upkeep(subjects, _config)
    failed = subjects.add_parser("failure", help=failure.HELP, description=failure.HELP)
    failure.add_failure(failed)
    _config(failed)
    return top


def _pricing(subjects: Any) -> None:
    help_text = "what a request costs, and why"
    price = subjects.add_parser("price", help=help_text, description=help_text)
    add_price(price)
    _config(price)
    help_text = "which prices hold, and which are missing"
    prices = subjects.add_parser("prices", help=help_text, description=help_text)
    commands = prices.add_subparsers(dest="command", required=True, metavar="ACTION")
    for name, help_text in PRICE_ACTIONS.items():
        sub = commands.add_parser(name, help=help_text, description=help_text)
        _config(sub)
        if name == "list":
            sub.add_argument("model", nargs="?", help="show names that hold this text")
            sub.add_argument("--provider", help="of this provider alone")


def _with_examples(parser: argparse.ArgumentParser) -> argparse.ArgumentParser:
    parser.description, parser.epilog = DESCRIPTION, EPILOG
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    return parser


def _add(sub: argparse.ArgumentParser) -> None:
    sub.add_argument("id", help="a name of your choice; it appears in the ledger and the metrics")
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


def _history(sub: argparse.ArgumentParser) -> None:
    sub.add_argument("id", nargs="?", help="one account alone, also one that was removed")
    sub.add_argument(
        "--most", type=_number, default=MAX_ENTRIES, metavar="N", help=f"lines (default: {MAX_ENTRIES})"
    )
    _config(sub)


def _number(text: str) -> int:
    if not (text.isascii() and text.isdecimal() and 1 <= int(text) <= LARGEST):
        raise argparse.ArgumentTypeError(f"{text!r}: allowed: 1 to {LARGEST}")
    return int(text)


def _config(sub: argparse.ArgumentParser) -> None:
    sub.add_argument(
        "--config", type=Path, metavar="FILE", help="TOML file; without it codex-usage.toml, if there is one"
    )
