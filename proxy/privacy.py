"""What may be shown of a secret and of a provider's error text. Pure."""

from __future__ import annotations

import re

MOST_MESSAGE = 300
"""Characters of an error message that are kept."""

_QUOTED = re.compile(r"`[^`]*`|\"[^\"]*\"|(?<!\w)'[^']*'(?!\w)|“[^”]*”")
_SECRET = re.compile(
    r"(?i)\bbearer\s+\S+"
    r"|\b(?:sk|sess|rk|pk|ghp|gho|hf|xox[abp])[-_][\w*.\-]{4,}"
    r"|\bAIza[\w\-]{10,}"
    r"|\beyJ[\w\-]+\.[\w\-]+(?:\.[\w\-]+)?"
    r"|\b[\w.+-]+@[\w-]+\.[\w.-]+\b"
    r"|\b[0-9a-fA-F]{32,}\b"
)


def mask_key(key: str | None) -> str:
    """A caller's key as a label: first and last four characters, or a word for what it is."""
    if not key:
        return "unknown"
    return f"{key[:4]}...{key[-4:]}" if len(key) > 8 else "short_key"


def safe_message(text: object) -> str | None:
    """A provider's error text without what callers may have put into it.

    Quoted parts are where providers repeat a request's own words, so they go; so do key shapes, tokens
    and e-mail addresses. Whatever is no text gives None.
    """
    if not isinstance(text, str) or not text:
        return None
    text = _QUOTED.sub("[...]", text[:4096])
    text = _SECRET.sub("[...]", text)
    return " ".join(text.split())[:MOST_MESSAGE]
