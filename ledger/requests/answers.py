"""What the queries answer: frozen values, in which money is Decimal and times are aware UTC."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from operator import add, attrgetter
from typing import Any

from ledger.columns import micros, moment
from ledger.errors import FilterError
from ledger.pricing.counts import Counts
from ledger.requests.filter import Dimension
from ledger.requests.sums.histogram import Histogram
from ledger.values import Usage


@dataclass(frozen=True, slots=True)
class Totals:
    """What some requests add up to.

    Attributes:
        metered: how many said what they used.
        unmetered: successes that should have said it, but did not.
        counts: billed tokens and units; `reasoning` is a part of `counts.output`.
        usd: US dollars of the priced ones, exactly, by the prices that held when each request ended.
        unpriced: requests that should cost something, but have no price or no counts.
        latency, first_token: milliseconds; empty where the query did not ask for durations.
    """

    requests: int = 0
    successes: int = 0
    errors: int = 0
    cancelled: int = 0
    metered: int = 0
    unmetered: int = 0
    reasoning: int = 0
    counts: Counts = field(default_factory=Counts)
    usd: Decimal = Decimal(0)
    unpriced: int = 0
    latency: Histogram = field(default_factory=Histogram)
    first_token: Histogram = field(default_factory=Histogram)

    def __add__(self, other: Totals) -> Totals:
        return Totals(*map(add, _all_of(self), _all_of(other)))

    @property
    def success_rate(self) -> float | None:
        """Successes among the requests that were not cancelled by their client, 0 to 1."""
        finished = self.requests - self.cancelled
        return self.successes / finished if finished else None

    @property
    def cache_hit_rate(self) -> float | None:
        """The share of the input tokens that was read from a cache, 0 to 1."""
        return self.counts.cached_input / self.counts.input if self.counts.input else None

    @property
    def tokens(self) -> int:
        """Input and output together."""
        return self.counts.input + self.counts.output


_all_of = attrgetter(*Totals.__dataclass_fields__)


@dataclass(frozen=True, slots=True)
class Group:
    """The requests that share a value of a dimension; None: those that have none."""

    value: Any
    totals: Totals


@dataclass(frozen=True, slots=True)
class Breakdown:
    """Requests by a dimension: the top values, the rest together, and how many values there are in all."""

    dimension: Dimension
    groups: tuple[Group, ...]
    rest: Totals
    values: int


@dataclass(frozen=True, slots=True)
class Point:
    """[since, until) of a series."""

    since: datetime
    until: datetime
    totals: Totals


@dataclass(frozen=True, slots=True)
class Line:
    """One value's points; every line of an answer has the same ones, empty ones included."""

    value: Any
    points: tuple[Point, ...]


@dataclass(frozen=True, slots=True)
class Concentration:
    """A value that failures concentrate on.

    Attributes:
        errors, requests: of this value.
        share_of_errors: its share of all failures that are meant, 0 to 1.
        share_of_requests: its share of all requests that are meant; what it would have of the failures if
            it were like the others. For `http_status` and `error_code`, which successes do not have: an
            equal share among the values.
    """

    dimension: Dimension
    value: Any
    errors: int
    requests: int
    share_of_errors: float
    share_of_requests: float


@dataclass(frozen=True, slots=True, order=True)
class Cursor:
    """A place in the order of rows: microseconds since 1970, and the row's id."""

    at: int
    id: int

    def __str__(self) -> str:
        return f"{self.at}-{self.id}"

    @classmethod
    def parse(cls, text: str) -> Cursor:
        """Of `str(cursor)`. Raises: FilterError."""
        at, _, id = text.partition("-")
        if not (at.isascii() and at.isdecimal() and id.isascii() and id.isdecimal() and len(text) <= 40):
            raise FilterError(f"cursor {text[:40]!r} is none; allowed: what an earlier page gave")
        found = cls(int(at), int(id))
        if found.moment and found.id < 2**63:
            return found
        raise FilterError(f"cursor {text[:40]!r} is none; allowed: what an earlier page gave")

    @classmethod
    def of(cls, requested_at: datetime, id: int) -> Cursor:
        return cls(micros(requested_at), id)

    @property
    def moment(self) -> datetime:
        """Raises: FilterError where it is beyond the calendar."""
        try:
            return moment(self.at)
        except OverflowError as error:
            raise FilterError(f"cursor {self} is none; allowed: what an earlier page gave") from error


@dataclass(frozen=True, slots=True)
class RequestRow:
    """One row, with what it costs by the prices that held when it ended.

    Attributes:
        cost_usd: None where there is no cost; then `unpriced` says why: missing_usage, missing_model,
            unknown_pricing ...
        usage, extra_units: as the provider reported them, not clamped.
    """

    id: int
    event_id: str
    requested_at: datetime
    account_id: str | None
    api_key_id: str | None
    request_id: str
    upstream_request_id: str | None
    response_id: str | None
    instance_id: str | None
    source: str | None
    gateway: str | None
    auth_index: str | None
    provider: str | None
    model: str
    requested_model: str | None
    api: str | None
    route: str | None
    streamed: bool | None
    project: str | None
    session_id: str | None
    trace_id: str | None
    user_agent: str | None
    reasoning_effort: str | None
    service_tier: str | None
    requested_service_tier: str | None
    login: bool | None
    status: str
    http_status: int | None
    error_class: str | None
    error_code: str | None
    error_message: str | None
    end_reason: str | None
    request_kind: str
    latency_ms: float | None
    latency_first_token_ms: float | None
    usage: Usage
    extra_units: Mapping[str, Decimal] | None
    provider_cost_usd: Decimal | None
    billed_tier: str | None
    cost_usd: Decimal | None
    unpriced: str | None

    @property
    def cursor(self) -> Cursor:
        return Cursor.of(self.requested_at, self.id)


@dataclass(frozen=True, slots=True)
class RequestPage:
    """Rows, newest first, and where to go on.

    Attributes:
        older, newer: cursors of the pages next to this one; None where there is nothing (as yet).
    """

    rows: tuple[RequestRow, ...]
    older: Cursor | None
    newer: Cursor | None


@dataclass(frozen=True, slots=True)
class RequestDetail:
    """One request: the row that was asked for, and all attempts at it in the order of time."""

    row: RequestRow
    attempts: Sequence[RequestRow]
