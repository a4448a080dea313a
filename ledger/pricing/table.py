"""The table `prices`: what running services price by. It is written when a proxy starts and when prices are
updated, and read again when its version has changed."""

from __future__ import annotations

import json
import logging
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from decimal import Decimal
from functools import lru_cache
from typing import Any

from sqlalchemy import Connection, DateTime, String, delete, insert, select, type_coerce, update

from ledger.columns import ExactDecimal, UtcDateTime
from ledger.errors import PriceError
from ledger.pricing.names import fits, spellings
from ledger.pricing.prices import PER, Card, Price, PriceBook, Rates
from ledger.pricing.records import card_from, card_record, rates_from, rates_record
from ledger.schema import prices, versions

NAME = "prices"

log = logging.getLogger("quotascope.prices")

COLUMNS = {
    "input": "prompt_per_1m",
    "output": "completion_per_1m",
    "cached_input": "cached_prompt_per_1m",
    "cache_write": "cache_write_per_1m",
    "cache_write_1h": "cache_write_1h_per_1m",
    "audio_input": "audio_prompt_per_1m",
    "audio_output": "audio_completion_per_1m",
    "image_input": "image_prompt_per_1m",
    "image_output": "image_completion_per_1m",
}
"""The plain rates of tokens that have a column of their own."""


_COLUMNS = tuple(column for column in prices.c if column.name != "id")
_PLAIN: dict[type, Any] = {ExactDecimal: String, UtcDateTime: DateTime}


def version(connection: Connection) -> int:
    """The number of the prices as they are now; it only ever grows. 0: never written."""
    found = connection.execute(select(versions.c.version).where(versions.c.name == NAME)).scalar()
    return int(found or 0)


def replace_prices(connection: Connection, book: Iterable[Price], currency: str = "USD") -> bool:
    """Make the table hold exactly these prices; whether that changed it.

    Raises: PriceError where there are none: the table then stays as it is.
    """
    return _replace(connection, *_rows(book, currency))


def _rows(book: Iterable[Price], currency: str) -> tuple[list[dict[str, Any]], Counter[tuple[object, ...]]]:
    """As they are written, and as they are read again."""
    rows = [_row(price, currency) for price in book]
    return rows, Counter(map(_as_stored, rows))


@lru_cache(maxsize=2)
def _rows_of(book: PriceBook, currency: str) -> tuple[list[dict[str, Any]], Counter[tuple[object, ...]]]:
    """The same of a book, which never changes: a service asks for them whenever its ledger is a new one."""
    return _rows(book.prices, currency)


def _replace(
    connection: Connection, rows: list[dict[str, Any]], as_stored: Counter[tuple[object, ...]]
) -> bool:
    if not rows:
        raise PriceError("there are no prices to store; those of before stay in force")
    # Whoever else writes them waits here, and then sees these: on a server both would add the same rows.
    connection.execute(update(versions).where(versions.c.name == NAME).values(version=versions.c.version))
    if version(connection) and _stored(connection) == as_stored:
        return False
    connection.execute(delete(prices))
    connection.execute(insert(prices), rows)
    _advance(connection)
    return True


def price_book(connection: Connection, models: Iterable[str] | None = None) -> PriceBook:
    """The prices as stored. Raises: PriceError for a row that is none, and where there is no row.

    Args:
        models: read only what these are priced by, in a fifth of the time; None: all.
    """
    query = select(prices).order_by(prices.c.id)
    if models is None:
        found = PriceBook(map(_price, connection.execute(query)))
        if not found.prices:
            raise PriceError("the table prices is empty")
        return found
    table = prices.c
    names = connection.execute(select(table.id, table.provider, table.model_prefix, table.names)).fetchall()
    if not names:
        raise PriceError("the table prices is empty")
    wanted = {spelling.name for model in models for spelling in spellings(model)}
    beside = "\n".join(wanted)
    chosen = [number for number, _, name, more in names if _concerns(name, more, wanted, beside)]
    rows = connection.execute(query.where(table.id.in_(chosen)))
    return PriceBook(map(_price, rows), frozenset(provider for _, provider, _, _ in names))


