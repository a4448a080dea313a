"""Colours by meaning: the same thing has the same colour on every dashboard.

A name between slashes is a regular expression over names of series; the last entry that fits decides.
"""

from __future__ import annotations

from collections.abc import Mapping

Colors = Mapping[str, str]

STATUS: Colors = {"success": "green", "error": "red", "cancelled": "yellow"}

HTTP: Colors = {"/^2/": "green", "/^3/": "blue", "/^4/": "orange", "429": "yellow", "/^5/": "red"}
"""By status code; 429 stands apart from what the caller did wrong."""

ERRORS: Colors = {
    "/upstream|server_error/": "purple",
    "/timeout/": "light-purple",
    "/unreachable/": "dark-purple",
    "/invalid|context/": "blue",
    "/context/": "light-blue",
    "/api_key|auth/": "red",
    "/rate_limit/": "orange",
    "/quota|usage_limit/": "yellow",
    "rate_limit": "orange",
    "quota": "yellow",
    "auth": "red",
    "invalid_request": "blue",
    "upstream": "purple",
    "internal": "dark-red",
    "unknown": "#7b7b7b",
}
"""By class of error, or by the provider's code."""

OUTCOMES: Colors = {
    "/: selected$/": "green",
    "/: (rate_limited|cooldown)$/": "orange",
    "/: quota_exceeded$/": "yellow",
    "/: (auth|no_available|unknown)$/": "red",
    "/: paused/": "blue",
}
"""By what came of an attempt to choose an account."""

MARKS: Colors = {
    "rate_limit": "orange",
    "quota_exceeded": "yellow",
    "permanent_failure": "red",
    "error": "purple",
}

TOKENS: Colors = {
    "/input$/": "blue",
    "cached input": "light-blue",
    "cache write": "purple",
    "/^output$/": "orange",
    "reasoning": "yellow",
}

MODELS: Colors = {
    "gpt-6.1-sol": "#5794F2",
    "gpt-6-sol": "#3274D9",
    "gpt-6-astra": "#1F60C4",
    "gpt-6-luna": "#8AB8FF",
    "gpt-5.5": "#FF9830",
    "gpt-5.5-pro": "#E0752D",
    "gpt-5.4": "#73BF69",
    "gpt-5.4-mini": "#B877D9",
    "gpt-5.4-nano": "#DEB6F2",
    "gpt-5.3-codex": "#37872D",
    "gpt-5": "#56A64B",
    "gpt-4o": "#FADE2A",
    "gpt-4o-mini": "#F2CC0C",
    "text-embedding-3-small": "#3AB0A2",
    "text-embedding-3-large": "#1F7A70",
    "other": "#7b7b7b",
    "unknown": "#7b7b7b",
}
"""Models that are met most; the colour of others is Grafana's choice, by their place in a panel."""
