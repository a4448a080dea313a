"""Why a request costs what it costs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from ledger.pricing.cost import Part, TokenSum, Unpriced, parts, price_metered
from ledger.pricing.counts import counts_of, is_metered
from ledger.pricing.prices import Price, PriceBook
from ledger.pricing.steps import context_step
from ledger.values import UNKNOWN_MODEL, Usage


@dataclass(frozen=True, slots=True)
class Breakdown:
    """A cost taken apart.

    Attributes:
        at: when the request ended; prices are those of its UTC day.
        tier: the billed one.
        context_above: the context step whose rates hold; 0 where the plain ones do.
        price: the price row; None where none is known.
        how: how the model's name led to it, as `ledger.pricing.prices.Found` says.
        parts: they add up to `usd`.
        usd: US dollars, unrounded; None where it has no price, which `unpriced` explains.
    """

    model: str
    provider: str | None
    at: datetime
    tier: str | None
    context_above: int
    price: Price | None
    how: tuple[str, ...]
    parts: tuple[Part, ...]
    usd: Decimal | None
    unpriced: Unpriced | None


def explain(
    book: PriceBook,
    model: str | None,
    usage: Usage,
    at: datetime,
    *,
    tier: str | None = None,
    provider: str | None = None,
    extra_units: Mapping[str, Decimal] | None = None,
) -> Breakdown:
    """The cost of one request, its parts and its price row.

    Args:
        tier: the billed one: of a ChatGPT login the requested tier, else the served one.
    """
    named, counts = model or UNKNOWN_MODEL, counts_of(usage, extra_units)
    step = context_step(usage.input_tokens)
    metered = int(is_metered(usage, extra_units))
    cost = price_metered(book, TokenSum(named, tier, step, at, metered, 0, counts, provider))
    found = None if named == UNKNOWN_MODEL else book.look_up(named, at, provider)
    priced = isinstance(cost, Decimal)
    return Breakdown(
        model=named,
        provider=provider,
        at=at,
        tier=tier,
        context_above=_step_in_force(found.price, tier, step) if found else 0,
        price=found.price if found else None,
        how=found.how if found else (),
        parts=parts(counts, found.price.rates_for(tier, step)) if found and priced else (),
        usd=cost if isinstance(cost, Decimal) else None,
        unpriced=None if isinstance(cost, Decimal) else cost,
    )


def _step_in_force(price: Price, tier: str | None, step: int) -> int:
    """The highest step of the card that an input of this context step is above."""
    return max((above for above, _ in price.card_of(tier).above if above <= step), default=0)
