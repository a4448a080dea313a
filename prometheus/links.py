"""Where alerts lead: to a dashboard, and to a runbook page."""

from __future__ import annotations

from prometheus.addresses import ACCOUNTS as ACCOUNTS
from prometheus.addresses import API_KEYS as API_KEYS
from prometheus.addresses import OVERVIEW as OVERVIEW
from prometheus.addresses import PIPELINE as PIPELINE
from prometheus.addresses import ROUTING as ROUTING
from prometheus.config import RuleConfig


def dashboard(config: RuleConfig, uid: str, choice: str = "") -> str:
    """The address of a dashboard.

    Args:
        choice: values of its variables, like `var-account=acc-1`; may hold a Prometheus template.
    """
    address = f"{config.dashboard_base_url.rstrip('/')}/{uid}"
    return f"{address}?{choice}" if choice else address


def runbook(config: RuleConfig, page: str) -> str:
    """The address of a runbook page."""
    return f"{config.runbook_base_url.rstrip('/')}/{page}"
