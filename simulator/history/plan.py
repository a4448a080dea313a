"""What an invented history is to be like: one frozen value, checked when it is made."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, time, timedelta

from simulator.errors import ScriptError
from simulator.history.fleet import FLEET, KEYS, SimulatedAccount
from simulator.history.rhythm import zone
from simulator.history.workload import WORKLOADS, Workload

MAX_PER_DAY = 1_000_000
"""More requests in a day are taken for a slip of the hand."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What history is to be like.

    Attributes:
        start, end: aware UTC; every request ends in [start, end).
        requests_per_day: mean of a week.
        zone: IANA name of the zone in which people work.
        streamed: share of the requests that stream.
        errors, cancelled: shares of the requests that end so; they report no usage.
        unknown_model, missing_usage: shares of the successful requests that cannot be priced, because
            their model has no price, or because they did not report their usage.
        percent_step: to how many percentage points the provider rounds a window's used percent.
    Raises: ScriptError where the plan contradicts itself.
    """

    start: datetime
    end: datetime
    requests_per_day: float = 1_430.0
    seed: int = 1
    zone: str = "Europe/Berlin"
    accounts: tuple[SimulatedAccount, ...] = FLEET
    keys: tuple[str, ...] = KEYS
    workloads: tuple[Workload, ...] = WORKLOADS
    streamed: float = 0.7
    errors: float = 0.03
    cancelled: float = 0.02
    unknown_model: float = 0.004
    missing_usage: float = 0.006
    percent_step: float = 1.0

    def __post_init__(self) -> None:
        zone(self.zone)
        if self.start.utcoffset() != timedelta(0) or self.end.utcoffset() != timedelta(0):
            raise ScriptError("start and end of a history must be aware and in UTC")
        if not self.start < self.end:
            raise ScriptError(f"a history must end after it starts: {self.start} to {self.end}")
        if self.errors + self.cancelled > 1 or self.unknown_model + self.missing_usage > 1:
            raise ScriptError("shares of one whole add up to more than 1")
        if not 0 <= self.requests_per_day <= MAX_PER_DAY:
            raise ScriptError(
                f"requests_per_day = {self.requests_per_day:g}; allowed: from 0 to {MAX_PER_DAY}"
            )
        if not (self.accounts and self.keys and self.workloads):
            raise ScriptError("a history needs accounts, keys and workloads")


def days(first_day: date, count: int, **changes: object) -> Plan:
    """A plan over whole UTC days; `changes` are other attributes of the plan."""
    start = datetime.combine(first_day, time(), tzinfo=UTC)
    return replace(Plan(start, start + timedelta(days=count)), **changes)  # type: ignore[arg-type]
