"""Texts that are stored once: the numbers of callers, kinds, details and sessions.

A number that was given out is never taken back, so what is known stays true; except for those that a
transaction has given out which then failed: they count as known only when another transaction has seen them.
Sessions that no request is left of are forgotten (`ledger.upkeep.retention`): their numbers are not given out
again, and who has stored one that was forgotten meanwhile asks for another (`Dictionary.renumbered`).
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from hashlib import blake2b
from json import dumps
from typing import Any

from sqlalchemy import Connection, String, Table, select

from ledger.pricing.counts import sensible
from ledger.request_tables import request_callers, request_details, request_kinds, request_sessions
from ledger.schema import versions
from ledger.store import insert_into


def cut(text: str | None, most: int) -> str | None:
    """Bounded, valid UTF-8, without NUL. Callers choose these words."""
    if text is None or (len(text) <= most and text.isascii() and "\0" not in text):
        return text
    return text[:most].encode("utf-8", "replace").decode("utf-8").replace("\0", "")


def units_text(units: Mapping[str, Decimal] | None) -> str | None:
    """A JSON object whose numbers are those of the Decimals, digit by digit; what is no count is left out."""
    if not units:
        return None
    found = {name: number for name, number in sorted(units.items()) if sensible(number)}
    return "{" + ", ".join(f"{json.dumps(name)}: {n:f}" for name, n in found.items()) + "}" if found else None


def units_of(text: str | None) -> Mapping[str, Decimal] | None:
    """The units of such a text."""
    return json.loads(text, parse_float=Decimal, parse_int=Decimal) if text else None


MAX_KNOWN = 100_000
"""Entries remembered of one table; callers choose texts, so there is no natural end."""

AT_ONCE = 500
"""Digests in one question: databases bound the number of parameters."""

Values = tuple[Any, ...]


@dataclass(slots=True)
class _Known:
    """What a connection knows of one table."""

    numbers: dict[Values, int] = field(default_factory=dict)
    fresh: dict[Values, int] = field(default_factory=dict)
    given: set[bytes] = field(default_factory=set)  # digests of what is fresh
    transaction: Any = None
    forgotten: int | None = None  # how often entries had been, when the first of `numbers` was learned


class Dictionary:
    """One table of texts that are stored once.

    Args:
        forgets: the name of the version that is raised whenever entries are forgotten; "": none ever is.
    """

    def __init__(self, table: Table, forgets: str = "") -> None:
        self.table, self.forgets = table, forgets
        self.columns = tuple(column for column in table.columns if column.name not in ("id", "digest"))
        self._lengths = [c.type.length if isinstance(c.type, String) else None for c in self.columns]

    def numbers(self, connection: Connection, wanted: Iterable[Values]) -> dict[Values, int]:
        """The numbers of some entries by their values, as given; those that are new get one.

        Args:
            wanted: values of the columns without number and digest, in their order.
        """
        known = self._known(connection)
        if not known.numbers and self.forgets:
            known.forgotten = self._forgotten(connection)
        missing = {v for v in wanted if v not in known.numbers and v not in known.fresh}
        if missing:
            self._learn(connection, known, missing)
        return {**known.numbers, **known.fresh} if known.fresh else known.numbers

    def renumbered(self, connection: Connection, used: Mapping[Values, int]) -> dict[int, int]:
        """Of these numbers, those whose entries were forgotten before this transaction stored rows with them,
        and the new ones. Until it ends nothing is forgotten."""
        known, forgotten = self._known(connection), self._forgotten(connection)
        if forgotten == known.forgotten:
            return {}
        known.numbers = {}
        now = self.numbers(connection, used)
        return {number: now[values] for values, number in used.items() if now[values] != number}

    def _forgotten(self, connection: Connection) -> int | None:
        query = select(versions.c.version).where(versions.c.name == self.forgets)
        return connection.execute(query).scalar()

    def _known(self, connection: Connection) -> _Known:
        """What is known, without what a transaction gave out that is over: it may have failed."""
        known: _Known = connection.info.setdefault(("dictionary", self.table.name), _Known())
        transaction = connection.get_transaction()
        if known.transaction is not transaction or transaction is None:
            known.fresh.clear()
            known.given.clear()
            known.transaction = transaction
        if len(known.numbers) > MAX_KNOWN:
            known.numbers = {}  # not cleared: a caller may hold it
        return known

    def _learn(self, connection: Connection, known: _Known, missing: set[Values]) -> None:
        clean = {values: self._clean(values) for values in missing}
        digests = {values: digest(clean[values]) for values in missing}
        stored = self._stored(connection, digests.values())
        for values, found in digests.items():
            if found in stored:
                # What is longer than its column is asked for again: callers send texts of any length
                lasts = found not in known.given and values == clean[values]
                (known.numbers if lasts else known.fresh)[values] = stored[found]
        new = {digests[v]: clean[v] for v in missing if digests[v] not in stored}
        if new:
            self._insert(connection, new)
            stored = self._stored(connection, new)
            known.fresh.update({v: stored[d] for v, d in digests.items() if d in stored})
            known.given.update(new)

    def _clean(self, values: Values) -> Values:
        """As every store takes them."""
        return tuple(
            cut(value, length) if isinstance(value, str) and length else value
            for value, length in zip(values, self._lengths, strict=True)
        )

    def _stored(self, connection: Connection, digests: Iterable[bytes]) -> dict[bytes, int]:
        table, wanted = self.table.c, list(digests)
        found: dict[bytes, int] = {}
        for start in range(0, len(wanted), AT_ONCE):
            some = table.digest.in_(wanted[start : start + AT_ONCE])
            rows = connection.execute(select(table.digest, table.id).where(some))
            found.update({bytes(row.digest): row.id for row in rows})
        return found

    def _insert(self, connection: Connection, new: dict[bytes, Values]) -> None:
        """In the order of the digests: two processes that add the same ones never wait for each other."""
        names = [column.name for column in self.columns]
        rows = [{"digest": d, **dict(zip(names, new[d], strict=True))} for d in sorted(new)]
        connection.execute(insert_into(connection, self.table).on_conflict_do_nothing(), rows)


def digest(values: Sequence[Any]) -> bytes:
    """What an entry is found by."""
    return blake2b(dumps(values, ensure_ascii=True).encode(), digest_size=16).digest()


CALLERS = Dictionary(request_callers)
KINDS = Dictionary(request_kinds)
DETAILS = Dictionary(request_details)
SESSIONS = Dictionary(request_sessions, "sessions_forgotten")
