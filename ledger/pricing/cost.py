"""What tokens cost: the one rule, in Decimal.

    cost = ((input - cached) * input rate + cached * cached rate) * long-context input factor
           + output * output rate * long-context output factor
    all of it times the service tier's factor, per million tokens.

The rule is linear in the counts, so the sum of many requests that share model, tier, price period and
long-context class costs exactly what they cost one by one. Both uses go through `tokens_usd`.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Literal

from ledger.pricing.prices import LONG_CONTEXT_ABOVE, Price, PriceBook
from ledger.values import UNKNOWN_MODEL, Usage

Unpriced = Literal["missing_model", "missing_usage", "unknown_pricing", "unknown"]
_MILLION = Decimal(1_000_000)


@dataclass(frozen=True, slots=True)
class TokenSum:
    """Token counts of requests that are priced alike.

    Attributes:
        at: aware UTC, any moment within the price period; sums must not span a midnight at which a
            price changes.
        metered: how many of the summed requests reported their usage.
        unmetered: how many succeeded and should have reported it, but did not.
        cached_input: already clamped to each request's input.
    """

    model: str
    service_tier: str | None
    long_context: bool
    at: datetime
    metered: int
    unmetered: int
    input: int
    cached_input: int
    output: int


@dataclass(frozen=True, slots=True)
class Spend:
    """US dollars of the priced requests, and how many requests have no price."""

    usd: Decimal = Decimal(0)
    unpriced_requests: int = 0

    def __add__(self, other: Spend) -> Spend:
        return Spend(self.usd + other.usd, self.unpriced_requests + other.unpriced_requests)


def tokens_usd(
    input_tokens: int, cached: int, output: int, *, price: Price, service_tier: str | None, long_context: bool
) -> Decimal:
    """US dollars, unrounded, for counts that share one price, tier and long-context class."""
    cached_rate = price.input if price.cached_input is None else price.cached_input
    in_usd = (input_tokens - cached) * price.input + cached * cached_rate
    out_usd = output * price.output
    if long_context:
        in_usd *= price.long_input_factor
        out_usd *= price.long_output_factor
    total = (in_usd + out_usd) / _MILLION
    factor = price.tiers.get(service_tier) if service_tier else None
    return total if factor is None else total * factor


def cost_usd(usage: Usage, price: Price, service_tier: str | None = None) -> Decimal | None:
    """Price one request.

    Args:
        usage: token counts of one request; cached is part of input, reasoning is part of output.
        price: US dollars per million tokens, in force when the request ended.
        service_tier: the served tier, else the requested one.
    Returns: US dollars, unrounded; None where input or output was not reported.
    Source: the provider's price page, dated in ledger/prices.toml.
    """
    output = usage.billed_output
    if usage.input_tokens is None or output is None:
        return None
    return tokens_usd(
        usage.input_tokens,
        usage.billed_cached,
        output,
        price=price,
        service_tier=service_tier,
        long_context=usage.input_tokens > LONG_CONTEXT_ABOVE,
    )


def price_request(
    book: PriceBook, model: str | None, usage: Usage, at: datetime, service_tier: str | None = None
) -> Decimal | Unpriced:
    """The cost of a request in US dollars, or the reason why it has none."""
    output = usage.billed_output
    row = TokenSum(
        model=model or UNKNOWN_MODEL,
        service_tier=service_tier,
        long_context=(usage.input_tokens or 0) > LONG_CONTEXT_ABOVE,
        at=at,
        metered=int(usage.input_tokens is not None and output is not None),
        unmetered=0,
        input=usage.input_tokens or 0,
        cached_input=usage.billed_cached,
        output=output or 0,
    )
    return price_metered(book, row)


def price_metered(book: PriceBook, row: TokenSum) -> Decimal | Unpriced:
    """The cost of a sum's metered requests in US dollars, or the reason why they have none."""
    if row.model == UNKNOWN_MODEL:
        return "missing_model"
    price = book.find(row.model, row.at)
    if price is None:
        return "unknown_pricing"
    if not row.metered:
        return "missing_usage"
    return tokens_usd(
        row.input,
        row.cached_input,
        row.output,
        price=price,
        service_tier=row.service_tier,
        long_context=row.long_context,
    )


def price_sum(book: PriceBook, row: TokenSum) -> Spend:
    """The spend of one sum: requests without usage or without a price are counted, never taken as 0."""
    cost = price_metered(book, row)
    if isinstance(cost, Decimal):
        return Spend(cost, row.unmetered)
    return Spend(unpriced_requests=row.metered + row.unmetered)


def price_sums(book: PriceBook, rows: Iterable[TokenSum]) -> Spend:
    """The spend of many sums together."""
    return sum((price_sum(book, row) for row in rows), Spend())
