"""What may be shown of a secret and of a provider's error text. Pure."""

from __future__ import annotations

import re

MOST_MESSAGE = 300
"""Characters of an error message that are kept."""

MOST_LOOKED_AT = 4096

_QUOTE = re.compile(r"[`\"“”„«»‹›‘]|(?<!\w)['’]|['’](?!\w)")
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

    Quotes are where providers repeat a request's own words, and nobody knows where such a quote ends:
    the text is kept up to the first one. Key shapes, tokens and e-mail addresses go from the rest.
    Whatever is no text gives None.
    """
    if not isinstance(text, str) or not text:
        return None
    text = text[:MOST_LOOKED_AT]
    quote = _QUOTE.search(text)
    if quote:
        text = text[: quote.start()] + "[...]"
    text = _SECRET.sub("[...]", text)
    return " ".join(text.split())[:MOST_MESSAGE]
