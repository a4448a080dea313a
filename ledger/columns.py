"""Types of columns, and the one collection of all tables."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

from sqlalchemy import BigInteger, DateTime, Dialect, Integer, MetaData, String
from sqlalchemy.types import TypeDecorator

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


def micros(moment: datetime) -> int:
    """Microseconds since 1970 of an aware moment."""
    return (moment - EPOCH) // _MICROSECOND


def moment(micros: int) -> datetime:
    """Microseconds since 1970 as aware UTC. Raises: OverflowError beyond the calendar."""
    return EPOCH + micros * _MICROSECOND


class UtcDateTime(TypeDecorator[datetime]):
    """Aware UTC in Python, naive UTC in the store: `YYYY-MM-DD HH:MM:SS.ffffff` as text in SQLite."""

    impl = DateTime
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        return None if value is None else value.astimezone(UTC).replace(tzinfo=None)

    def process_result_value(self, value: Any, dialect: Dialect) -> datetime | None:
        return None if value is None else value.replace(tzinfo=UTC)


class ExactDecimal(TypeDecorator[Decimal]):
    """A Decimal as text: SQLite has no exact numbers, and money is never a float here."""

    impl = String(40)
    cache_ok = True

    def process_bind_param(self, value: Decimal | None, dialect: Dialect) -> str | None:
        return None if value is None else str(value)

    def process_result_value(self, value: Any, dialect: Dialect) -> Decimal | None:
        return None if value is None else Decimal(value)


# SQLite numbers rows by itself only under a column declared INTEGER
RowId = BigInteger().with_variant(Integer(), "sqlite")


class Micros(TypeDecorator[datetime]):
    """Aware UTC in Python, microseconds since 1970 in the store: short, and compared as a number."""

    impl = BigInteger
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> int | None:
        return None if value is None else micros(value)

    def process_result_value(self, value: Any, dialect: Dialect) -> datetime | None:
        return None if value is None else moment(int(value))


class HexId(TypeDecorator[str]):
    """An id that is text. In SQLite one of 32 lower hexadecimal digits, as ours are, takes 16 bytes."""

    impl = String(200)
    cache_ok = True

    def process_bind_param(self, value: str | None, dialect: Dialect) -> str | bytes | None:
        return packed(value) if dialect.name == "sqlite" else value

    def process_result_value(self, value: Any, dialect: Dialect) -> str | None:
        return value.hex() if isinstance(value, bytes) else value


def packed(id: str | None) -> str | bytes | None:
    """An id as SQLite stores it."""
    if id is None or len(id) != 32:
        return id
    try:
        digits = bytes.fromhex(id)
    except ValueError:
        return id
    return digits if digits.hex() == id else id  # it takes spaces and capitals, too


metadata = MetaData()
