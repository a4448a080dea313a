"""Filters of the monitoring page drawn at random: three of its kinds, some with values that nothing has."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from typing import Any

from bench.scenes.ledger_store import ACCOUNTS, AGENTS, KEYS, NAMES
from ledger.requests.filter import RequestFilter

TEXTS = ("nowhere to be found", "provider said", "gpt-5.5", "sk-0001", "abc12", "req_00ff")

_KINDS: Mapping[str, Callable[[random.Random], Any]] = {
    "provider": lambda dice: ("openai",),
    "api": lambda dice: ("responses",),
    "model": lambda dice: (dice.choice(NAMES),),
    "project": lambda dice: (f"project-{dice.randrange(40)}",),
    "account_id": lambda dice: (f"account-{dice.randrange(ACCOUNTS):03d}@example.com",),
    "api_key_id": lambda dice: (f"sk-{(number := dice.randrange(KEYS)):04d}...{number:04x}",),
    "status": lambda dice: (dice.choice(["error", "success", "cancelled"]),),
    "http_status": lambda dice: (dice.choice([200, 401, 429, 502]),),
    "error_class": lambda dice: (dice.choice(["rate_limit", "upstream", "auth"]),),
    "error_code": lambda dice: (dice.choice(["rate_limit_exceeded", "server_error"]),),
    "service_tier": lambda dice: (dice.choice(["flex", "default"]),),
    "reasoning_effort": lambda dice: (dice.choice(["low", "medium", "high"]),),
    "streamed": lambda dice: (dice.choice([True, False]),),
    "unusual_status": lambda dice: True,
    "cache": lambda dice: (dice.choice(["hit", "miss", "unknown"]),),
    "min_latency_ms": lambda dice: dice.choice([1_000.0, 20_000.0, 60_000.0]),
    "max_first_token_ms": lambda dice: dice.choice([50.0, 500.0, 5_000.0]),
    "user_agent": lambda dice: (dice.choice(AGENTS),),
    "session_id": lambda dice: (f"{dice.getrandbits(128):032x}",),
    "text": lambda dice: dice.choice(TEXTS),
}


def drawn(within: RequestFilter, number: int, seed: int = 7) -> Iterator[RequestFilter]:
    """So many filters of three kinds each over the same time."""
    dice = random.Random(seed)
    for _ in range(number):
        yield replace(within, **{name: _KINDS[name](dice) for name in dice.sample(sorted(_KINDS), 3)})
