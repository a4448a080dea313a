"""The frozen values of collected gateways."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Literal

CheckResult = Literal["ok", "failed", "unknown"]


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that has to be right for events to come, tried out.

    Attributes:
        name: reachable, version, key, publishing, home_mode, connected, second_consumer ...
        detail: one line for a person: what was found, and what to do where it is wrong.
    """

    name: str
    result: CheckResult
    detail: str


@dataclass(frozen=True, slots=True)
class GatewayState:
    """How it stands with one gateway, as its collector last said.

    Attributes:
        state: `collecting`, or what is in the way, as in `collector.errors.State`.
        transport: subscribe, resp or http; None while there is none.
        problem: one line for a person; None where all is well.
        since: when the state began.
        updated_at: when the collector said so; a collector that is gone says nothing any more.
        events: events that were received in all.
        pending: received events of all gateways that are not in the ledger yet.
        undecodable: received items that this version cannot read.
    """

    name: str
    instance_id: str
    state: str
    since: datetime
    updated_at: datetime
    transport: str | None = None
    problem: str | None = None
    version: str | None = None
    last_event_at: datetime | None = None
    events: int = 0
    pending: int = 0
    undecodable: int = 0
    checks: tuple[Check, ...] = ()


@dataclass(frozen=True, slots=True)
class GatewayGap:
    """A time in which events of a gateway may have been lost.

    Attributes:
        id: the collector's own, the same however often it is told.
        reason: crash, restart, retention, overflow, disconnected, answer_lost, second_consumer, stop.
        ended_at: None while it goes on.
    """

    id: str
    gateway: str
    reason: str
    began_at: datetime
    ended_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class GatewayFailure:
    """A failed attempt of a gateway, as its errors channel reported it; texts are sanitised."""

    id: str
    gateway: str
    account_id: str
    at: datetime
    provider: str | None
    model: str | None
    http_status: int
    code: str
    error_class: str
    message: str | None
    retryable: bool
