"""How it stands with a gateway, in memory: what its tasks find out, and what the ledger is told of it."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime

from collector.errors import GatewayError, State
from collector.inbox import Transport
from collector.transport.management import Facts
from ledger.gateways.values import Check, CheckResult, GatewayState

PUBLISHING_OFF = (
    "usage statistics are switched off there: set usage-statistics-enabled to true, nothing is published"
)

MIN_RETENTION = 600.0
"""Seconds that a queue should keep events: what a restart of a machine takes, and more."""


@dataclass(slots=True)
class Status:
    """One gateway's state. `tell` changes it; everything else is read."""

    name: str
    clock: Callable[[], float] = time.time
    state: State = "connecting"
    since: float = 0.0
    transport: Transport | None = None
    problem: str | None = None
    facts: Facts | None = None
    received: int = 0
    last_event_at: float | None = None
    second_consumer: str | None = None
    inbox_problem: str | None = None
    seen: dict[str, Check] = field(default_factory=dict)

    def tell(self, state: State, problem: str | None = None, transport: Transport | None = None) -> None:
        if state != self.state or not self.since:
            self.since = self.clock()
        self.state, self.problem, self.transport = state, problem, transport

    def collecting(self, transport: Transport | None) -> None:
        """Events are received or asked for: well, where the gateway publishes any."""
        off = not self.publishing
        self.tell("publishing_off" if off else "collecting", PUBLISHING_OFF if off else None, transport)

    def failed(self, error: GatewayError) -> None:
        self.tell(error.state, str(error))
        for name in _BLAMED.get(error.state, ()):
            self.seen[name] = Check(name, "failed", str(error))

    def learnt(self, facts: Facts) -> None:
        """The gateway said what it is: it was reached, and it took the key."""
        self.facts = facts
        version = facts.version or "not said"
        for name, detail in (
            ("reachable", "it answers"),
            ("version", version),
            ("key", "it is accepted"),
            ("home_mode", "it publishes itself"),
        ):
            self.seen[name] = Check(name, "ok", detail)
        short = facts.retention < MIN_RETENTION
        kept = f"its queue keeps events for {facts.retention:.0f} s"
        away = "the collector may be away for no longer"
        self.seen["retention"] = Check(
            "retention", "failed" if short else "ok", f"{kept}: {away}" if short else kept
        )
        off = facts.publishing is False
        found: CheckResult = "unknown" if facts.publishing is None else "failed" if off else "ok"
        self.seen["publishing"] = Check(
            "publishing", found, PUBLISHING_OFF if off else "usage statistics are switched on"
        )

    @property
    def connected(self) -> bool:
        """Whether events are received or asked for."""
        return self.state in ("collecting", "publishing_off")

    @property
    def publishing(self) -> bool:
        """Whether its usage statistics are on, as far as it has said."""
        return self.facts is None or self.facts.publishing is not False

    def checks(self) -> tuple[Check, ...]:
        """Everything that has to be right, in the order to look at it."""
        rest = {
            "connected": Check("connected", "ok", f"by {self.transport}")
            if self.connected
            else Check("connected", "failed", self.problem or self.state),
            "second_consumer": Check(
                "second_consumer",
                "failed" if self.second_consumer else "ok",
                self.second_consumer or "none seen",
            ),
            "inbox": Check(
                "inbox", "failed" if self.inbox_problem else "ok", self.inbox_problem or "written"
            ),
        }
        order = ("reachable", "version", "key", "home_mode", "publishing", "retention", *rest)
        unknown = Check("", "unknown", "not tried yet")
        known = {**self.seen, **rest}
        return tuple(known.get(name, Check(name, unknown.result, unknown.detail)) for name in order)

    def as_stored(self, instance: str, *, pending: int, undecodable: int, events: int) -> GatewayState:
        return GatewayState(
            name=self.name,
            instance_id=instance,
            state=self.state,
            since=_moment(self.since or self.clock()),
            updated_at=_moment(self.clock()),
            transport=self.transport,
            problem=self.inbox_problem or self.problem or self.second_consumer,
            version=self.facts.version if self.facts else None,
            last_event_at=None if self.last_event_at is None else _moment(self.last_event_at),
            events=events,
            pending=pending,
            undecodable=undecodable,
            checks=self.checks(),
        )


_BLAMED: dict[State, tuple[str, ...]] = {
    "unreachable": ("reachable",),
    "too_old": ("version",),
    "refused": ("key",),
    "waiting": ("key",),
    "banned": ("key",),
    "no_key": ("key",),
    "home": ("home_mode",),
    "management_off": ("key",),
}


def _moment(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)
