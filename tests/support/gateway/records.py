"""Usage records as a gateway publishes them: plausible, each with an id of its own. Seeded."""

from __future__ import annotations

import json
import random
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

CALLER_KEYS = ("ck-anna-7Yh2Kq9LmX4pT", "ck-bert-3Vn8Rw5JcZ1sG", "ck-cleo-6Bd0Qe2FtU9aH")
PROVIDER_KEYS = ("sk-proj-Zx81LkQpVn3TtRw0Ye5Us7Io", "sk-ant-api03-Mn4Bv6Cx8Za0Sd2Fg")
LOGINS = ("codex@example.org", "gemini@example.org")

_KINDS = (
    ("openai-compatible-openai", "OpenAICompatExecutor", "gpt-5.4", "POST /v1/chat/completions", "apikey", 0),
    ("codex", "CodexExecutor", "gpt-5.5", "POST /v1/responses", "oauth", 1),
    ("claude", "ClaudeExecutor", "claude-sonnet-4-5", "POST /v1/messages", "apikey", 2),
    (
        "gemini",
        "GeminiExecutor",
        "gemini-2.5-pro",
        "POST /v1beta/models/gemini-2.5-pro:generateContent",
        "oauth",
        3,
    ),
)
_SOURCES = (PROVIDER_KEYS[0], LOGINS[0], PROVIDER_KEYS[1], LOGINS[1])
_FAILURES = (
    (429, '{"error":{"message":"Rate limit reached for KEY","code":"rate_limit_exceeded"}}'),
    (500, 'Post "http://127.0.0.1:9/v1": dial tcp 127.0.0.1:9: connect: connection refused'),
    (200, "unexpected EOF"),
    (499, "context canceled"),
)


def record(number: int, ended_at: datetime, rng: random.Random, **changed: Any) -> dict[str, Any]:
    """One record.

    Args:
        number: told by its request id.
        changed: fields that have another value.
    """
    provider, executor, model, endpoint, auth_type, place = _KINDS[rng.randrange(len(_KINDS))]
    failed = rng.random() < 0.06
    latency = rng.randrange(40, 9_000)
    first = rng.randrange(10, latency + 1)
    read, rest, output = rng.randrange(0, 20_000), rng.randrange(1, 20_000), rng.randrange(1, 4_000)
    reasoning = rng.randrange(0, output)
    if failed:
        read = rest = output = reasoning = 0
    status, body = _FAILURES[rng.randrange(len(_FAILURES))] if failed else (200, "")
    source = _SOURCES[place]
    began = ended_at - timedelta(milliseconds=latency)
    found = {
        "timestamp": f"{began.astimezone(UTC):%Y-%m-%dT%H:%M:%S.%f}{rng.randrange(1000):03d}Z",
        "latency_ms": latency,
        "ttft_ms": first,
        "source": source,
        "auth_index": f"a93eb3a823e7196{place}",
        "client_ip": "127.0.0.1",
        "x_forwarded_for": "",
        "user_agent": "codex_cli_rs/0.169.0",
        "tokens": {
            "input_tokens": rest if provider == "claude" else rest + read,
            "output_tokens": output - reasoning if provider == "gemini" else output,
            "reasoning_tokens": reasoning,
            "cached_tokens": read,
            "cache_read_tokens": read,
            "cache_read_tokens_present": True,
            "cache_creation_tokens": 0,
            "total_tokens": rest + read + output,
        },
        "failed": failed,
        "generate": True,
        "fail": {"status_code": status, "body": body.replace("KEY", source)},
        "response_headers": {
            "Content-Type": ["text/event-stream; charset=utf-8"],
            "Date": [f"{ended_at:%a, %d %b %Y %H:%M:%S GMT}"],
            "X-Request-Id": [f"req_{rng.getrandbits(96):024x}"],
        },
        "accounting_version": 2,
        "token_breakdown": _breakdown(rest, read, output, reasoning),
        "provider": provider,
        "executor_type": executor,
        "model": model,
        "alias": model,
        "endpoint": endpoint,
        "auth_type": auth_type,
        "api_key": CALLER_KEYS[rng.randrange(len(CALLER_KEYS))],
        "request_id": f"r{number:08d}",
        "reasoning_effort": "high" if place == 1 else "",
        "service_tier": "priority" if rng.random() < 0.1 else "auto",
        "response_service_tier": "default",
    }
    return {**found, **changed}


def encoded(record: Mapping[str, Any]) -> bytes:
    """As Go writes it: compact, with < > & spelled out."""
    text = json.dumps(record, separators=(",", ":"), ensure_ascii=False)
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026").encode()


def trouble(auth_index: str, at: datetime, **changed: Any) -> dict[str, Any]:
    """One item of the errors channel: a spent quota that recovers in an hour."""
    recovers = f"{at + timedelta(hours=1):%Y-%m-%dT%H:%M:%SZ}"
    found = {
        "timestamp": f"{at:%Y-%m-%dT%H:%M:%S.%fZ}",
        "provider": "codex",
        "model": "gpt-5.5",
        "auth_id": "codex.json",
        "auth_index": auth_index,
        "status_code": 429,
        "body": '{"error":{"message":"You have hit your usage limit","type":"usage_limit_reached"}}',
        "code": "",
        "auth_status": {
            "status": "error",
            "status_message": "quota exhausted",
            "disabled": False,
            "unavailable": True,
            "next_retry_after": recovers,
            "quota": {"exceeded": True, "reason": "quota", "next_recover_at": recovers},
        },
    }
    return {**found, **changed}


def _breakdown(rest: int, read: int, output: int, reasoning: int) -> dict[str, Any]:
    return {
        "schema_version": 2,
        "quality": "complete",
        "total_tokens": rest + read + output,
        "input": {
            "total_tokens": rest + read,
            "uncached_tokens": rest,
            "cache_read_tokens": read,
            "cache_write_tokens": 0,
        },
        "output": {
            "total_tokens": output,
            "non_reasoning_tokens": output - reasoning,
            "reasoning_tokens": reasoning,
        },
        "unclassified_tokens": 0,
    }
