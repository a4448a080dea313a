"""The cost rule for millions of rows: the price of each kind of row is looked up once, then it is whole
numbers. Costs are in 10^-12 US dollars, in which the rates of the price pages have no fractions."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

from ledger.pricing.cost import tokens_usd
from ledger.pricing.prices import LONG_CONTEXT_ABOVE, PriceBook
from ledger.quota.running import MOST_PICO, PICO_PER_USD, SILENT, UNPRICED
from ledger.values import UNKNOWN_MODEL

DAY = 86_400_000_000
"""Microseconds; prices change at UTC midnights alone."""

MOST_KINDS = 20_000
"""Kinds of rows remembered; callers choose model names, so there is no natural end."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Rates:
    """10^-12 US dollars per token of one kind of row; whole numbers unless a price is very odd."""

    input: int | Decimal
    cached: int | Decimal
    output: int | Decimal


class RateTable:
    """Prices rows by one price book."""

    def __init__(self, book: PriceBook) -> None:
        self.book = book
        self._known: dict[tuple[str | None, str | None, bool, int], Rates | None] = {}

    def cost(
        self,
        at: int,
        model: str | None,
        tier: str | None,
        input_tokens: int | None,
        output_tokens: int | None,
        cached_tokens: int | None,
        reasoning_tokens: int | None,
        should_cost: bool,
        stored_usd: Any = None,
    ) -> int:
        """The cost of one row in 10^-12 US dollars, UNPRICED or SILENT. More than MOST_PICO is no cost.

        Args:
            at: when it ended, microseconds since 1970.
            should_cost: it succeeded and was not just a read; without counts it is then UNPRICED.
            stored_usd: what the owner of a foreign store took it to cost; stands in where the price book
                has no price. Whatever is no amount of dollars is no cost.
        """
        output = reasoning_tokens if output_tokens is None else output_tokens
        if input_tokens is None or output is None:
            return UNPRICED if should_cost else SILENT
        rates = self._rates(model, tier, input_tokens > LONG_CONTEXT_ABOVE, at // DAY)
        if rates is None:
            return _stored(stored_usd)
        cached = max(0, min(cached_tokens or 0, input_tokens))
        cost = (input_tokens - cached) * rates.input + cached * rates.cached + output * rates.output
        return max(0, round(cost)) if cost <= MOST_PICO else UNPRICED

    def _rates(self, model: str | None, tier: str | None, long_context: bool, day: int) -> Rates | None:
        key = (model, tier, long_context, day)
        if key not in self._known:
            if len(self._known) >= MOST_KINDS:
                self._known.clear()
            self._known[key] = self._found(*key)
        return self._known[key]

    def _found(self, model: str | None, tier: str | None, long_context: bool, day: int) -> Rates | None:
        price = None
        if model and model != UNKNOWN_MODEL:
            price = self.book.find(model, _EPOCH + timedelta(days=day))
        if price is None:
            return None

        def rate(input_tokens: int, cached: int, output: int) -> int | Decimal:
            usd = tokens_usd(
                input_tokens,
                cached,
                output,
                price=price,
                service_tier=tier or None,
                long_context=long_context,
            )
            pico = usd * PICO_PER_USD
            return int(pico) if pico == int(pico) else pico

        return Rates(rate(1, 0, 0), rate(1, 1, 0), rate(0, 0, 1))


def _stored(usd: Any) -> int:
    """What an owner stored as the cost of a request."""
    if usd is None:
        return UNPRICED
    try:
        pico = Decimal(str(usd)) * PICO_PER_USD
    except ArithmeticError:
        return UNPRICED
    return round(pico) if pico.is_finite() and 0 <= pico <= MOST_PICO else UNPRICED
