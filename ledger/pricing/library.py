"""The price library's data as prices of ours. The library is imported here alone, and only where prices are
updated: the services run on the file that is written from it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, time
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from ledger.errors import PriceError
from ledger.pricing.names import canonical
from ledger.pricing.prices import DAWN, Card, Price, Rates
from ledger.pricing.steps import CONTEXT_STEPS

if TYPE_CHECKING:
    from genai_prices import types

KINDS = {
    "input_mtok": "input",
    "output_mtok": "output",
    "cache_read_mtok": "cached_input",
    "cache_write_mtok": "cache_write",
    "cache_write_1h_mtok": "cache_write_1h",
    "input_audio_mtok": "audio_input",
    "output_audio_mtok": "audio_output",
    "input_image_mtok": "image_input",
    "output_image_mtok": "image_output",
    "web_searches_kcount": "web_searches",
    "storage_searches_kcount": "file_searches",
    "input_mchars": "characters",
    "input_document_kpages": "pages",
    "audio_hours": "audio_ms",
    "input_audio_hours": "audio_ms",
    "requests_kcount": "requests",
}
"""The library's price keys, and our kinds. What it has beside them stands in overrides.toml."""

CONDITIONS = {
    ("service_tier", "flex"): "flex",
    ("service_tier", "priority"): "priority",
    ("service_tier", "fast"): "fast",
    ("processing", "batch"): "batch",
    ("speed", "fast"): "fast",
}
"""Conditions of the library's price variants, and the billed tier that each is."""

_DIGITS = Decimal("0.000001")
Values = Mapping[str, Any]
"""The library's prices by its price keys: a number, or numbers by context step."""


@dataclass(frozen=True, slots=True)
class Variant:
    """Prices of one tier from a day on; None: of all time."""

    tier: str
    start: date | None
    values: Values


def library_version() -> str:
    """The library's name and version. Raises: PriceError where it is not installed."""
    from importlib.metadata import PackageNotFoundError, version

    try:
        return f"genai-prices {version('genai-prices')}"
    except PackageNotFoundError as error:
        raise PriceError("genai-prices is not installed; run ./dev -s prices, which brings it") from error


def library_prices() -> tuple[Price, ...]:
    """Every price that the library knows, by provider, model and time. Raises: PriceError."""
    library_version()
    from genai_prices.data import providers

    rows = (
        price for provider in providers for model in provider.models for price in _prices(provider, model)
    )
    unique = {
        (p.provider, p.model, p.effective_from): p for p in reversed(tuple(rows))
    }  # the first is its own
    return tuple(sorted(unique.values(), key=lambda p: (p.provider, p.model, p.effective_from)))


def _prices(provider: types.Provider, model: types.ModelInfo) -> Iterator[Price]:
    name = model.id.lower()
    periods, variants = _periods(model), list(_variants(model))
    days = sorted({start for start, _ in periods} | {v.start or date.min for v in variants})
    before: Price | None = None
    for day in days:
        standard = _in_force(periods, day)
        price = Price(
            model=name,
            effective_from=DAWN if day == date.min else datetime.combine(day, time(), tzinfo=UTC),
            card=_card(name, standard),
            tiers=_tiers(name, standard, periods, variants, day),
            provider=canonical(provider.id),
            names=_names(name, model.match),
            context_window=model.context_window,
        )
        if before is None or (price.card, price.tiers) != (before.card, before.tiers):
            yield price
        before = price


def _periods(model: types.ModelInfo) -> list[tuple[date, Values]]:
    """Standard prices by the day from which they hold; prices of hours of the day are left out."""
    if not isinstance(model.prices, list):
        return [(date.min, _values(model.prices))]
    found = {}
    for entry in model.prices:
        if entry.constraint is None:
            found[date.min] = _values(entry.prices)
        elif hasattr(entry.constraint, "start_date"):
            found[entry.constraint.start_date] = _values(entry.prices)
    if date.min not in found:  # the library falls back on the first, whatever its condition
        found[date.min] = _values(model.prices[0].prices)
    return sorted(found.items(), key=lambda item: item[0])


def _values(prices: types.ModelPrice) -> Values:
    return {key: value for key, value in vars(prices).items() if value is not None and key in KINDS}


