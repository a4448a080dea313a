"""The cost rule for millions of rows: the rates of each kind of row are looked up once, then it is whole
numbers. Costs are in 10^-12 US dollars, in which the rates of the price pages have no fractions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from functools import lru_cache
from typing import Any

from ledger.pricing.cost import has_rate, usd
from ledger.pricing.counts import Counts, counts_of, is_metered
from ledger.pricing.prices import PriceBook, Rates
from ledger.pricing.steps import NO_TOKENS, context_step
from ledger.quota.running import MAX_PICO, PICO_PER_USD, SILENT, UNPRICED
from ledger.values import UNKNOWN_MODEL, Usage

DAY = 86_400_000_000
"""Microseconds; prices change at UTC midnights alone."""

MAX_KINDS = 20_000
"""Kinds of rows remembered; callers choose model names, so there is no natural end."""

_Kind = tuple[str | None, str | None, str | None, int, int]
"""What rows of one price share: model, provider, tier, context step and day since 1970."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class RowRates:
    """10^-12 US dollars per token of one kind of row; whole numbers unless a price is very odd.

    Attributes:
        fee: for the request itself.
        rates: what all else is priced by.
    """

    input: int | Decimal
    cached: int | Decimal
    write: int | Decimal
    write_1h: int | Decimal
    output: int | Decimal
    fee: int | Decimal
    rates: Rates


class RateTable:
    """Prices rows by one price book."""

    def __init__(self, book: PriceBook) -> None:
        self.book = book
        self._known: dict[_Kind, RowRates | None] = {}
        self._of_rates: dict[int, RowRates] = {}

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
        provider: str | None = None,
        write: int | None = None,
        write_1h: int | None = None,
        others: Sequence[int | None] | None = None,
        extra_units: Mapping[str, Decimal] | None = None,
    ) -> int:
        """The cost of one row in 10^-12 US dollars, UNPRICED or SILENT. More than MAX_PICO is no cost.

        Args:
            at: when it ended, microseconds since 1970.
            tier: the billed one.
            should_cost: it succeeded and was not just a read; without counts it is then UNPRICED.
            stored_usd: what the owner of a foreign store took it to cost; stands in where the price book
                has no price. Whatever is no amount of dollars is no cost.
            write, write_1h: tokens written to a cache for five minutes, and for an hour.
            others: audio in and out, images in and out; None where none are told.
        """
        output = reasoning_tokens if output_tokens is None else output_tokens
        counted = input_tokens is not None and output is not None
        if not counted and not (extra_units and is_metered(Usage(), extra_units)):
            return UNPRICED if should_cost else SILENT
        key = (model, provider, tier, context_step(input_tokens), at // DAY)
        rates = self._known[key] if key in self._known else self._remembered(key)
        if rates is None:
            return _stored(stored_usd)
        if others is not None or extra_units or input_tokens is None or output is None:
            usage = Usage(input_tokens, output, cached_tokens, None, write, write_1h, *(others or ()))
            if input_tokens is None and not has_rate(counts_of(usage, extra_units), rates.rates):
                return UNPRICED if should_cost else SILENT
            return _bounded(usd(counts_of(usage, extra_units), rates.rates) * PICO_PER_USD)
        cached = cached_tokens or 0
        if not 0 <= cached <= input_tokens:
            cached = max(0, min(cached, input_tokens))
        cost = (input_tokens - cached) * rates.input + cached * rates.cached + output * rates.output
        if write or write_1h:
            first, second = _written(input_tokens - cached, write, write_1h)
            cost += first * (rates.write - rates.input) + second * (rates.write_1h - rates.input)
        cost += rates.fee
        return cost if type(cost) is int and 0 <= cost <= MAX_PICO else _bounded(cost)

    def of_sum(
        self,
        day: int,
        model: str | None,
        provider: str | None,
        tier: str | None,
        context_above: int,
        metered: int,
        unmetered: int,
        counts: Sequence[int],
    ) -> tuple[int | Decimal, int]:
        """The cost of a sum of requests in 10^-12 US dollars, and how many have no price: what
        `cost.price_sum` says.

        Args:
            day: since 1970, in UTC.
            counts: in the order of the fields of `Counts`.
        """
        rates = self.of_kind(day, model, provider, tier, context_above)
        if rates is None:
            return 0, metered + unmetered
        if not metered:
            return 0, unmetered
        total, cached, write, write_1h, output, *others = counts
        beside = any(others)
        if context_above == NO_TOKENS and not (beside and has_rate(Counts(*counts), rates.rates)):
            return 0, metered + unmetered
        if beside:
            return usd(Counts(*counts), rates.rates, metered) * PICO_PER_USD, unmetered
        cost = (total - cached) * rates.input + cached * rates.cached + output * rates.output
        if write or write_1h:
            cost += write * (rates.write - rates.input) + write_1h * (rates.write_1h - rates.input)
        return cost + metered * rates.fee, unmetered

    def of_kind(
        self, day: int, model: str | None, provider: str | None, tier: str | None, context_above: int
    ) -> RowRates | None:
        """The rates of one kind of row on a day since 1970; None where no price is known."""
        key = (model, provider, tier, context_above, day)
        return self._known[key] if key in self._known else self._remembered(key)

    def _remembered(self, key: _Kind) -> RowRates | None:
        if len(self._known) >= MAX_KINDS:
            self._known.clear()
        found = self._known[key] = self._found(key)
        return found

    def _found(self, key: _Kind) -> RowRates | None:
        model, provider, tier, step, day = key
        price = None
        if model and model != UNKNOWN_MODEL:
            price = self.book.find(model, _EPOCH + timedelta(days=day), provider or None)
        if price is None:
            return None
        rates = price.rates_for(tier or None, step)  # the book's own object: it lives as long as we do
        if id(rates) not in self._of_rates:
            self._of_rates[id(rates)] = _row_rates(rates)
        return self._of_rates[id(rates)]


@lru_cache(4)
def rate_table(book: PriceBook) -> RateTable:
    """The one of a book that all questions share."""
    return RateTable(book)


def _row_rates(rates: Rates) -> RowRates:
    tokens = replace(rates, requests=None)

    def rate(**counts: int) -> int | Decimal:
        return _whole(usd(Counts(**counts), tokens) * PICO_PER_USD)

    return RowRates(
        input=rate(input=1),
        cached=rate(input=1, cached_input=1),
        write=rate(input=1, cache_write=1),
        write_1h=rate(input=1, cache_write_1h=1),
        output=rate(output=1),
        fee=_whole(usd(Counts(), rates) * PICO_PER_USD),
        rates=rates,
    )


def _whole(pico: Decimal) -> int | Decimal:
    return int(pico) if pico == int(pico) else pico


def _written(left: int, write: int | None, write_1h: int | None) -> tuple[int, int]:
    """Cache writes, cut to what is left of the input."""
    first = max(0, min(write or 0, left))
    return first, max(0, min(write_1h or 0, left - first))


def _bounded(cost: int | Decimal) -> int:
    return max(0, round(cost)) if cost <= MAX_PICO else UNPRICED


def _stored(usd: Any) -> int:
    """What an owner stored as the cost of a request."""
    if usd is None:
        return UNPRICED
    try:
        pico = Decimal(str(usd)) * PICO_PER_USD
    except ArithmeticError:
        return UNPRICED
    return round(pico) if pico.is_finite() and 0 <= pico <= MAX_PICO else UNPRICED
