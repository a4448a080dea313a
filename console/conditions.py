"""The query string of every view, its filter, and the addresses that lead on from it. Pure.

A parameter carries the name of its column, and may be given more than once: any of its values will do.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, get_args
from urllib.parse import quote, urlencode

from console.errors import ChoiceError
from console.times import DEFAULT_FROM, DEFAULT_TO, Range, range_of, zone_of
from ledger.errors import FilterError
from ledger.requests.filter import DIMENSIONS, CacheState, RequestFilter
from ledger.values import Status

NONE = "(none)"
"""Stands for requests that have no such value."""

LIMITS = ("min_latency_ms", "max_latency_ms", "min_first_token_ms", "max_first_token_ms")
FLAGS = {"true": True, "false": False}
WORDS: Mapping[str, tuple[str, ...]] = {
    "status": get_args(Status),
    "cache": get_args(CacheState),
}
"""Conditions that have a closed list of values."""

RANGE = ("from", "to", "zone")
CONDITIONS = (*DIMENSIONS, "auth_file", "cache", "unusual_status", *LIMITS, "text")
"""Every parameter that narrows what is shown."""

Pairs = tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Selection:
    """What a page is about.

    Attributes:
        range: its time.
        where: the filter, the time included.
        pairs: the conditions as an address has them, without the time.
        default_zone: the zone where the address names none.
    """

    range: Range
    where: RequestFilter
    pairs: Pairs
    default_zone: str

    def values(self, name: str) -> tuple[str, ...]:
        return tuple(value for key, value in self.pairs if key == name)

    def having(self, name: str, value: Any) -> str:
        return self._query((*self._without(name), (name, written(value))))

    def without(self, name: str, value: str | None = None) -> str:
        return self._query(self._without(name, value))

    def over(self, start: str, end: str) -> str:
        return self._query(self.pairs, start, end)

    @property
    def query(self) -> str:
        return self._query(self.pairs)

    @property
    def cleared(self) -> str:
        """The query string of the same time without any condition."""
        return self._query(())

    def narrowed(self, pairs: Iterable[tuple[str, Any]]) -> str:
        """The query string with several conditions set."""
        kept = self.pairs
        added = tuple((name, written(value)) for name, value in pairs)
        for name, _ in added:
            kept = tuple(pair for pair in kept if pair[0] != name)
        return self._query((*kept, *added))

    def grafana(self, base: str, uid: str, variables: Mapping[str, str]) -> str:
        """A dashboard with the same time, and the conditions that it has a variable for.

        Args:
            base: where dashboards are, like http://127.0.0.1:3000/d.
            variables: condition -> name of the dashboard's variable.
        """
        asked = [("from", self._grafana_time(self.range.start)), ("to", self._grafana_time(self.range.end))]
        asked += [(f"var-{variables[name]}", value) for name, value in self.pairs if name in variables]
        return f"{base.rstrip('/')}/{uid}?{urlencode(asked)}"

    def _grafana_time(self, word: str) -> str:
        if word.startswith("now"):
            return word
        moment = self.range.since if word == self.range.start else self.range.until
        return str(int(moment.timestamp() * 1000))

    def _without(self, name: str, value: str | None = None) -> Pairs:
        return tuple((k, v) for k, v in self.pairs if k != name or (value is not None and v != value))

    def _query(self, pairs: Pairs, start: str | None = None, end: str | None = None) -> str:
        start, end = start or self.range.start, end or self.range.end
        found = [("from", start), ("to", end)] if (start, end) != (DEFAULT_FROM, DEFAULT_TO) else []
        if self.range.zone.key != self.default_zone:
            found.append(("zone", self.range.zone.key))
        return "?" + urlencode([*found, *pairs], quote_via=quote, safe="/:,@")  # a + would be read as a blank


def selection(pairs: Sequence[tuple[str, str]], now: datetime, default_zone: str = "UTC") -> Selection:
    """What a query string asks for.

    Raises: ChoiceError naming the parameter. What is misspelt is refused: an answer to another question
        would look like the answer.
    """
    given = [(name, value.strip()) for name, value in pairs if value.strip()]
    once = {name: value for name, value in given if name in (*RANGE, *LIMITS, "text")}
    unknown = sorted({name for name, _ in given} - {*RANGE, *CONDITIONS})
    if unknown:
        raise ChoiceError(f"{unknown[0][:40]!r} is not a filter; allowed: {', '.join((*RANGE, *CONDITIONS))}")
    zone = zone_of(once.get("zone", default_zone))
    time = range_of(once.get("from", DEFAULT_FROM), once.get("to", DEFAULT_TO), now, zone)
    kept = dict.fromkeys((name, value) for name, value in given if name not in RANGE)
    try:
        where = RequestFilter(since=time.since, until=time.until, **_fields(tuple(kept)))
    except FilterError as error:
        raise ChoiceError(str(error)) from error
    return Selection(time, where, tuple(kept), default_zone)


def written(value: Any) -> str:
    """A value as an address has it; of nothing `(none)`, and of a text that could be taken for that, with a
    backslash before it."""
    if value is None or value == "":
        return NONE
    if isinstance(value, bool):
        return "true" if value else "false"
    text = str(value)
    return "\\" + text if text.startswith(("\\", NONE)) else text


def _read(text: str) -> str | None:
    return None if text == NONE else text.removeprefix("\\")


def _fields(pairs: Pairs) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, value in pairs:
        if name in LIMITS:
            found[name] = _number(name, value)
        elif name == "text":
            found[name] = value
        elif name == "unusual_status":
            found[name] = _flag(name, value)
        else:
            found[name] = (*found.get(name, ()), _value(name, value))
    return found


def _value(name: str, text: str) -> Any:
    if name in WORDS:
        if text not in WORDS[name]:
            raise ChoiceError(f"{name} = {text[:40]!r}: allowed: {', '.join(WORDS[name])}")
        return text
    if text == NONE:
        return None
    if name == "streamed":
        return _flag(name, text)
    if name == "http_status":
        if not (text.isascii() and text.isdecimal() and len(text) <= 4):
            raise ChoiceError(f"{name} = {text[:40]!r}: allowed: a number like 429, or {NONE}")
        return int(text)
    return _read(text)


def _flag(name: str, text: str) -> bool:
    if text not in FLAGS:
        raise ChoiceError(f"{name} = {text[:40]!r}: allowed: true, false")
    return FLAGS[text]


def _number(name: str, text: str) -> float:
    try:
        number = float(text)
    except ValueError:
        number = -1.0
    if not 0 <= number <= 1e12:
        raise ChoiceError(f"{name} = {text[:40]!r}: allowed: milliseconds, like 1500")
    return number
