"""How the first generated token of a stream looks. Pure."""

from __future__ import annotations

import re

_TOKEN = {
    "responses": re.compile(rb'"type"\s*:\s*"response\.[a-z_.]+\.delta"'),
    "messages": re.compile(rb'"type"\s*:\s*"content_block_delta"'),
    "completions": re.compile(rb'"(?:text|response)"\s*:\s*"[^"]'),
    "images": re.compile(rb'"type"\s*:\s*"image_[a-z]+\.(?:partial_image|completed)"'),
    "audio": re.compile(rb'"type"\s*:\s*"(?:transcript\.text|speech\.audio)\.delta"'),
}
_OTHER = re.compile(rb'"(?:content|reasoning|reasoning_content|refusal|arguments|name|text)"\s*:\s*"[^"]')
_CHAT = re.compile(rb'"(?:content|reasoning|reasoning_content|refusal|arguments|name)"\s*:\s*"[^"]')


def token_pattern(api: str) -> re.Pattern[bytes]:
    """What an event with a token has in it."""
    return _TOKEN.get(api, _CHAT if api == "chat_completions" else _OTHER)
