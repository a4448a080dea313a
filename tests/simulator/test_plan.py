"""A plan that contradicts itself is refused when it is made."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta, timezone
from typing import Any

import pytest

from simulator.errors import ScriptError
from simulator.history.plan import Plan, days

START = datetime(2026, 9, 1, tzinfo=UTC)


def test_days_are_whole_utc_days() -> None:
    plan = days(date(2026, 9, 1), 14, seed=7)
    assert (plan.start, plan.end, plan.seed) == (START, START + timedelta(days=14), 7)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"end": START}, "must end after it starts"),
        ({"start": datetime(2026, 8, 1)}, "aware and in UTC"),  # noqa: DTZ001
        ({"start": datetime(2026, 8, 1, tzinfo=timezone(timedelta(hours=2)))}, "aware and in UTC"),
        ({"errors": 0.7, "cancelled": 0.4}, "add up to more than 1"),
        ({"keys": ()}, "needs accounts, keys and workloads"),
        ({"requests_per_day": -1}, "requests_per_day = -1; allowed: from 0 to"),
        ({"zone": "Mars/Olympus"}, "time zone 'Mars/Olympus' is not known"),
    ],
)
def test_what_cannot_be(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ScriptError, match=message):
        Plan(**{"start": START, "end": START + timedelta(days=1), **changes})
