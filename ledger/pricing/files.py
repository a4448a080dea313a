"""The price files beside this module: `catalogue.json`, generated from the price library's data, and
`overrides.toml`, which holds what that lacks or has wrong. The configuration's prices go before both."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, date, datetime, time
from decimal import Decimal
from functools import lru_cache
from pathlib import Path
from typing import Any, Protocol

from ledger.errors import PriceError
from ledger.pricing.names import canonical
from ledger.pricing.prices import DAWN, Card, Price, PriceBook, Rates, expand_aliases
from ledger.pricing.records import KINDS, card_from, card_record, plausible

CATALOGUE = Path(__file__).with_name("catalogue.json")
OVERRIDES = Path(__file__).with_name("overrides.toml")
_WHY = ("reason", "source", "as_of")


class ConfiguredPrice(Protocol):
    """A model's price as the configuration has it; US dollars per million tokens."""

    @property
    def provider(self) -> str | None: ...
    @property
    def prompt_per_1m(self) -> Decimal: ...
    @property
    def cached_prompt_per_1m(self) -> Decimal | None: ...
    @property
    def cache_write_per_1m(self) -> Decimal | None: ...
    @property
    def cache_write_1h_per_1m(self) -> Decimal | None: ...
    @property
    def completion_per_1m(self) -> Decimal: ...


def load_seed(catalogue: Path = CATALOGUE, overrides: Path = OVERRIDES) -> tuple[Price, ...]:
    """The prices that Quotascope brings.

    Raises: PriceError naming the file, the model and what is wrong.
    """
    return _loaded(catalogue, _stamp(catalogue), overrides, _stamp(overrides))


def _stamp(path: Path) -> tuple[int, int]:
    try:
        found = path.stat()
    except OSError as error:
        raise PriceError(f"{path}: not a price file: {error!r}") from error
    return found.st_mtime_ns, found.st_size


@lru_cache(maxsize=8)
def _loaded(
    catalogue: Path, _read: tuple[int, int], overrides: Path, _read_too: tuple[int, int]
) -> tuple[Price, ...]:
    data = load_catalogue(catalogue)
    return (*data, *load_overrides(data, overrides))


def load_catalogue(path: Path = CATALOGUE) -> tuple[Price, ...]:
    """The generated prices. Raises: PriceError; a file without a price is none."""
    found: tuple[Price, ...] = _checked(
        path, lambda text: tuple(map(_from_record, json.loads(text)["prices"]))
    )
    if not found:
        raise PriceError(f"{path}: no prices in it")
    return found


def load_overrides(data: Sequence[Price], path: Path = OVERRIDES) -> tuple[Price, ...]:
    """The prices and aliases of the override file.

    Args:
        data: what aliases may stand for, beside the file's own prices.
    """
    document = _checked(path, tomllib.loads)
    prices = _checked(path, lambda _: tuple(_from_toml(entry) for entry in document.get("price", ())))
    aliases = _checked(path, lambda _: tuple(_alias(entry) for entry in document.get("alias", ())))
    return (*prices, *_checked(path, lambda _: tuple(expand_aliases((*data, *prices), aliases))))


def _checked(path: Path, read: Any) -> Any:
    try:
        return read(path.read_text(encoding="utf-8"))
    except PriceError as error:
        raise PriceError(f"{path}: {error}") from error
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise PriceError(f"{path}: not a price file: {error!r}") from error


def catalogue_text(prices: Iterable[Price], source: str, as_of: date) -> str:
    """The catalogue file: one price a line, so that a change of price is a change of a line."""
    head = {"source": source, "as_of": as_of.isoformat()}
    lines = ",\n".join(json.dumps(_record(price), separators=(",", ":")) for price in prices)
    return json.dumps(head)[:-1] + f', "prices": [\n{lines}\n]}}\n'


def catalogue_source(path: Path = CATALOGUE) -> str:
    """Whose data the catalogue is, and of which day."""
    head = _checked(path, json.loads)
    return f"{head['source']} of {head['as_of']}"


def write_catalogue(text: str, path: Path = CATALOGUE) -> None:
    """Put the file in place whole or not at all."""
    beside = path.with_suffix(".new")
    beside.write_text(text, encoding="utf-8")
    beside.replace(path)


