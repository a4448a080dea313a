"""Accounts by the name that people know."""

from __future__ import annotations

from metrics import exporter, proxy
from prometheus.promql import select

IDENTITY = f"topk by (account_id) (1, {select(exporter.IDENTITY)})"
"""One identity for each account: two exporters, or a name that changes, must not stop a query."""


def named(expr: str, *keys: str) -> str:
    """The answers of an expression by account, with the label `display`.

    Args:
        expr: has `account_id`, and no `display` yet.
        keys: its other labels; without any there is one answer for each account.
    Returns: the same values; an account without an identity is called by its id.
    """
    on = ", ".join(("account_id", *keys))
    joined = f"({expr}) * on (account_id) group_left (display) {IDENTITY}"
    return f'{joined} or on ({on}) label_replace({expr}, "display", "$1", "account_id", "(.*)")'


def accounts() -> tuple[str, str]:
    """The query of a Grafana variable that lists accounts, and the pattern that takes name and id from it."""
    known = f"group by (account_id, display) ({select(exporter.IDENTITY)})"
    used = f"group by (account_id) ({select(proxy.ACCOUNT_REQUESTS)})"
    unnamed = f'label_replace({used}, "display", "$1", "account_id", "(.*)")'
    pattern = r'/account_id="(?<value>[^"]+)",display="(?<text>[^"]+)"/'
    return f"query_result({known} or on (account_id) {unnamed})", pattern
