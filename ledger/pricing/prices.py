"""The price book: which price holds for a model at a time.

Prices come from `prices.toml` beside this file, overridden by the configuration's `[pricing.models]`.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Any, Protocol

from ledger.errors import PriceError

SEED_FILE = Path(__file__).with_name("prices.toml")
DAWN = datetime(2000, 1, 1, tzinfo=UTC)
"""`effective_from` of a price that holds for all time, as a configured one does."""

MOST_USD_PER_1M = Decimal(10_000)
LEAST_USD_PER_1M = Decimal("0.001")
"""Outside of these a price is taken for a slip of unit (per token, per thousand) and refused."""

MOST_FACTOR = 100
"""No tier and no long context makes a request dearer by more; a larger factor is a percentage."""

LONG_CONTEXT_ABOVE = 272_000
"""Input tokens above which long-context factors apply (the providers' price pages, 2026-09-30)."""

_SNAPSHOT = re.compile(r"-(\d{4}-\d{2}-\d{2}|\d{8})$")


@dataclass(frozen=True, slots=True)
class Price:
    """What one model costs from one moment on, in US dollars per million tokens.

    Attributes:
        model: a name, lower case; with a trailing `*` it matches every name that begins so.
        effective_from: aware UTC, always a midnight, so that a day has one price.
        cached_input: None means that cached input costs as much as input.
        tiers: factor on the whole price by service tier; a tier not named here costs the plain price.
        origin: "seed" or "config".
    """

    model: str
    effective_from: datetime
    input: Decimal
    output: Decimal
    cached_input: Decimal | None = None
    long_input_factor: Decimal = Decimal(1)
    long_output_factor: Decimal = Decimal(1)
    tiers: Mapping[str, Decimal] = field(default_factory=dict)
    origin: str = "seed"


class PriceBook:
    """An immutable set of prices with one lookup rule.

    A model is looked up by its exact name, then without a dated snapshot suffix, then by the longest
    pattern (`gpt-9*`). Of a name's prices the newest that is already in force is taken. A configured
    price beats a seeded one of the same name. Names are compared without regard to case.
    """

    def __init__(self, prices: Iterable[Price]) -> None:
        entries = list(prices)
        configured = {p.model for p in entries if p.origin == "config"}
        self.prices = tuple(p for p in entries if p.origin == "config" or p.model not in configured)
        self._names: dict[str, tuple[Price, ...]] = {}
        for price in sorted(self.prices, key=lambda p: p.effective_from, reverse=True):
            self._names[price.model] = (*self._names.get(price.model, ()), price)
        self._patterns = sorted((n[:-1] for n in self._names if n.endswith("*")), key=len, reverse=True)
        self._resolved: dict[str, tuple[Price, ...]] = {}

    def find(self, model: str, at: datetime) -> Price | None:
        """The price of a model at a moment (aware UTC); None where no price is known."""
        candidates = self._resolved.get(model)
        if candidates is None:
            candidates = self._resolve(model.lower())
            if len(self._resolved) < 10_000:  # callers choose model names: never grow without end
                self._resolved[model] = candidates
        for price in candidates:
            if price.effective_from <= at:
                return price
        return None

    def _resolve(self, model: str) -> tuple[Price, ...]:
        for name in (model, _SNAPSHOT.sub("", model)):
            if name in self._names:
                return self._names[name]
        for prefix in self._patterns:
            if model.startswith(prefix):
                return self._names[prefix + "*"]
        return ()


def load_seed(path: Path = SEED_FILE) -> tuple[Price, ...]:
    """Read a price file.

    Raises: PriceError naming the file, the model and what is wrong.
    """
    try:
        document = tomllib.loads(path.read_text(encoding="utf-8"))
        return tuple(_from_toml(entry, document) for entry in document["price"])
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise PriceError(f"{path}: not a price file: {error!r}") from error
    except PriceError as error:
        raise PriceError(f"{path}: {error}") from error


def configured(
    model: str, prompt_per_1m: Decimal, cached_prompt_per_1m: Decimal | None, completion_per_1m: Decimal
) -> Price:
    """A price from the configuration: it holds for all time and for every tier.

    Raises: PriceError.
    """
    return Price(
        model=model.lower(),
        effective_from=DAWN,
        input=plausible(model, "prompt_per_1m", prompt_per_1m),
        cached_input=None
        if cached_prompt_per_1m is None
        else plausible(model, "cached_prompt_per_1m", cached_prompt_per_1m),
        output=plausible(model, "completion_per_1m", completion_per_1m),
        origin="config",
    )


class Given(Protocol):
    """A model's price as the configuration has it; US dollars per million tokens."""

    @property
    def prompt_per_1m(self) -> Decimal: ...
    @property
    def cached_prompt_per_1m(self) -> Decimal | None: ...
    @property
    def completion_per_1m(self) -> Decimal: ...


def current_book(given: Mapping[str, Given]) -> PriceBook:
    """The prices that Quotascope brings, under those of the configuration. Raises: PriceError."""
    overrides = [
        configured(model, p.prompt_per_1m, p.cached_prompt_per_1m, p.completion_per_1m)
        for model, p in given.items()
    ]
    return book(load_seed(), overrides)


def plausible(model: str, name: str, value: object) -> Decimal:
    """A rate as Decimal; zero is allowed (a local model).

    Raises: PriceError when it is no number or not in dollars per million tokens.
    """
    try:
        rate = Decimal(str(value))
    except InvalidOperation as error:
        raise PriceError(f"model {model!r}: {name} = {value!r} is not a number") from error
    if not rate.is_finite() or (rate != 0 and not LEAST_USD_PER_1M <= rate <= MOST_USD_PER_1M):
        raise PriceError(
            f"model {model!r}: {name} = {value} is implausible; "
            f"give US dollars per million tokens, 0 or {LEAST_USD_PER_1M} to {MOST_USD_PER_1M}"
        )
    return rate


def _from_toml(entry: Mapping[str, Any], document: Mapping[str, Any]) -> Price:
    model = str(entry["model"]).lower()
    long_context = document["long_context"] if entry.get("long_context", False) else {}
    tiers = {**document.get("tiers", {}), **entry.get("tiers", {})}
    cached = entry.get("cached_input")
    return Price(
        model=model,
        effective_from=_midnight(model, entry["effective_from"]),
        input=plausible(model, "input", entry["input"]),
        cached_input=None if cached is None else plausible(model, "cached_input", cached),
        output=plausible(model, "output", entry["output"]),
        long_input_factor=_factor(model, "long_context.input_factor", long_context.get("input_factor", 1)),
        long_output_factor=_factor(model, "long_context.output_factor", long_context.get("output_factor", 1)),
        tiers={name: _factor(model, f"tiers.{name}", factor) for name, factor in tiers.items()},
    )


def _factor(model: str, name: str, value: object) -> Decimal:
    try:
        factor = Decimal(str(value))
    except InvalidOperation:
        factor = Decimal("nan")
    if not factor.is_finite() or not 0 <= factor <= MOST_FACTOR:
        raise PriceError(f"model {model!r}: {name} = {value!r} is not a factor from 0 to {MOST_FACTOR}")
    return factor


def _midnight(model: str, day: object) -> datetime:
    if not isinstance(day, date) or isinstance(day, datetime):
        raise PriceError(f"model {model!r}: effective_from = {day!r} is not a day like 2026-08-22")
    return datetime.combine(day, time(), tzinfo=UTC)


def book(seed: Sequence[Price], overrides: Sequence[Price] = ()) -> PriceBook:
    """The seeded prices under the configured ones.

    Raises: PriceError where one name has two prices from the same day on; names ignore case.
    """
    seen: set[tuple[str, datetime, str]] = set()
    for price in (*seed, *overrides):
        key = (price.model, price.effective_from, price.origin)
        if key in seen:
            raise PriceError(f"model {price.model!r} has two prices from {price.effective_from:%Y-%m-%d} on")
        seen.add(key)
    return PriceBook((*seed, *overrides))
