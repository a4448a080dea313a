"""States, gaps and failures of collected gateways are read as they were written, on both databases."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import Connection

from ledger.gateways import failures, gaps, states
from ledger.gateways.values import Check, GatewayFailure, GatewayGap, GatewayState
from tests.support.ledgers import migrated

NOW = datetime(2026, 11, 28, 12, tzinfo=UTC)


@pytest.fixture
def connection(tmp_path: Path) -> Iterator[Connection]:
    engine = migrated(tmp_path / "usage.db")
    with engine.begin() as opened:
        yield opened
    engine.dispose()


def _state(**changed: object) -> GatewayState:
    fields = {"name": "cpa", "instance_id": "here", "state": "collecting", "since": NOW, "updated_at": NOW}
    return GatewayState(**{**fields, **changed})  # type: ignore[arg-type]


def test_the_newest_word_on_a_gateway_counts(connection: Connection) -> None:
    check = Check("key", "failed", "the key is refused")
    states.store(connection, [_state(), _state(name="other")])
    later = _state(state="refused", problem="the key is refused", checks=(check,), events=7, pending=2)
    states.store(connection, [later])
    assert states.read(connection) == (later, _state(name="other"))


def test_a_gap_that_ends_is_the_same_gap(connection: Connection) -> None:
    begun = GatewayGap("here-1", "cpa", "restart", NOW)
    gaps.store(connection, [begun])
    assert gaps.between(connection, NOW + timedelta(days=3), NOW + timedelta(days=4)) == (begun,)
    ended = GatewayGap("here-1", "cpa", "restart", NOW, NOW + timedelta(seconds=9))
    gaps.store(connection, [ended, GatewayGap("here-2", "other", "crash", NOW, NOW)])
    assert gaps.between(connection, NOW, NOW + timedelta(hours=1), gateway="cpa") == (ended,)
    assert gaps.between(connection, NOW + timedelta(seconds=10), NOW + timedelta(hours=1)) == ()


def test_failures_come_newest_first_and_once(connection: Connection) -> None:
    older = GatewayFailure(
        "c-1", "cpa", "cpa/1", NOW, "openai", "gpt-5.5", 429, "slow_down", "rate_limit", None, True
    )
    newer = GatewayFailure(
        "c-2", "cpa", "cpa/2", NOW + timedelta(1), None, None, 500, "x", "upstream", "m", False
    )
    failures.store(connection, [older, newer])
    failures.store(connection, [older])
    window = (NOW, NOW + timedelta(days=2))
    assert failures.newest(connection, *window) == (newer, older)
    assert failures.newest(connection, *window, account_id="cpa/1") == (older,)
    assert failures.prune(connection, NOW + timedelta(hours=1)) == 1
    assert failures.newest(connection, *window) == (newer,)
