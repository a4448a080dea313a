"""Where each dashboard is found: the uid in its address, which alerts, links and bookmarks keep."""

from __future__ import annotations

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
