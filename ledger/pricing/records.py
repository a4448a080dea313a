"""Rates as text: how the price file and the table `prices` keep them. Numbers are strings, digit by digit."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import fields
from decimal import Decimal, InvalidOperation
from typing import Any

from ledger.errors import PriceError
from ledger.pricing.prices import Card, Rates
from ledger.pricing.steps import CONTEXT_STEPS

MAX_USD = Decimal(10_000)
MIN_USD = Decimal("0.001")
"""Outside of these a rate is taken for a slip of unit (per token, per thousand) and refused."""

KINDS = tuple(field.name for field in fields(Rates))


def plausible(model: str, name: str, value: object) -> Decimal:
    """A rate as Decimal; zero is allowed (a local model).

    Raises: PriceError when it is no number or not in dollars per million tokens.
    """
    try:
        rate = Decimal(str(value))
    except InvalidOperation as error:
        raise PriceError(f"model {model!r}: {name} = {value!r} is not a number") from error
    if not rate.is_finite() or (rate != 0 and not MIN_USD <= rate <= MAX_USD):
        raise PriceError(
            f"model {model!r}: {name} = {value} is implausible; "
            f"give US dollars per million tokens, 0 or {MIN_USD} to {MAX_USD}"
        )
    return rate


def rates_record(rates: Rates, kinds: Iterable[str] = KINDS) -> dict[str, str]:
    """Rates by kind; what has no rate of its own is left out."""
    values = ((kind, getattr(rates, kind)) for kind in kinds)
    return {kind: _text(value) for kind, value in values if value is not None}


def card_record(card: Card) -> dict[str, Any]:
    """A tier's rates; `above` only where there is a long-context price."""
    record: dict[str, Any] = dict(rates_record(card.rates))
    if card.above:
        record["above"] = {str(step): rates_record(rates) for step, rates in card.above}
    return record


def rates_from(model: str, record: Mapping[str, Any]) -> Rates:
    """Raises: PriceError naming the kind and what is wrong with it."""
    unknown = sorted(set(record) - set(KINDS))
    if unknown:
        raise PriceError(f"model {model!r}: {unknown[0]}: unknown kind; allowed: {', '.join(KINDS)}")
    return Rates(**{kind: plausible(model, kind, value) for kind, value in record.items()})


def card_from(model: str, record: Mapping[str, Any]) -> Card:
    """Raises: PriceError."""
    plain = rates_from(model, {kind: value for kind, value in record.items() if kind != "above"})
    above = record.get("above", {})
    if not isinstance(above, Mapping):
        raise PriceError(f"model {model!r}: above = {above!r} is no table of rates by input tokens")
    steps = sorted((_step(model, step), rates_from(model, rates)) for step, rates in above.items())
    return Card(plain, tuple(steps))


def _step(model: str, text: str) -> int:
    if not (text.isascii() and text.isdecimal() and int(text) in CONTEXT_STEPS):
        allowed = ", ".join(map(str, CONTEXT_STEPS))
        raise PriceError(f"model {model!r}: above.{text}: unknown context step; allowed: {allowed}")
    return int(text)


def _text(value: Decimal) -> str:
    """As few digits as say it: 12.50 is 12.5, and 10 is never 1E+1."""
    return f"{value.normalize():f}"
