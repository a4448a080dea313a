"""An invented ledger of many requests: 90 days, 200 accounts, 500 keys, 50 models.

As traffic is: keys use a few models, conversations stay with an account, some requests fail.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

from ledger.values import RequestEvent, Usage

DAYS = 90
ACCOUNTS, KEYS, MODELS = 200, 500, 50
END = datetime(2026, 11, 28, 9, 30, tzinfo=UTC)
BATCH = 2_000
NAMES = [
    *("gpt-5.6-sol", "gpt-5.5", "gpt-5.4", "gpt-5.6-luna", "gpt-5.6-terra", "gpt-5", "gpt-5.1", "gpt-5.2"),
    *(f"model-{number}" for number in range(MODELS - 8)),
]
AGENTS = [f"codex_cli_rs/0.{n}.0 (Debian 12.0.0; x86_64) vte/0.70" for n in range(30)]
ERRORS = [
    (429, "rate_limit_exceeded", "rate_limit"),
    (502, "server_error", "upstream"),
    (401, "invalid", "auth"),
]


def events(number: int, seed: int = 1) -> Iterator[RequestEvent]:
    """So many requests in the order of time."""
    dice = random.Random(seed)
    keys = [_Key(dice, n) for n in range(KEYS)]
    weights = [1 / (rank + 3) for rank in range(KEYS)]
    step = timedelta(days=DAYS) / number
    at = END - timedelta(days=DAYS)
    chosen: list[_Key] = []
    for count in range(number):
        if not chosen:
            chosen = dice.choices(keys, weights, k=10_000)
        at += step
        yield chosen.pop().event(dice, count, at)


class _Key:
    """One caller: its key, its models, and the conversation that it is in."""

    def __init__(self, dice: random.Random, number: int) -> None:
        self.id = f"sk-{number:04d}...{number:04x}"
        favourites = dice.choices(range(MODELS), [1 / (rank + 1) for rank in range(MODELS)], k=4)
        self.models = [NAMES[place] for place in favourites]
        self.agent = dice.choice(AGENTS)
        self.project = f"project-{number % 40}"
        self.accounts = [f"account-{dice.randrange(ACCOUNTS):03d}@example.com" for _ in range(4)]
        self._talk(dice)

    def _talk(self, dice: random.Random) -> None:
        self.session = f"{dice.getrandbits(128):032x}"
        self.left = dice.randrange(5, 60)
        self.model, self.account = dice.choice(self.models), dice.choice(self.accounts)
        self.effort = dice.choice(["low", "medium", "high"])

    def event(self, dice: random.Random, number: int, at: datetime) -> RequestEvent:
        self.left -= 1
        if not self.left:
            self._talk(dice)
        chance = dice.random()
        failed = dice.choice(ERRORS) if chance < 0.03 else None
        input_tokens = int(dice.lognormvariate(9, 1.2))
        usage = Usage(input_tokens, int(dice.expovariate(1 / 600)), int(input_tokens * dice.random()), 120)
        latency = dice.lognormvariate(8.3, 0.8)
        return RequestEvent(
            id=f"5eed{number:028x}",
            account_id=self.account,
            api_key_id=self.id,
            request_id=f"{dice.getrandbits(128):032x}",
            requested_at=at,
            method="POST",
            route="/v1/responses",
            api="responses",
            model=self.model,
            usage=Usage() if failed else usage,
            status="error" if failed else "cancelled" if chance > 0.985 else "success",
            http_status=failed[0] if failed else 200,
            end_reason="upstream_error" if failed else "client_gone" if chance > 0.985 else "done",
            latency_ms=latency,
            latency_first_token_ms=None if failed else latency * 0.2,
            reasoning_effort=self.effort,
            service_tier="flex" if chance > 0.95 else "default",
            error_code=failed[1] if failed else None,
            error_class=failed[2] if failed else None,
            error_message="The provider said that it could not." if failed else None,
            session_id=self.session,
            upstream_request_id=f"req_{dice.getrandbits(96):024x}",
            user_agent=self.agent,
            instance_id="proxy-1",
            provider="openai",
            requested_model=self.model,
            project=self.project,
            streamed=True,
        )


def batches(number: int) -> Iterator[list[RequestEvent]]:
    """The same, by batches as the proxy writes them."""
    batch: list[RequestEvent] = []
    for event in events(number):
        batch.append(event)
        if len(batch) == BATCH:
            yield batch
            batch = []
    if batch:
        yield batch
