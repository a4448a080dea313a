"""Exported requests as JSON lines, CSV and Parquet: one line, or one row of a table, for each."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta
from decimal import Decimal
from functools import lru_cache, partial
from typing import IO, Any, Protocol

from ledger.columns import EPOCH
from ledger.errors import LedgerError
from ledger.quota.running import PICO_PER_USD, UNPRICED
from ledger.upkeep.exporting import COUNTS, OWN, SHARED, TIMES, Exported, Texts

FIELDS = (
    *("requested_at", *OWN, "session_id"),
    *(name for _, names in SHARED for name in names),
    *(*COUNTS, *TIMES, "error_message", "provider_cost_usd", "extra_units", "cost_usd", "unpriced"),
)
"""Every field of a row, in the order of the columns. `unpriced`: it should have a cost, and has none."""

_PLACES = 18
"""Digits after the point of what a provider said it cost: floating point numbers, added up, have more."""

_FORMULA = frozenset("=+-@\t\r")
_json = json.JSONEncoder(ensure_ascii=False).encode
_quoted: Callable[[str], str] = json.encoder.encode_basestring  # what the encoder itself takes for texts


class Writer(Protocol):
    def write(self, batch: Sequence[Exported]) -> None: ...

    def close(self) -> None: ...


class JsonLines:
    """One object a line; money is a number with all its digits."""

    def __init__(self, target: IO[bytes], texts: Texts) -> None:
        self._target = target
        self._shared = [
            _Fragments(texts.of[place], partial(_members, names)) for place, (_, names) in enumerate(SHARED)
        ]
        plain = "".join(f', "{name}": %s' for name in (*COUNTS, *TIMES))
        own = "".join(f', "{name}": %s' for name in (*OWN, "session_id"))
        ends = ("error_message", "provider_cost_usd", "extra_units", "cost_usd", "unpriced")
        end = "".join(f', "{name}": %s' for name in ends)
        self._line = f'{{"requested_at": "%s"{own}%s%s%s{plain}{end}}}\n'

    def write(self, batch: Sequence[Exported]) -> None:
        line, (callers, kinds, details) = self._line, self._shared
        made = [
            line
            % (
                stamp(row.at),
                *[_text(value) for value in row.own],
                _text(row.session_id),
                callers[row.numbers[0]],
                kinds[row.numbers[1]],
                details[row.numbers[2]],
                *["null" if number is None else number for number in row.rest],
                _text(row.error_message),
                row.provider_cost_usd or "null",
                row.extra_units or "null",
                _usd(row.pico) or "null",
                "true" if row.pico == UNPRICED else "false",
            )
            for row in batch
        ]
        self._target.write("".join(made).encode())

    def close(self) -> None:
        """There is no end to write."""


class Csv:
    """One line of columns. What a spreadsheet would take for a formula gets an apostrophe before it: callers
    choose these texts."""

    def __init__(self, target: IO[bytes], texts: Texts) -> None:
        self._target = target
        self._shared = [_Fragments(known, lambda values: tuple(map(_cell, values))) for known in texts.of]
        self._write_lines([FIELDS])

    def write(self, batch: Sequence[Exported]) -> None:
        callers, kinds, details = self._shared
        self._write_lines(
            [
                (
                    stamp(row.at),
                    *map(_cell, row.own),
                    _cell(row.session_id),
                    *callers[row.numbers[0]],
                    *kinds[row.numbers[1]],
                    *details[row.numbers[2]],
                    *row.rest,
                    _cell(row.error_message),
                    row.provider_cost_usd,
                    row.extra_units,
                    _usd(row.pico),
                    "true" if row.pico == UNPRICED else "false",
                )
                for row in batch
            ]
        )

    def _write_lines(self, lines: Sequence[Sequence[Any]]) -> None:
        text = io.StringIO()
        csv.writer(text, lineterminator="\r\n").writerows(lines)
        self._target.write(text.getvalue().encode())

    def close(self) -> None:
        """There is no end to write."""


class Parquet:
    """A table of typed columns. Raises: LedgerError where the library for it is not installed."""

    def __init__(self, target: IO[bytes], texts: Texts) -> None:
        try:
            import pyarrow
            import pyarrow.parquet
        except ImportError as error:
            raise LedgerError("Parquet takes a library: pip install pyarrow") from error
        self._arrow, self._texts = pyarrow, texts
        self._schema = pyarrow.schema([(name, self._type(name)) for name in FIELDS])
        self._writer = pyarrow.parquet.ParquetWriter(target, self._schema, compression="zstd")

    def _type(self, name: str) -> Any:
        arrow = self._arrow
        known = {
            "requested_at": arrow.timestamp("us", tz="UTC"),
            "http_status": arrow.int32(),
            "streamed": arrow.bool_(),
            "unpriced": arrow.bool_(),
            "provider_cost_usd": arrow.decimal128(38, _PLACES),
            "cost_usd": arrow.decimal128(38, 12),
            **dict.fromkeys(COUNTS, arrow.int64()),
            **dict.fromkeys(TIMES, arrow.float64()),
        }
        return known.get(name, arrow.string())

    def write(self, batch: Sequence[Exported]) -> None:
        callers, kinds, details = self._texts.of
        made = [
            (
                row.at,
                *row.own,
                row.session_id,
                *callers[row.numbers[0]],
                *kinds[row.numbers[1]],
                *details[row.numbers[2]],
                *row.rest,
                row.error_message,
                None if row.provider_cost_usd is None else round(Decimal(row.provider_cost_usd), _PLACES),
                row.extra_units,
                None if row.pico < 0 else Decimal(row.pico).scaleb(-12),
                row.pico == UNPRICED,
            )
            for row in batch
        ]
        columns = [
            self._arrow.array(column, type=self._schema.field(name).type)
            for name, column in zip(FIELDS, zip(*made, strict=True), strict=True)
        ]
        self._writer.write_table(self._arrow.table(columns, schema=self._schema))

    def close(self) -> None:
        """Write the end, without which the file is none."""
        self._writer.close()


FORMATS: Mapping[str, Callable[[IO[bytes], Texts], Writer]] = {
    "jsonl": JsonLines,
    "csv": Csv,
    "parquet": Parquet,
}


class _Fragments(dict[int, Any]):
    """What texts that many rows share are written as: each is made once."""

    def __init__(self, texts: Mapping[int, tuple[Any, ...]], make: Callable[[tuple[Any, ...]], Any]) -> None:
        self._texts, self._make = texts, make

    def __missing__(self, number: int) -> Any:
        made = self[number] = self._make(self._texts[number])
        return made


def stamp(at: int) -> str:
    """A moment in ISO 8601, to the microsecond."""
    minute, rest = divmod(at, 60_000_000)
    return f"{_minute(minute)}:{rest // 1_000_000:02d}.{rest % 1_000_000:06d}Z"


@lru_cache(1_024)
def _minute(minutes: int) -> str:
    return (EPOCH + timedelta(minutes=minutes)).strftime("%Y-%m-%dT%H:%M")


def _members(names: Sequence[str], values: Sequence[Any]) -> str:
    return "".join(f', "{name}": {_json(value)}' for name, value in zip(names, values, strict=True))


def _text(value: str | None) -> str:
    return "null" if value is None else _quoted(value)


def _usd(pico: int) -> str:
    """A cost as a number with all its digits; nothing where there is none."""
    if pico < 0:
        return ""
    return f"{pico // PICO_PER_USD}.{pico % PICO_PER_USD:012d}".rstrip("0").rstrip(".")


def _cell(value: Any) -> Any:
    if isinstance(value, str):
        clean = value.replace("\x00", "") if "\x00" in value else value
        return "'" + clean if clean[:1] in _FORMULA else clean
    if isinstance(value, bool):
        return "true" if value else "false"
    return value
