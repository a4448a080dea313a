"""How it stands with each gateway: written by its collector, read by the monitoring page."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import asdict
from typing import Any

from sqlalchemy import Connection, select

from ledger.gateways.values import Check, GatewayState
from ledger.schema import collector_gateways
from ledger.store import upsert


def store(connection: Connection, states: Iterable[GatewayState]) -> None:
    """What collectors say now; of each gateway the newest word counts."""
    for state in states:
        upsert(connection, collector_gateways, ("name",), [_row(state)])


def read(connection: Connection) -> tuple[GatewayState, ...]:
    """All gateways that were ever collected from, by name."""
    rows = connection.execute(select(collector_gateways).order_by(collector_gateways.c.name))
    return tuple(map(_state, rows.mappings()))


def _row(state: GatewayState) -> dict[str, Any]:
    return {**asdict(state), "checks": json.dumps([asdict(check) for check in state.checks])}


def _state(row: Any) -> GatewayState:
    checks = tuple(Check(**check) for check in json.loads(row["checks"] or "[]"))
    return GatewayState(**{**row, "checks": checks})