def _variants(model: types.ModelInfo) -> Iterator[Variant]:
    for variant in model.price_variants or ():
        tier = CONDITIONS.get(next(iter(variant.when.items()))) if len(variant.when) == 1 else None
        values = _values(variant.prices)
        if tier and values and not hasattr(variant.constraint, "start_time"):
            yield Variant(tier, getattr(variant.constraint, "start_date", None), values)


def _in_force(periods: Iterable[tuple[date, Values]], day: date) -> Values:
    return [values for start, values in periods if start <= day][-1]


def _tiers(
    name: str,
    standard: Values,
    periods: Iterable[tuple[date, Values]],
    variants: Iterable[Variant],
    day: date,
) -> dict[str, Card]:
    """The tiers of a day. Before the day on which the library checked a tier, the tier's ratio to the
    standard price of that day holds."""
    found: dict[str, Card] = {}
    for tier in sorted({v.tier for v in variants}):
        ours = [v for v in variants if v.tier == tier]
        active = [v for v in ours if (v.start or date.min) <= day]
        if active:
            values: dict[str, Any] = {}
            for variant in active:
                values = {**variant.values, **values}  # the library's rule: of each key the first variant's
        else:
            earliest = min(ours, key=lambda v: v.start or date.min)
            then = _in_force(periods, earliest.start or date.min)
            values = _scaled(earliest.values, then, standard)
        card = _card(name, {**standard, **values})
        if card != _card(name, standard):
            found[tier] = card
    if found.get("fast") == found.get("priority"):
        found.pop("fast", None)  # priced as `priority` without saying so
    return found


def _scaled(values: Values, then: Values, standard: Values) -> dict[str, Any]:
    """A tier's prices for another standard price than the one that they were checked beside."""
    if all(then.get(key) == standard.get(key) for key in values):
        return dict(values)
    return {
        key: _ratio(_base(standard[key]), _base(value), _base(then[key]))
        if not _steps(value)
        else _Steps(
            _ratio(_base(standard[key]), _base(value), _base(then[key])),
            {s: _ratio(_at(standard[key], s), _at(value, s), _at(then[key], s)) for s in _steps(value)},
        )
        for key, value in values.items()
        if key in standard and key in then and _base(then[key])
    }


def _ratio(rate: Decimal, tier: Decimal, standard: Decimal) -> Decimal:
    return (rate * tier / standard).quantize(_DIGITS)


@dataclass(frozen=True, slots=True)
class _Steps:
    base: Decimal
    prices: Mapping[int, Decimal]


def _base(value: Any) -> Decimal:
    return value if isinstance(value, Decimal) else Decimal(value.base)


def _steps(value: Any) -> list[int]:
    if isinstance(value, _Steps):
        return sorted(value.prices)
    return [] if isinstance(value, Decimal) else [tier.start for tier in value.tiers]


def _at(value: Any, step: int) -> Decimal:
    """The price of inputs above a step."""
    found = _base(value)
    if isinstance(value, _Steps):
        return Decimal(value.prices.get(step, found))
    for tier in () if isinstance(value, Decimal) else value.tiers:
        if tier.start <= step:
            found = tier.price
    return found


def _card(name: str, values: Values) -> Card:
    steps = sorted({step for value in values.values() for step in _steps(value)})
    unknown = [step for step in steps if step not in CONTEXT_STEPS]
    if unknown:
        raise PriceError(
            f"model {name!r}: prices change above {unknown[0]} input tokens, which is no step of "
            "ledger/pricing/steps.py; daily sums cannot tell it apart"
        )
    plain = Rates(**{KINDS[key]: _base(value) for key, value in values.items()})
    above = ((s, Rates(**{KINDS[key]: _at(value, s) for key, value in values.items()})) for s in steps)
    return Card(plain, tuple(above))


def _names(name: str, match: Any) -> tuple[str, ...]:
    """Other names and patterns of a model. Rules that only allow for a date are left out: dates are
    stripped."""
    found: dict[str, None] = {}
    for clause in getattr(match, "or_", [match]):
        for attribute, pattern in (("equals", "{}"), ("starts_with", "{}*"), ("ends_with", "*{}")):
            if hasattr(clause, attribute):
                found[pattern.format(getattr(clause, attribute).lower())] = None
        if hasattr(clause, "contains"):
            found[f"*{clause.contains.lower()}*"] = None
        if hasattr(clause, "and_"):
            found.update(dict.fromkeys(_names(name, clause.and_[0])))
    found.pop(name, None)
    return tuple(found)
