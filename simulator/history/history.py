"""Invented history: what a proxy would have recorded over days of plausible traffic. The same plan gives
the same history, on every machine."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from random import Random

from msgspec.structs import replace

from ledger.pricing.prices import PriceBook
from ledger.values import NO_USAGE, RequestEvent
from simulator.failures import FAILURES
from simulator.history.fleet import CLIENTS, PROJECTS, busy_caller
from simulator.history.plan import Plan
from simulator.history.quota import UsageSample, usage_samples
from simulator.history.rhythm import moments, zone
from simulator.history.totals import Totals, totals
from simulator.history.workload import Workload, draw

ROUTES = {
    "responses": "/v1/responses",
    "chat_completions": "/v1/chat/completions",
    "completions": "/v1/completions",
    "embeddings": "/v1/embeddings",
    "messages": "/v1/messages",
}
"""Route template of each API."""

UNPRICED_MODEL = "in-house-llama-70b"
"""A model that no price book knows."""


@dataclass(frozen=True, slots=True)
class History:
    """All that was recorded, in the order of time, and what it adds up to."""

    plan: Plan
    events: tuple[RequestEvent, ...]
    samples: tuple[UsageSample, ...]
    totals: Totals


def generate(plan: Plan, book: PriceBook) -> History:
    events = tuple(requests(plan))
    return History(plan, events, tuple(usage_samples(plan, events, book)), totals(events, book))


def requests(plan: Plan) -> Iterator[RequestEvent]:
    """The requests of a plan one by one, for histories that do not fit into memory."""
    rng = Random(plan.seed)
    shares = [w.share for w in plan.workloads]
    for number, at in enumerate(moments(plan.start, plan.end, plan.requests_per_day, zone(plan.zone), rng)):
        workload = rng.choices(plan.workloads, shares)[0]
        yield _outcome(plan, _success(plan, number, at, workload, rng), rng)


def _success(plan: Plan, number: int, at: datetime, workload: Workload, rng: Random) -> RequestEvent:
    api = rng.choices(list(workload.apis), list(workload.apis.values()))[0]
    drawn = draw(workload, rng.random() < plan.streamed, rng)
    key = busy_caller(len(plan.keys), rng)
    return RequestEvent(
        id=f"sim-{plan.seed}-{plan.start:%Y%m%d%H%M}-{number:08d}",
        account_id=rng.choices(plan.accounts, [a.share for a in plan.accounts])[0].id,
        api_key_id=plan.keys[key],
        request_id=f"req_{plan.seed:04x}{number:08x}",
        requested_at=at,
        method="POST",
        route=ROUTES[api],
        api=api,
        model=workload.model,
        usage=drawn.usage,
        status="success",
        http_status=200,
        end_reason="done",
        latency_ms=drawn.latency_ms,
        latency_first_token_ms=drawn.first_token_ms,
        reasoning_effort=drawn.effort,
        service_tier=drawn.tier,
        session_id=f"session-{key}-{at:%Y%m%d%H}",
        user_agent=CLIENTS[key % len(CLIENTS)],
        project=PROJECTS[key % len(PROJECTS)],
    )


def _outcome(plan: Plan, event: RequestEvent, rng: Random) -> RequestEvent:
    """A success as it came, or as one of the ways in which requests go wrong."""
    fate, flaw = rng.random(), rng.random()
    if fate < plan.errors:
        return _failed(event, rng)
    if fate < plan.errors + plan.cancelled:
        return _cancelled(event, rng)
    if flaw < plan.unknown_model:
        return replace(event, model=UNPRICED_MODEL)
    if flaw < plan.unknown_model + plan.missing_usage:
        return replace(event, usage=NO_USAGE, unmetered=True)
    return event


def _failed(event: RequestEvent, rng: Random) -> RequestEvent:
    failure = rng.choices(FAILURES, [f.share for f in FAILURES])[0]
    return replace(
        event,
        status="error",
        http_status=failure.http_status,
        end_reason=failure.end_reason,
        error_code=failure.code,
        error_message=failure.message,
        usage=NO_USAGE,
        latency_ms=round(80 * rng.lognormvariate(0, 0.6), 3),
        latency_first_token_ms=None,
    )


def _cancelled(event: RequestEvent, rng: Random) -> RequestEvent:
    patience = rng.random()
    first = event.latency_first_token_ms
    latency = round(event.latency_ms * patience, 3)
    return replace(
        event,
        status="cancelled",
        end_reason="client_gone",
        usage=NO_USAGE,
        latency_ms=latency,
        latency_first_token_ms=first if first is not None and first <= latency else None,
    )
