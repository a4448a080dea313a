"""Where alerts lead: the uid of each dashboard, and the address of a runbook page."""

from __future__ import annotations

from prometheus.config import RuleConfig

OVERVIEW = "quotascope-overview"
ACCOUNTS = "quotascope-accounts"
ROUTING = "quotascope-routing"
API_KEYS = "feejooeqieio0c"
PIPELINE = "quotascope-pipeline"


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
