"""What models cost: rates, the price of a model from a day on, and the book in which prices are looked up."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from decimal import Decimal

from ledger.pricing.names import Spelling, fits, pattern_length, scopes, spellings

DAWN = datetime(2000, 1, 1, tzinfo=UTC)
"""`effective_from` of a price that holds for all time, as a configured one does."""

ORIGINS = ("data", "override", "config")
"""Where a price may come from. Of one name and provider, the last of these that has a price is taken."""

MAX_RESOLVED = 10_000
"""Names remembered: callers choose them, so there is no natural end."""


@dataclass(frozen=True, slots=True)
class Rates:
    """US dollars: of token kinds per million, of the others as `PER` says. None of a part of the input or
    output: it costs what the rest of it costs; of `cache_write_1h`: as `cache_write`; of others: nothing."""

    input: Decimal = Decimal(0)
    output: Decimal = Decimal(0)
    cached_input: Decimal | None = None
    cache_write: Decimal | None = None
    cache_write_1h: Decimal | None = None
    audio_input: Decimal | None = None
    audio_output: Decimal | None = None
    image_input: Decimal | None = None
    image_output: Decimal | None = None
    web_searches: Decimal | None = None
    file_searches: Decimal | None = None
    characters: Decimal | None = None
    pages: Decimal | None = None
    audio_ms: Decimal | None = None
    requests: Decimal | None = None


PER = {
    "web_searches": 1_000,
    "file_searches": 1_000,
    "characters": 1_000_000,
    "pages": 1_000,
    "audio_ms": 3_600_000,
    "requests": 1_000,
}
"""How many of a kind its rate is for; of tokens it is for a million."""


@dataclass(frozen=True, slots=True)
class Card:
    """The rates of one tier.

    Attributes:
        above: rates by context step, ascending: from the highest step that a request's input is more than,
            the whole request is priced.
    """

    rates: Rates
    above: tuple[tuple[int, Rates], ...] = ()

    def at(self, context_above: int) -> Rates:
        """The rates for inputs of a context step."""
        found = self.rates
        for step, rates in self.above:
            if context_above >= step:
                found = rates
        return found


@dataclass(frozen=True, slots=True)
class Price:
    """What one model costs from one moment on.

    Attributes:
        model: a name in lower case, or a pattern with `*` at an end.
        effective_from: aware UTC, always a midnight, so that a day has one price.
        tiers: rates by billed service tier; a tier that is not named costs as none does.
        provider: whose price it is; "" where it holds for whatever provider.
        names: other names and patterns that mean this model.
        alias_of: the model that this name stands for from this moment on.
        context_window: the most input tokens that the model takes; None where it is not known.
        reason, source, as_of: why it overrides the price data, and where and when that was read.
    """

    model: str
    effective_from: datetime
    card: Card
    tiers: Mapping[str, Card] = field(default_factory=dict)
    provider: str = ""
    names: tuple[str, ...] = ()
    alias_of: str | None = None
    origin: str = "data"
    context_window: int | None = None
    reason: str | None = None
    source: str | None = None
    as_of: str | None = None

    @property
    def rates(self) -> Rates:
        """The plain rates: no tier, no long context."""
        return self.card.rates

    def card_of(self, tier: str | None) -> Card:
        """The rates of a billed tier; `fast` is priced as `priority` unless it has rates of its own."""
        name = (tier or "").lower()
        card = self.tiers.get(name)
        if card is None and name == "fast":
            card = self.tiers.get("priority")
        return card or self.card

    def rates_for(self, tier: str | None, context_above: int) -> Rates:
        """The rates of a billed tier and a context step."""
        return self.card_of(tier).at(context_above)


def flat(
    model: str,
    effective_from: datetime,
    input_usd: Decimal,
    output_usd: Decimal,
    cached_usd: Decimal | None = None,
    *,
    origin: str = "data",
    provider: str = "",
) -> Price:
    """A price without tiers and long context; US dollars per million tokens."""
    card = Card(Rates(input=input_usd, output=output_usd, cached_input=cached_usd))
    return Price(model, effective_from, card, origin=origin, provider=provider)


@dataclass(frozen=True, slots=True)
class Found:
    """A price, and how the model led to it.

    Attributes:
        how: `exact` alone, or what had to be done: `provider prefix stripped`, `date stripped`, `alias`,
            `prefix`; and `override` or `config` where the price is not the price data's.
    """

    price: Price
    how: tuple[str, ...]


class PriceBook:
    """An immutable set of prices with one lookup rule.

    A model is looked up with its provider, or where that is not known, with the makers of models in a fixed
    order: by its exact name, with its date written in the other form, without its date, without a provider's
    prefix, then by the longest pattern. Of a name's prices the newest that is already in force is taken.
    """

    def __init__(self, prices: Iterable[Price], providers: frozenset[str] = frozenset()) -> None:
        """Args: providers: of prices that were left out: no model that is asked for leads to them."""
        self.prices = tuple(prices)
        self._names: dict[tuple[str, str], tuple[Price, ...]] = {}
        patterns: dict[str, list[str]] = {}
        for (provider, name), entries in _by_name(self.prices).items():
            best = max(entries, key=lambda p: ORIGINS.index(p.origin)).origin
            kept = sorted((p for p in entries if p.origin == best), key=lambda p: p.effective_from)
            self._names[provider, name] = tuple(reversed(kept))
            if "*" in name:
                patterns.setdefault(provider, []).append(name)
        self._patterns = {p: sorted(names, key=pattern_length, reverse=True) for p, names in patterns.items()}
        self.providers = providers | {provider for provider, _ in self._names}
        self._resolved: dict[tuple[str, str | None], tuple[tuple[Price, ...], tuple[str, ...]]] = {}

    def find(self, model: str, at: datetime, provider: str | None = None) -> Price | None:
        """The price of a model at a moment (aware UTC); None where no price is known."""
        found = self.look_up(model, at, provider)
        return None if found is None else found.price

    def look_up(self, model: str, at: datetime, provider: str | None = None) -> Found | None:
        """As `find`, with how it was found."""
        key = (model, provider)
        resolved = self._resolved.get(key)
        if resolved is None:
            resolved = self._resolve(model, provider)
            if len(self._resolved) < MAX_RESOLVED:
                self._resolved[key] = resolved
        prices, how = resolved
        price = next((p for p in prices if p.effective_from <= at), None)
        return None if price is None else Found(price, _how(price, how))

    def _resolve(self, model: str, provider: str | None) -> tuple[tuple[Price, ...], tuple[str, ...]]:
        tried = spellings(model)
        for spelling in tried:
            for scope in self._scopes(provider, spelling):
                entries = self._names.get((scope, spelling.name))
                if entries:
                    alias = spelling.name != entries[0].model
                    return entries, (*spelling.how, "alias") if alias else spelling.how
        for spelling in tried:
            for scope in self._scopes(provider, spelling):
                for pattern in self._patterns.get(scope, ()):
                    if fits(pattern, spelling.name):
                        return self._names[scope, pattern], (*spelling.how, "prefix")
        return (), ()

    def _scopes(self, provider: str | None, spelling: Spelling) -> tuple[str, ...]:
        return scopes(provider, spelling.provider, self.providers)


def _how(price: Price, how: tuple[str, ...]) -> tuple[str, ...]:
    if price.alias_of and "alias" not in how:
        how = (*how, "alias")
    if price.origin != "data":
        how = (*how, price.origin)
    return how or ("exact",)


def _by_name(prices: Iterable[Price]) -> dict[tuple[str, str], list[Price]]:
    """Prices by provider and each of their names. A price's own name goes before the same name given as
    another model's alias."""
    own: dict[tuple[str, str], list[Price]] = {}
    aliased: dict[tuple[str, str], list[Price]] = {}
    for price in prices:
        own.setdefault((price.provider, price.model), []).append(price)
        for name in price.names:
            aliased.setdefault((price.provider, name), []).append(price)
    return {**aliased, **own}


