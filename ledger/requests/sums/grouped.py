"""Request events summed before they are counted: those with the same labels together. Pure.

Label look-ups and increments cost more than anything else that counting does, and events come in batches.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, fields
from datetime import date, datetime
from decimal import Decimal
from operator import add
from typing import Any, NamedTuple

from ledger.pricing.cost import TokenSum, Unpriced, price_metered
from ledger.pricing.counts import Counts, count_values, is_metered
from ledger.pricing.prices import PriceBook
from ledger.pricing.steps import context_step
from ledger.values import NO_USAGE, UNKNOWN_MODEL, RequestEvent


class Group(NamedTuple):
    """What the events of one sum have in common: labels, and what decides on the price."""

    status: str
    model: str | None
    api: str
    account: str
    key: str
    http_status: int
    method: str
    route: str
    error_code: str | None
    billable: bool
    metered: bool
    provider: str | None
    service_tier: str | None
    context_above: int
    day: date
    reported: bool
    batched: bool
    project: str | None


_NO_COUNTS = (0,) * len(fields(Counts))


@dataclass(slots=True)
class Sums:
    """Events of one group; latencies in milliseconds, without those of cancelled requests."""

    at: datetime
    requests: int = 0
    counts: tuple[int, ...] = _NO_COUNTS
    reported_usd: Decimal = Decimal(0)
    reasoning: int = 0
    unmetered: int = 0
    implausible: int = 0
    latencies: list[float] = field(default_factory=list)
    first_tokens: list[float] = field(default_factory=list)

    def add(self, event: RequestEvent) -> None:
        self.requests += 1
        self.unmetered += event.unmetered
        self.implausible += event.implausible
        # How long people wait before they give up is no latency; of a batch it is not known.
        if event.status != "cancelled" and not event.batched:
            self.latencies.append(event.latency_ms)
            if event.latency_first_token_ms is not None:
                self.first_tokens.append(event.latency_first_token_ms)
        usage = event.usage
        if usage is not NO_USAGE or event.extra_units:
            self.counts = tuple(map(add, self.counts, count_values(usage, event.extra_units)))
            self.reasoning += usage.reasoning_tokens or 0
        if event.provider_cost_usd is not None:
            self.reported_usd += event.provider_cost_usd

    def by_kind(self) -> tuple[tuple[str, int], ...]:
        """Tokens by the label `kind`; none where nothing was reported."""
        of = Counts(*self.counts)
        kinds = (
            ("input", of.input),
            ("output", of.output),
            ("cached_input", of.cached_input),
            ("cache_write", of.cache_write + of.cache_write_1h),
            ("reasoning", self.reasoning),
        )
        return kinds if any(number for _, number in kinds) else ()


def grouped(events: Iterable[RequestEvent], into: dict[Group, Sums] | None = None) -> dict[Group, Sums]:
    """Events by what they have in common, added to the sums of others where there are some."""
    groups = {} if into is None else into
    for event in events:
        key = _key(event)
        sums = groups.get(key)  # type: ignore[call-overload]  # a plain tuple is found as quickly, and made sooner
        if sums is None:
            sums = groups[Group(*key)] = Sums(event.requested_at)
        sums.add(event)
    return groups


def group_cost(book: PriceBook, group: Group, sums: Sums) -> Decimal | Unpriced:
    """US dollars of a group, or why it has no price."""
    row = TokenSum(
        model=group.model or UNKNOWN_MODEL,
        service_tier=group.service_tier,
        context_above=group.context_above,
        at=sums.at,
        metered=sums.requests if group.metered else 0,
        unmetered=0,
        counts=Counts(*sums.counts),
        provider=group.provider,
    )
    return price_metered(book, row)


def _key(event: RequestEvent) -> tuple[Any, ...]:
    usage = event.usage
    return (
        event.status,
        event.model,
        event.api,
        event.account_id,
        event.api_key_id,
        event.http_status,
        event.method,
        event.route,
        event.error_code,
        event.billable,
        is_metered(usage, event.extra_units),
        event.provider,
        event.billed_tier,
        context_step(usage.input_tokens),
        event.requested_at.date(),
        event.provider_cost_usd is not None,
        event.batched,
        event.project,
    )
