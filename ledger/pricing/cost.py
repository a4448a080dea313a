"""What tokens cost: the one rule, in Decimal.

    cost = sum over the kinds of  count * rate of the kind / what the rate is for

The kinds are disjoint: input that was neither read from a cache nor written to one, cache reads, cache writes
for five minutes and for an hour, output, audio and images on either side, and what is billed beside tokens.
Rates are those of the model's price in force, of the billed tier and of the request's context step.

The rule is linear in the counts, so the sum of many requests that share model, provider, tier, price period
and context step costs exactly what they cost one by one. Every use goes through `parts`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Literal

from ledger.pricing.counts import Counts, counts_of, is_metered
from ledger.pricing.prices import PER, PriceBook, Rates
from ledger.pricing.steps import NO_TOKENS, context_step
from ledger.values import UNKNOWN_MODEL, RequestEvent, Usage

Unpriced = Literal["missing_model", "missing_usage", "unknown_pricing", "unknown"]
_MILLION = 1_000_000
UNITS = tuple(kind for kind in PER if kind != "requests")


@dataclass(frozen=True, slots=True)
class Part:
    """What one kind adds to a cost.

    Attributes:
        rate: US dollars for `per` of the kind; None where the price has no rate for it: it adds nothing.
    """

    kind: str
    count: int
    rate: Decimal | None
    per: int

    @property
    def usd(self) -> Decimal:
        """US dollars, unrounded."""
        return Decimal(0) if self.rate is None else self.count * self.rate / self.per


@dataclass(frozen=True, slots=True)
class TokenSum:
    """Counts of requests that are priced alike.

    Attributes:
        service_tier: the billed tier.
        context_above: the context step of each of the requests.
        at: aware UTC, any moment within the price period; sums must not span a midnight at which a
            price changes.
        metered: how many of the summed requests reported their usage.
        unmetered: how many succeeded and should have reported it, but did not.
    """

    model: str
    service_tier: str | None
    context_above: int
    at: datetime
    metered: int
    unmetered: int
    counts: Counts
    provider: str | None = None


@dataclass(frozen=True, slots=True)
class Spend:
    """US dollars of the priced requests, and how many requests have no price."""

    usd: Decimal = Decimal(0)
    unpriced_requests: int = 0

    def __add__(self, other: Spend) -> Spend:
        return Spend(self.usd + other.usd, self.unpriced_requests + other.unpriced_requests)


def parts(counts: Counts, rates: Rates, requests: int = 1) -> tuple[Part, ...]:
    """A cost kind by kind; kinds of which there is nothing are left out.

    Args:
        counts: of one request, or the sum of several.
        requests: how many; some prices have a fee for each.
    """
    c, r = counts, rates
    cached = c.cached_input + c.cache_write + c.cache_write_1h
    write = r.input if r.cache_write is None else r.cache_write
    tokens = (
        ("input", c.input - cached - c.audio_input - c.image_input, r.input),
        ("cached_input", c.cached_input, r.input if r.cached_input is None else r.cached_input),
        ("cache_write", c.cache_write, write),
        ("cache_write_1h", c.cache_write_1h, write if r.cache_write_1h is None else r.cache_write_1h),
        ("audio_input", c.audio_input, r.input if r.audio_input is None else r.audio_input),
        ("image_input", c.image_input, r.input if r.image_input is None else r.image_input),
        ("output", c.output - c.audio_output - c.image_output, r.output),
        ("audio_output", c.audio_output, r.output if r.audio_output is None else r.audio_output),
        ("image_output", c.image_output, r.output if r.image_output is None else r.image_output),
    )
    fees = requests if r.requests is not None else 0
    units = (
        (kind, fees if kind == "requests" else getattr(c, kind), getattr(r, kind), PER[kind]) for kind in PER
    )
    found = (*((kind, count, rate, _MILLION) for kind, count, rate in tokens), *units)
    return tuple(Part(*part) for part in found if part[1])


def usd(counts: Counts, rates: Rates, requests: int = 1) -> Decimal:
    """US dollars, unrounded, for counts that share one price, tier and context step."""
    return sum((part.usd for part in parts(counts, rates, requests)), Decimal(0))


def price_request(
    book: PriceBook,
    model: str | None,
    usage: Usage,
    at: datetime,
    service_tier: str | None = None,
    provider: str | None = None,
    extra_units: Mapping[str, Decimal] | None = None,
) -> Decimal | Unpriced:
    """The cost of a request in US dollars, or the reason why it has none; the tier is the billed one."""
    metered, counts = int(is_metered(usage, extra_units)), counts_of(usage, extra_units)
    step = context_step(usage.input_tokens)
    return price_metered(
        book, TokenSum(model or UNKNOWN_MODEL, service_tier, step, at, metered, 0, counts, provider)
    )


def price_event(book: PriceBook, event: RequestEvent) -> Decimal | Unpriced:
    """The cost of a request in US dollars, or the reason why it has none."""
    return price_metered(book, sum_of(event))


def sum_of(event: RequestEvent) -> TokenSum:
    """One request as a sum."""
    counts = counts_of(event.usage, event.extra_units)
    return TokenSum(
        model=event.model or UNKNOWN_MODEL,
        service_tier=event.billed_tier,
        context_above=context_step(event.usage.input_tokens),
        at=event.requested_at,
        metered=int(is_metered(event.usage, event.extra_units)),
        unmetered=0,
        counts=counts,
        provider=event.provider,
    )


def price_metered(book: PriceBook, row: TokenSum) -> Decimal | Unpriced:
    """The cost of a sum's metered requests in US dollars, or the reason why they have none."""
    if row.model == UNKNOWN_MODEL:
        return "missing_model"
    price = book.find(row.model, row.at, row.provider)
    if price is None:
        return "unknown_pricing"
    if not row.metered:
        return "missing_usage"
    rates = price.rates_for(row.service_tier, row.context_above)
    if row.context_above == NO_TOKENS and not has_rate(row.counts, rates):
        return "missing_usage"
    return usd(row.counts, rates, row.metered)


def has_rate(counts: Counts, rates: Rates) -> bool:
    """Whether a price has a rate for something of what was counted beside tokens."""
    return any(getattr(counts, kind) and getattr(rates, kind) is not None for kind in UNITS)


def price_sum(book: PriceBook, row: TokenSum) -> Spend:
    """The spend of one sum: requests without usage or without a price are counted, never taken as 0."""
    cost = price_metered(book, row)
    if isinstance(cost, Decimal):
        return Spend(cost, row.unmetered)
    return Spend(unpriced_requests=row.metered + row.unmetered)
