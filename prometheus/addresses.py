"""Where dashboards and runbooks are: the uid in an address is what alerts, links and bookmarks keep."""

from __future__ import annotations

from prometheus.config import RuleConfig

OVERVIEW = "quotascope-overview"
ACCOUNTS = "quotascope-accounts"
ROUTING = "quotascope-routing"
API_KEYS = "feejooeqieio0c"
TOKENS = "quotascope-tokens"
ACTIVITY = "quotascope-activity"
PIPELINE = "quotascope-pipeline"

FOLDER = "quotascope"
FOLDER_TITLE = "Quotascope"
"""The folder that holds them all: its own uid, and what people call it."""


def dashboard(config: RuleConfig, uid: str, choice: str = "") -> str:
    """The address of a dashboard.

    Args:
        choice: values of its variables, like `var-account=acc-1`; may hold a Prometheus template.
    """
    address = f"{config.dashboard_base_url.rstrip('/')}/{uid}"
    return f"{address}?{choice}" if choice else address


def runbook(config: RuleConfig, page: str) -> str:
    return f"{config.runbooks}/{page}"