def _record(price: Price) -> dict[str, Any]:
    record: dict[str, Any] = {"provider": price.provider, "model": price.model}
    if price.effective_from != DAWN:
        record["from"] = price.effective_from.date().isoformat()
    if price.names:
        record["names"] = list(price.names)
    if price.context_window:
        record["window"] = price.context_window
    record["rates"] = card_record(price.card)
    if price.tiers:
        record["tiers"] = {tier: card_record(card) for tier, card in sorted(price.tiers.items())}
    return record


def _from_record(record: Mapping[str, Any]) -> Price:
    model = record["model"]
    begin = date.fromisoformat(record["from"]) if "from" in record else None
    return Price(
        model=model,
        effective_from=DAWN if begin is None else _midnight(model, begin),
        card=card_from(model, record["rates"]),
        tiers={tier: card_from(model, card) for tier, card in record.get("tiers", {}).items()},
        provider=record["provider"],
        names=tuple(record.get("names", ())),
        context_window=record.get("window"),
    )


def _from_toml(entry: Mapping[str, Any]) -> Price:
    model = str(entry["model"]).lower()
    rates = {kind: value for kind, value in entry.items() if kind in (*KINDS, "above")}
    tiers = {tier: card_from(model, card) for tier, card in entry.get("tiers", {}).items()}
    names = tuple(str(name).lower() for name in entry.get("names", ()))
    window = entry.get("context_window")
    card = card_from(model, rates)
    return Price(**_common(model, entry), card=card, tiers=tiers, names=names, context_window=window)


def _alias(entry: Mapping[str, Any]) -> Price:
    model = str(entry["model"]).lower()
    return Price(**_common(model, entry), card=Card(Rates()), alias_of=str(entry["stands_for"]).lower())


def _common(model: str, entry: Mapping[str, Any]) -> dict[str, Any]:
    missing = [name for name in _WHY if not entry.get(name)]
    if missing:
        raise PriceError(f"model {model!r}: {missing[0]} is missing; an override says why, by whom and when")
    return {
        "model": model,
        "effective_from": _midnight(model, entry["effective_from"]) if "effective_from" in entry else DAWN,
        "provider": str(entry["provider"]),
        "origin": "override",
        **{name: str(entry[name]) for name in _WHY},
    }


def _midnight(model: str, day: object) -> datetime:
    if not isinstance(day, date) or isinstance(day, datetime):
        raise PriceError(f"model {model!r}: effective_from = {day!r} is not a day like 2026-08-22")
    return datetime.combine(day, time(), tzinfo=UTC)


def configured(model: str, given: ConfiguredPrice) -> Price:
    """A price from the configuration: it holds for all time and for every tier.

    Raises: PriceError.
    """
    rates = {
        "input": (given.prompt_per_1m, "prompt_per_1m"),
        "output": (given.completion_per_1m, "completion_per_1m"),
        "cached_input": (given.cached_prompt_per_1m, "cached_prompt_per_1m"),
        "cache_write": (given.cache_write_per_1m, "cache_write_per_1m"),
        "cache_write_1h": (given.cache_write_1h_per_1m, "cache_write_1h_per_1m"),
    }
    card = Card(Rates(**{k: plausible(model, name, v) for k, (v, name) in rates.items() if v is not None}))
    return Price(model.lower(), DAWN, card, provider=canonical(given.provider or ""), origin="config")


def current_book(given: Mapping[str, ConfiguredPrice]) -> PriceBook:
    """The prices that Quotascope brings, under those of the configuration. Raises: PriceError."""
    if not given:
        return _brought(CATALOGUE, _stamp(CATALOGUE), OVERRIDES, _stamp(OVERRIDES))
    return book(load_seed(), [configured(model, price) for model, price in given.items()])


@lru_cache(maxsize=1)
def _brought(*files: Any) -> PriceBook:
    """Made once: thousands of prices are sorted by their names."""
    return book(_loaded(*files))


def book(seed: Sequence[Price], overrides: Sequence[Price] = ()) -> PriceBook:
    """Prices as a book.

    Raises: PriceError where one name has two prices from the same day on; names ignore case.
    """
    seen: set[tuple[str, str, datetime, str]] = set()
    for price in (*seed, *overrides):
        key = (price.provider, price.model, price.effective_from, price.origin)
        if key in seen:
            raise PriceError(f"model {price.model!r} has two prices from {price.effective_from:%Y-%m-%d} on")
        seen.add(key)
    return PriceBook((*seed, *overrides))
