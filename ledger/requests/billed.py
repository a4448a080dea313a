"""What is billed of a stored row, in SQL: what `counts_of`, `is_metered` and `context_step` say of it."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

from sqlalchemy import BigInteger, Boolean, ColumnElement, Integer, case, cast, func, literal, null, or_
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.functions import GenericFunction
from sqlalchemy.types import Numeric, Text

from ledger.pricing.counts import INSTEAD_OF_TOKENS, MAX_UNITS, UNITS
from ledger.pricing.steps import CONTEXT_STEPS, NO_TOKENS
from ledger.schema import request_logs


class least(GenericFunction[int]):
    """The smallest of several numbers."""

    type = Integer()
    inherit_cache = True


class greatest(GenericFunction[int]):
    """The largest of several numbers."""

    type = Integer()
    inherit_cache = True


class json_number(GenericFunction[Any]):
    """A number of a JSON object in a text column; null where there is none of that name."""

    type = Numeric(asdecimal=False)
    inherit_cache = True


class has_text(GenericFunction[bool]):
    """Whether a column contains a text, without regard to the case of ASCII letters; given as a pattern."""

    type = Boolean()
    inherit_cache = True


class id_has_text(GenericFunction[bool]):
    """The same of an id of `columns.HexId`."""

    type = Boolean()
    inherit_cache = True


class plain_id_has_text(GenericFunction[bool]):
    """The same, where the text is no part of hexadecimal digits: only ids that are no such digits have it."""

    type = Boolean()
    inherit_cache = True


@compiles(has_text, "sqlite")
def _like(element: has_text, compiler: Any, **kw: Any) -> str:
    column, pattern = (compiler.process(one, **kw) for one in element.clauses)
    return f"({column} LIKE {pattern} ESCAPE '/')"


@compiles(id_has_text, "sqlite")
def _id_like(element: id_has_text, compiler: Any, **kw: Any) -> str:
    column, pattern = (compiler.process(one, **kw) for one in element.clauses)
    return (
        f"(CASE typeof({column}) WHEN 'blob' THEN hex({column}) ELSE {column} END LIKE {pattern} ESCAPE '/')"
    )


@compiles(plain_id_has_text, "sqlite")
def _plain_id_like(element: plain_id_has_text, compiler: Any, **kw: Any) -> str:
    column, pattern = (compiler.process(one, **kw) for one in element.clauses)
    return f"(typeof({column}) = 'text' AND {column} LIKE {pattern} ESCAPE '/')"


@compiles(has_text, "postgresql")
@compiles(id_has_text, "postgresql")
@compiles(plain_id_has_text, "postgresql")
def _ilike(element: Any, compiler: Any, **kw: Any) -> str:
    column, pattern = (compiler.process(one, **kw) for one in element.clauses)
    return f"({column} ILIKE {pattern} ESCAPE '/')"


@compiles(least, "sqlite")
def _min(element: least, compiler: Any, **kw: Any) -> str:
    return f"min({compiler.process(element.clauses, **kw)})"


@compiles(greatest, "sqlite")
def _max(element: greatest, compiler: Any, **kw: Any) -> str:
    return f"max({compiler.process(element.clauses, **kw)})"


@compiles(json_number, "sqlite")
def _json_extract(element: json_number, compiler: Any, **kw: Any) -> str:
    column, name = element.clauses
    return f"json_extract({compiler.process(column, **kw)}, '$.' || {compiler.process(name, **kw)})"


@compiles(json_number, "postgresql")
def _json_operator(element: json_number, compiler: Any, **kw: Any) -> str:
    column, name = element.clauses
    return f"(({compiler.process(column, **kw)})::json ->> {compiler.process(name, **kw)})::numeric"


def billed_tier(log: Any = request_logs.c) -> ColumnElement[str | None]:
    """`RequestEvent.billed_tier`: the served tier, but with a ChatGPT login the requested one."""
    served, requested = func.nullif(log.service_tier, ""), func.nullif(log.requested_service_tier, "")
    return case(
        (log.login.is_(True), func.coalesce(requested, served)), else_=func.coalesce(served, requested)
    )


def is_metered(log: Any = request_logs.c) -> ColumnElement[bool]:
    """Whether it was reported what the request used."""
    tokens = log.input_tokens.is_not(None) & _output(log).is_not(None)
    told = [func.coalesce(log.extra_units, "").like(f'%"{name}"%') for name in INSTEAD_OF_TOKENS]
    return or_(tokens, *told)


def context_above(log: Any = request_logs.c) -> ColumnElement[int]:
    """`context_step` of the input."""
    tokens = log.input_tokens
    floors = (0, *CONTEXT_STEPS)
    steps = [(tokens <= step, literal(floor)) for floor, step in zip(floors, CONTEXT_STEPS, strict=False)]
    return case((tokens.is_(None), literal(NO_TOKENS)), *steps, else_=literal(CONTEXT_STEPS[-1]))


def counts(log: Any = request_logs.c) -> dict[str, ColumnElement[int]]:
    """The fields of `Counts` by name."""
    total, output = _plain(log.input_tokens), _plain(_output(log))
    inside = (
        log.cached_input_tokens,
        log.cache_write_tokens,
        log.cache_write_1h_tokens,
        log.audio_input_tokens,
        log.image_input_tokens,
    )
    cached, written, hourly, audio, image = _parts(inside, total)
    audio_out, image_out = _parts((log.audio_output_tokens, log.image_output_tokens), output)
    units = {count: _unit(log, name) for name, count in UNITS.items()}
    return {
        "input": total,
        "cached_input": cached,
        "cache_write": written,
        "cache_write_1h": hourly,
        "output": output,
        "audio_input": audio,
        "audio_output": audio_out,
        "image_input": image,
        "image_output": image_out,
        **units,
        "audio_ms": _unit(log, "audio_seconds", 1_000),
    }


def _parts(parts: Sequence[ColumnElement[Any]], total: ColumnElement[int]) -> list[ColumnElement[int]]:
    """Parts of a total, each cut to what those before it leave. How far they reach together is written out
    for each, not nested: a part within a part within a part would be worked out many times for every row."""
    reached: list[ColumnElement[int]] = [literal(0)]
    for number in range(len(parts)):
        together = sum((_plain(part) for part in parts[1 : number + 1]), _plain(parts[0]))
        reached.append(least(total, together))
    return [after - before for before, after in pairwise(reached)]


def _output(log: Any) -> ColumnElement[int | None]:
    return func.coalesce(log.output_tokens, log.reasoning_tokens)


def _plain(count: ColumnElement[Any]) -> ColumnElement[int]:
    return greatest(0, func.coalesce(count, 0))


def _unit(log: Any, name: str, times: int = 1) -> ColumnElement[int]:
    number = json_number(log.extra_units, literal(name, Text))
    # Twice: SQLite's numbers are floating ones, in which 1.0005 times a thousand is less than a half
    whole = cast(func.round(func.round(number * times, 6)), BigInteger)
    return case((log.extra_units.is_(null()), 0), (number.between(0, MAX_UNITS), whole), else_=0)