def expand_aliases(prices: Iterable[Price], aliases: Iterable[Price]) -> Iterator[Price]:
    """Price rows of names that stand for a model from a day on: one for each price that the model has while
    the name means it.

    Args:
        aliases: with `alias_of` set; their rates are ignored.
    """
    named = _by_name(prices)
    rows = sorted(aliases, key=lambda a: (a.provider, a.model, a.effective_from))
    for place, alias in enumerate(rows):
        after = rows[place + 1] if place + 1 < len(rows) else None
        same = after is not None and (after.provider, after.model) == (alias.provider, alias.model)
        until = after.effective_from if same and after is not None else None
        for price in _during(named[alias.provider, alias.alias_of or ""], alias.effective_from, until):
            begin = max(alias.effective_from, price.effective_from)
            window = price.context_window
            yield replace(
                alias, card=price.card, tiers=price.tiers, effective_from=begin, context_window=window
            )


def _during(prices: Iterable[Price], begin: datetime, end: datetime | None) -> Iterator[Price]:
    """The prices in force at some time in [begin, end)."""
    ordered = sorted(prices, key=lambda p: p.effective_from)
    for place, price in enumerate(ordered):
        following = ordered[place + 1].effective_from if place + 1 < len(ordered) else None
        if (end is None or price.effective_from < end) and (following is None or following > begin):
            yield price
