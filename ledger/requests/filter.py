"""Which requests are meant: one frozen filter for page, terminal, exports and commands."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from datetime import datetime
from typing import Any, Literal, get_args

from sqlalchemy import ColumnElement, String, Table, and_, func, literal, or_, select

from ledger.errors import FilterError
from ledger.requests.auth_files import of_auth_file
from ledger.requests.billed import billed_tier, has_text, id_has_text, plain_id_has_text
from ledger.requests.dictionaries import digest
from ledger.requests.sources import key_of, table_of
from ledger.schema import request_callers, request_kinds, request_logs, request_sessions
from ledger.values import Status

CacheState = Literal["hit", "write", "miss", "unknown"]
"""Of the input: some was read from a cache; none was, but some was written to one; neither; not reported."""

Dimension = Literal[
    "provider",
    "model",
    "requested_model",
    "project",
    "api",
    "account_id",
    "auth_index",
    "api_key_id",
    "gateway",
    "instance_id",
    "source",
    "status",
    "http_status",
    "error_class",
    "error_code",
    "service_tier",
    "reasoning_effort",
    "session_id",
    "trace_id",
    "request_id",
    "user_agent",
    "streamed",
]
"""What requests can be filtered and grouped by. `service_tier` is the tier that decides the price."""

DIMENSIONS: tuple[Dimension, ...] = get_args(Dimension)

USUAL_STATUSES = frozenset(
    {0, 200, 201, 202, 204, 400, 401, 402, 403, 404, 408, 409, 413, 422, 429, 499, 500, 502, 503, 504, 529}
)
"""HTTP statuses that providers answer in the ordinary course of things; 0: the client left early."""

SEARCHED = (
    "model",
    "requested_model",
    "account_id",
    "api_key_id",
    "project",
    "request_id",
    "upstream_request_id",
    "response_id",
    "session_id",
    "trace_id",
    "error_code",
    "error_message",
    "user_agent",
)
"""Columns that `text` is looked for in."""

IDS = ("request_id", "trace_id")
"""Of these, the columns that SQLite may have as bytes."""

MAX_VALUES = 100
"""Values of one dimension in a filter; each is compared with every row."""

MAX_TEXT = 200
_DURATIONS = ("min_latency_ms", "max_latency_ms", "min_first_token_ms", "max_first_token_ms")


@dataclass(frozen=True, slots=True)
class RequestFilter:
    """Requests that meet every condition. Of a tuple, any one value will do; an empty one says nothing.
    None in a tuple stands for requests that have no such value.

    Attributes:
        since, until: aware; [since, until) of the moment the request ended. None: without bound.
        requested_model: what the client asked for; `model` is what was served.
        api: the type of request: responses, chat_completions, embeddings ...
        account_id, auth_index: our account; the collected gateway's credential.
        auth_file: the file that holds the account's credential, by its name or its whole path.
        api_key_id: the caller's key, masked.
        unusual_status: only with an HTTP status outside of USUAL_STATUSES, or one that does not fit the
            outcome: a success that is no 2xx, a failure that is.
        min_latency_ms ... max_first_token_ms: both ends included.
        cache: the state of the prompt cache.
        service_tier: the tier that decides the price; "" and None: none was said.
        text: any of SEARCHED contains it, without regard to case.
    """

    since: datetime | None = None
    until: datetime | None = None
    provider: tuple[str | None, ...] = ()
    model: tuple[str | None, ...] = ()
    requested_model: tuple[str | None, ...] = ()
    project: tuple[str | None, ...] = ()
    api: tuple[str | None, ...] = ()
    account_id: tuple[str | None, ...] = ()
    auth_index: tuple[str | None, ...] = ()
    auth_file: tuple[str | None, ...] = ()
    api_key_id: tuple[str | None, ...] = ()
    gateway: tuple[str | None, ...] = ()
    instance_id: tuple[str | None, ...] = ()
    source: tuple[str | None, ...] = ()
    status: tuple[Status, ...] = ()
    http_status: tuple[int | None, ...] = ()
    error_class: tuple[str | None, ...] = ()
    error_code: tuple[str | None, ...] = ()
    service_tier: tuple[str | None, ...] = ()
    reasoning_effort: tuple[str | None, ...] = ()
    session_id: tuple[str | None, ...] = ()
    trace_id: tuple[str | None, ...] = ()
    request_id: tuple[str | None, ...] = ()
    user_agent: tuple[str | None, ...] = ()
    streamed: tuple[bool | None, ...] = ()
    unusual_status: bool = False
    cache: tuple[CacheState, ...] = ()
    min_latency_ms: float | None = None
    max_latency_ms: float | None = None
    min_first_token_ms: float | None = None
    max_first_token_ms: float | None = None
    text: str = ""

    def __post_init__(self) -> None:
        """Raises: FilterError naming the condition."""
        for field in fields(self):
            value = getattr(self, field.name)
            if isinstance(value, tuple) and len(value) > MAX_VALUES:
                raise FilterError(f"{field.name}: {len(value)} values; at most {MAX_VALUES} are allowed")
            if isinstance(value, datetime) and value.tzinfo is None:
                raise FilterError(f"{field.name} = {value}: give a time with its zone")
        if len(self.text) > MAX_TEXT:
            raise FilterError(f"text: {len(self.text)} characters; at most {MAX_TEXT} are allowed")
        if "\0" in self.text:
            raise FilterError(f"text = {self.text!r}: a character NUL is not allowed, and in no text")
        if self.since and self.until and self.until < self.since:
            raise FilterError(f"until = {self.until} is before since = {self.since}")

    def between(self, since: datetime | None, until: datetime | None) -> RequestFilter:
        """The same conditions over another time."""
        return replace(self, since=since, until=until)

    def before(self) -> RequestFilter | None:
        """The same conditions over as long a time right before; None without both ends."""
        if self.since is None or self.until is None:
            return None
        return self.between(self.since - (self.until - self.since), self.since)

    def having(self, dimension: Dimension, *values: Any) -> RequestFilter:
        """With one dimension narrowed to these values."""
        narrowed: dict[str, Any] = {dimension: values}
        return replace(self, **narrowed)

    def conditions_by_name(self) -> Mapping[str, Any]:
        """The conditions that are set, without the times."""
        named = {f.name: (getattr(self, f.name), f.default) for f in fields(self)}
        return {n: v for n, (v, plain) in named.items() if v != plain and n not in ("since", "until")}


def column(dimension: Dimension, log: Any = request_logs.c) -> ColumnElement[Any]:
    """The column of a dimension."""
    if dimension not in DIMENSIONS:
        raise FilterError(f"dimension {dimension!r} is not known; allowed: {', '.join(DIMENSIONS)}")
    return billed_tier(log) if dimension == "service_tier" else log[dimension]


def conditions(
    where: RequestFilter, log: Any = request_logs.c, unindexed: Sequence[Table] = ()
) -> list[ColumnElement[bool]]:
    """What a row of `request_logs` must meet. Rows marked as deleted never do.

    Args:
        unindexed: tables of texts whose conditions are looked at row by row, in this order: their index is
            not used.
    """
    found = texts_meeting(where)
    indexed = [_numbered(t, log, wanted, where, False) for t, wanted in found.items() if t not in unindexed]
    others = [_numbered(t, log, found[t], where, True) for t in unindexed]
    text = [or_(*_searched(where.text, log))] if where.text else []
    # SQLite looks at them in this order: what is cheap to see of a row goes first
    return [*_times(where, log), *indexed, *_of_rows(where, log), *others, log.deleted_at.is_(None), *text]


def of_texts(where: RequestFilter, log: Any) -> list[ColumnElement[bool]]:
    """The conditions on texts that are stored once: by the numbers of those texts that meet them."""
    return [_numbered(table, log, wanted, where, False) for table, wanted in texts_meeting(where).items()]


def texts_meeting(where: RequestFilter) -> dict[Table, list[ColumnElement[bool]]]:
    """The conditions on texts that are stored once, by their tables."""
    found: dict[Table, list[ColumnElement[bool]]] = {}
    for dimension in DIMENSIONS:
        table = table_of(dimension)
        if table is request_sessions and where.session_id:
            found[table] = [_sessions(where.session_id)]
        elif table is not None and (values := getattr(where, dimension)):
            found.setdefault(table, []).append(any_of(column(dimension, table.c), values))
    if where.unusual_status:
        found.setdefault(request_kinds, []).append(_unusual(request_kinds.c))
    if where.auth_file:
        found.setdefault(request_callers, []).append(
            of_auth_file(where.auth_file, request_callers.c.account_id)
        )
    return found


def _numbered(
    table: Table, log: Any, wanted: Sequence[ColumnElement[bool]], where: RequestFilter, unindexed: bool
) -> ColumnElement[bool]:
    number: ColumnElement[Any] = log[key_of(table)] + 0 if unindexed else log[key_of(table)]
    of_them = number.in_(select(table.c.id).where(*wanted))
    if table is request_sessions and any(value in (None, "") for value in where.session_id):
        return or_(of_them, number.is_(None))
    return of_them


def _sessions(names: Sequence[str | None]) -> ColumnElement[bool]:
    """By the digests of their names, which are indexed."""
    return request_sessions.c.digest.in_([digest((name,)) for name in names if name])


def _of_rows(where: RequestFilter, log: Any) -> list[ColumnElement[bool]]:
    """The conditions on what each row has by itself, but for the text."""
    found: list[ColumnElement[bool]] = [
        any_of(column(dimension, log), values)
        for dimension in DIMENSIONS
        if table_of(dimension) is None and (values := getattr(where, dimension))
    ]
    if where.cache:
        found.append(or_(*(cache_state(state, log) for state in where.cache)))
    for bound, limit in (("latency_ms", "latency"), ("latency_first_token_ms", "first_token")):
        low, high = getattr(where, f"min_{limit}_ms"), getattr(where, f"max_{limit}_ms")
        found += [log[bound] >= low] if low is not None else []
        found += [log[bound] <= high] if high is not None else []
    return found


def _searched(text: str, log: Any) -> Iterator[ColumnElement[bool]]:
    """Where a text is found: of texts that are stored once, each is looked at once and not for every row."""
    of_ids = id_has_text if re.fullmatch("[0-9a-fA-F]+", text) else plain_id_has_text
    for name in SEARCHED:
        if table_of(name) is None:
            yield (of_ids if name in IDS else has_text)(log[name], _pattern(text))
    for table, met in texts_having(text).items():
        yield log[key_of(table)].in_(select(table.c.id).where(met))


def texts_having(text: str) -> dict[Table, ColumnElement[bool]]:
    """The conditions on texts that are stored once, to contain a text; by their tables."""
    found: dict[Table, list[ColumnElement[bool]]] = {}
    for name in SEARCHED:
        if (table := table_of(name)) is not None:
            found.setdefault(table, []).append(has_text(table.c[name], _pattern(text)))
    return {table: or_(*met) for table, met in found.items()}


def _pattern(text: str) -> ColumnElement[str]:
    return literal("%" + re.sub("([/%_])", r"/\1", text) + "%")


def of_rows_alone(where: RequestFilter) -> bool:
    """Whether only the rows themselves can tell which requests are meant: the sums by hour cannot."""
    if where.cache or where.text or any(getattr(where, name) is not None for name in _DURATIONS):
        return True
    return any(getattr(where, d) and not is_summed(d) for d in DIMENSIONS)


def row_part(where: RequestFilter) -> RequestFilter:
    """The conditions that the sums by hour cannot tell, without those of `is_rare`."""
    names = (*_DURATIONS, "cache", "text", "user_agent", "reasoning_effort")
    return RequestFilter(**{name: getattr(where, name) for name in names})


def is_rare(where: RequestFilter) -> bool:
    """Whether it names single requests or conversations, which are few and found by an index."""
    return any(getattr(where, name) for name in ("session_id", "trace_id", "request_id"))


def is_summed(dimension: Dimension) -> bool:
    """Whether the sums by hour tell a dimension apart."""
    return table_of(dimension) in (request_callers, request_kinds)


def any_of(column: ColumnElement[Any], values: Sequence[Any]) -> ColumnElement[bool]:
    """Whether a column has one of some values; None and "" are the same: no value."""
    named = [value for value in values if value not in (None, "")]
    found: list[ColumnElement[bool]] = [column.in_(named)] if named else []
    if len(named) < len(values):
        found.append(column.is_(None))
        found += [column == ""] if isinstance(column.type, String) else []
    return or_(*found)


def _times(where: RequestFilter, log: Any) -> list[ColumnElement[bool]]:
    found = [log.requested_at >= where.since] if where.since else []
    return [*found, log.requested_at < where.until] if where.until else found


def _unusual(log: Any) -> ColumnElement[bool]:
    code = log.http_status
    fits = code.between(200, 299)
    return and_(
        code.is_not(None),
        or_(
            code.not_in(sorted(USUAL_STATUSES)),
            and_(log.status == "success", ~fits),
            and_(log.status == "error", fits),
        ),
    )


def cache_state(state: CacheState, log: Any) -> ColumnElement[bool]:
    """Whether the cache was in a state."""
    told: ColumnElement[bool] = log.input_tokens.is_not(None)
    if state == "unknown":
        return ~told
    read = func.coalesce(log.cached_input_tokens, 0) > 0
    written = func.coalesce(log.cache_write_tokens, 0) + func.coalesce(log.cache_write_1h_tokens, 0) > 0
    if state == "hit":
        return and_(told, read)
    return and_(told, ~read, written if state == "write" else ~written)
