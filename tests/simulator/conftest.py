"""What the simulator's tests share: clients of a scripted upstream, prices, and one invented history."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from datetime import UTC, date, datetime
from typing import Any

import aiohttp
import pytest
from msgspec.structs import replace
from openai import AsyncOpenAI

from ledger.pricing.files import book as price_book
from ledger.pricing.files import load_seed
from ledger.pricing.prices import PriceBook
from ledger.values import RequestEvent, Usage
from simulator.history.history import History, generate
from simulator.history.plan import days
from simulator.provider.upstream import Upstream

KEY = "sk-simulated-key-of-tests-a1B2"

EVENT = RequestEvent(
    id="e0",
    account_id="acc",
    api_key_id="sk-t...a1B2",
    request_id="req_0",
    requested_at=datetime(2026, 9, 1, 12, tzinfo=UTC),
    method="POST",
    route="/v1/responses",
    api="responses",
    model="gpt-5.4-mini",
    usage=Usage(1_000, 100, 400, 30),
    status="success",
    http_status=200,
    end_reason="done",
    latency_ms=1_500.0,
    latency_first_token_ms=300.0,
)


@pytest.fixture
def event() -> Callable[..., RequestEvent]:
    """A plain successful request; named attributes change it."""

    def make(**changes: Any) -> RequestEvent:
        return replace(EVENT, **changes)

    return make


@pytest.fixture(scope="session")
def book() -> PriceBook:
    """The seeded prices."""
    return price_book(load_seed())


@pytest.fixture(scope="session")
def history(book: PriceBook) -> History:
    """Two weeks as the demo shows them."""
    return generate(days(date(2026, 9, 1), 14), book)


@pytest.fixture
async def client() -> AsyncIterator[Callable[[Upstream], AsyncOpenAI]]:
    """The official client, on a running upstream, without retries of its own."""
    made: list[AsyncOpenAI] = []

    def make(upstream: Upstream) -> AsyncOpenAI:
        made.append(AsyncOpenAI(base_url=upstream.base_url, api_key=KEY, max_retries=0, timeout=5))
        return made[-1]

    yield make
    for each in made:
        await each.close()


@pytest.fixture
async def http() -> AsyncIterator[aiohttp.ClientSession]:
    """A plain client that leaves bodies as they come."""
    timeout = aiohttp.ClientTimeout(total=5)
    async with aiohttp.ClientSession(auto_decompress=False, timeout=timeout) as session:
        yield session