def _concerns(name: str, more: str, wanted: set[str], beside: str) -> bool:
    """Whether a name that is looked for may lead to a row.

    Args:
        more: the row's other names, as they are stored.
        beside: all that are looked for as one text: what is nowhere in it is in none of them.
    """
    names = (name, *(json.loads(more) if more != "[]" else ()))
    if not wanted.isdisjoint(names):
        return True
    patterns = [one for one in names if "*" in one and one.strip("*") in beside]
    return any(fits(pattern, one) for pattern in patterns for one in wanted)


def _advance(connection: Connection) -> None:
    raised = versions.c.version + 1
    connection.execute(update(versions).where(versions.c.name == NAME).values(version=raised))


def _row(price: Price, currency: str) -> dict[str, Any]:
    """In the order of the columns."""
    card = price.card
    return {
        "provider": price.provider,
        "model_prefix": price.model,
        "effective_from": price.effective_from,
        "currency": currency,
        **{column: getattr(card.rates, kind) for kind, column in COLUMNS.items()},
        "context_tiers": _json({str(step): rates_record(rates) for step, rates in card.above}),
        "tiers": _json({tier: card_record(tier_card) for tier, tier_card in sorted(price.tiers.items())}),
        "units": _json(rates_record(card.rates, PER)),
        "names": _json(list(price.names)),
        "alias_of": price.alias_of,
        "origin": price.origin,
        "context_window": price.context_window,
        "reason": price.reason,
        "source": price.source,
        "as_of": price.as_of,
    }


def _price(row: Any) -> Price:
    model = row.model_prefix
    try:
        plain = {kind: getattr(row, column) for kind, column in COLUMNS.items()}
        units = asdict(rates_from(model, json.loads(row.units)))
        rates = Rates(**{**plain, **{kind: units[kind] for kind in PER}})
        above = card_from(model, {"above": json.loads(row.context_tiers)}).above
        tiers = {tier: card_from(model, card) for tier, card in json.loads(row.tiers).items()}
        names = tuple(json.loads(row.names))
    except (ValueError, TypeError, AttributeError) as error:
        raise PriceError(f"model {model!r}: its row in the table prices cannot be read: {error!r}") from error
    return Price(
        model=model,
        effective_from=row.effective_from,
        card=Card(rates, above),
        tiers=tiers,
        provider=row.provider,
        names=names,
        alias_of=row.alias_of,
        context_window=row.context_window,
        origin=row.origin,
        reason=row.reason,
        source=row.source,
        as_of=row.as_of,
    )


def _stored(connection: Connection) -> Counter[tuple[object, ...]]:
    """The rows as the database holds them: making Decimals and moments of them takes four times as long."""
    plain = (type_coerce(column, _PLAIN.get(type(column.type), column.type)) for column in _COLUMNS)
    return Counter(map(tuple, connection.execute(select(*plain))))


def _as_stored(row: dict[str, Any]) -> tuple[object, ...]:
    plain = {**row, "effective_from": row["effective_from"].replace(tzinfo=None)}
    return tuple(str(value) if isinstance(value, Decimal) else value for value in plain.values())


def _json(value: dict[str, Any] | Sequence[str]) -> str:
    return json.dumps(value, separators=(",", ":")) if value else str(value)  # most are empty


class CurrentPrices:
    """A price book that follows the table `prices`. Reading it is one attribute, from any thread."""

    def __init__(self, book: PriceBook) -> None:
        self.book = self._own = book
        self._version = 0

    def store(self, connection: Connection, currency: str = "USD") -> None:
        """Make the prices that it began with those of the ledger. Raises: PriceError where there are none."""
        _replace(connection, *_rows_of(self._own, currency))
        self.book, self._version = self._own, version(connection)

    def follow(self, connection: Connection) -> bool:
        """Take the stored prices where they have changed; whether they had. Of a table that cannot be used
        nothing is taken: it is said once, and looked at again when it has changed again."""
        found = version(connection)
        if found in (0, self._version):  # 0: nothing was ever stored
            return False
        self._version = found
        try:
            self.book = price_book(connection)
        except PriceError as error:
            log.error("the stored prices cannot be used, those of before stay in force: %s", error)
            return False
        return True

    def forget(self) -> None:
        """The store is another one: take its prices the next time, whatever their version."""
        self._version = 0
