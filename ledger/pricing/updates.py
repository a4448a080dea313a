"""Newer price data against what we have: what would change, and whether it can be right."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path

from ledger.errors import PriceError
from ledger.pricing.files import CATALOGUE, catalogue_text, load_catalogue, write_catalogue
from ledger.pricing.library import library_prices, library_version
from ledger.pricing.prices import DAWN, Price
from ledger.pricing.records import card_record

MIN_KEPT = 0.9
"""Share of the models that newer data has to know too: libraries drop few, a broken one drops many."""

MAX_FACTOR = 20
MAX_LEAPS = 0.02
"""Share of the plain input and output rates that may change by more than a factor: if many do, it is the
unit that has changed."""

Key = tuple[str, str, datetime]


@dataclass(frozen=True, slots=True)
class Change:
    """What newer data has otherwise: one line for a person. `before` or `after` None: there is none."""

    provider: str
    model: str
    effective_from: datetime
    what: str
    before: str | None
    after: str | None

    def __str__(self) -> str:
        since = "" if self.effective_from == DAWN else f" from {self.effective_from:%Y-%m-%d}"
        values = f"{self.before or '-'} -> {self.after or '-'}"
        return f"{self.provider}/{self.model}{since}: {self.what} {values}"


def changes(before: Iterable[Price], after: Iterable[Price]) -> tuple[Change, ...]:
    """Every difference, by provider, model and day."""
    old, new = _by_key(before), _by_key(after)
    keys = sorted({*old, *new})
    return tuple(change for key in keys for change in _compared(key, old.get(key), new.get(key)))


def take(path: Path = CATALOGUE, *, today: date) -> tuple[Change, ...]:
    """Make the catalogue what the installed library says; what that changed.

    Raises: PriceError where the new data cannot be right: the catalogue then stays as it is.
    """
    before, after = load_catalogue(path), library_prices()
    check(before, after)
    found = changes(before, after)
    if found:
        write_catalogue(catalogue_text(after, library_version(), today), path)
    return found


def check(before: Iterable[Price], after: Iterable[Price]) -> None:
    """Raises: PriceError for data that is empty, that knows too few models, or whose unit has changed."""
    old, new = _by_key(before), _by_key(after)
    models = {(provider, model) for provider, model, _ in old}
    kept = models & {(provider, model) for provider, model, _ in new}
    if not new or len(kept) < MIN_KEPT * len(models):
        raise PriceError(
            f"the new price data knows {len(kept)} of {len(models)} models; at least {MIN_KEPT:.0%} of them "
            "have to be there; the prices of before stay in force"
        )
    both = [(old[key], new[key]) for key in old.keys() & new.keys()]
    leaps = sum(_leaps(one, other) for one, other in both)
    if leaps > MAX_LEAPS * len(both):
        raise PriceError(
            f"{leaps} of {len(both)} prices change by more than a factor of {MAX_FACTOR}, as if the unit had "
            "changed; the prices of before stay in force"
        )


def _leaps(one: Price, other: Price) -> bool:
    pairs = ((one.rates.input, other.rates.input), (one.rates.output, other.rates.output))
    return any(a and b and not 1 / MAX_FACTOR <= a / b <= MAX_FACTOR for a, b in pairs)


def _by_key(prices: Iterable[Price]) -> dict[Key, Price]:
    return {(price.provider, price.model, price.effective_from): price for price in prices}


def _compared(key: Key, before: Price | None, after: Price | None) -> Iterator[Change]:
    if before is None or after is None:
        yield Change(*key, "price", _plain(before), _plain(after))
        return
    old, new = _flat(before), _flat(after)
    for what in sorted({*old, *new}):
        if old.get(what) != new.get(what):
            yield Change(*key, what, old.get(what), new.get(what))


def _plain(price: Price | None) -> str | None:
    if price is None:
        return None
    return f"{price.rates.input:f} in, {price.rates.output:f} out"


def _flat(price: Price) -> dict[str, str]:
    """A price's figures by a name each: `input`, `above.272000.output`, `tiers.flex.input`."""
    cards = {"": price.card, **{f"tiers.{tier}.": card for tier, card in price.tiers.items()}}
    found = {name: text for start, card in cards.items() for name, text in _named(start, card_record(card))}
    if price.context_window:
        found["context_window"] = str(price.context_window)
    return found | ({"names": " ".join(sorted(price.names))} if price.names else {})


def _named(start: str, record: Mapping[str, object]) -> Iterator[tuple[str, str]]:
    for name, value in record.items():
        if isinstance(value, Mapping):
            yield from _named(f"{start}{name}.", value)
        else:
            yield f"{start}{name}", str(value)
