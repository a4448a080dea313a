from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledger.quota.cycle import Reading
from ledger.reader import foreign as parsed
from ledger.reader.foreign import micros
from ledger.requests.queries import Account

TIME = "2026-09-01 12:00:00"
AT = micros(TIME)
RESET = AT // 1_000_000 + 86_400

anything = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**63), 2**63 - 1),
    st.floats(),
    st.text(),
    st.binary(),
    st.datetimes(),
    st.decimals(),
    st.sampled_from([TIME, "infinity", "nan", "1e999", "-5", "٣", "0000-00-00 00:00:00", "9999-12-31T23:59"]),
)


def request(**changes: Any) -> parsed.Request | None:
    row = {"id": 1, "account": "one", "at": TIME, "model": "m", "tier": None, "input": 5, "output": 6}
    row |= {"cached": 0, "reasoning": None, "status": "success", "kind": None, "usd": None, "deleted": None}
    row |= {"provider": None, "write": None, "write_1h": None, "units": None, "others": None}
    return parsed.request(tuple({**row, **changes}.values()))


def reading(**changes: Any) -> tuple[str, Reading] | None:
    row = {"id": 1, "account": "one", "at": TIME, "used": 40, "name": "secondary"}
    row |= {"reset_at": RESET, "minutes": 10_080}
    return parsed.reading(tuple({**row, **changes}.values()))


def test_a_request_as_it_should_be() -> None:
    expected = parsed.Request(1, "one", AT, "m", None, 5, 6, 0, None, True, None)
    assert request() == expected
    assert request(at=datetime(2026, 9, 1, 12, tzinfo=UTC), input=Decimal(5), cached=0.0) == expected


@pytest.mark.parametrize(
    "change",
    [
        {"at": None},
        {"at": "yesterday"},
        {"at": 1_788_264_000},
        {"account": b"one"},
        {"model": b"m"},
        {"tier": b"flex"},
        {"input": "5"},
        {"output": float("inf")},
        {"cached": float("nan")},
        {"reasoning": b"5"},
    ],
)
def test_a_request_that_is_none(change: dict[str, Any]) -> None:
    assert request(**change) is None


def test_a_request_with_all_that_is_billed() -> None:
    found = request(
        provider="openai", write=3, write_1h=2, others="1,0,0,0", units='{"web_search": 2, "x": "y"}'
    )
    assert found is not None
    assert (found.provider, found.write, found.write_1h) == ("openai", 3, 2)
    assert found.others == (1, 0, 0, 0)
    assert found.units == {"web_search": Decimal(2)}


@pytest.mark.parametrize("units", ["{", "[1]", "7", b"x", "NaN"])
def test_units_that_are_none_cost_the_row(units: object) -> None:
    assert request(units=units) is None


@pytest.mark.parametrize(("stored", "tier"), [("PRIORITY", "priority"), ("", None), (None, None)])
def test_a_tier_has_one_spelling(stored: str | None, tier: str | None) -> None:
    found = request(tier=stored)
    assert found is not None
    assert found.tier == tier


@pytest.mark.parametrize(
    ("status", "kind", "should_cost"),
    [("SUCCESS", "normal", True), ("success", "read", False), ("error", None, False), (None, None, False)],
)
def test_what_should_cost(status: str | None, kind: str | None, should_cost: bool) -> None:
    found = request(status=status, kind=kind)
    assert found is not None
    assert found.should_cost is should_cost


def test_a_reading_as_it_should_be() -> None:
    assert reading() == ("secondary", Reading(AT, 40.0, RESET, 10_080))
    assert reading(name=None, used=Decimal("103.5")) == ("primary", Reading(AT, 103.5, RESET, 10_080))


@pytest.mark.parametrize(
    "change",
    [
        {"at": None},
        {"at": "yesterday"},
        {"used": None},
        {"used": float("inf")},
        {"used": float("nan")},
        {"used": "anna@example.com"},
        {"used": 1e9},
        {"name": b"secondary"},
        {"reset_at": "soon"},
        {"minutes": "x"},
    ],
)
def test_a_reading_that_is_none(change: dict[str, Any]) -> None:
    assert reading(**change) is None


@pytest.mark.parametrize("reset_at", [0, -5, -(10**15), RESET * 1_000, RESET + 400 * 86_400])
def test_a_reset_that_cannot_be_is_not_known(reset_at: int) -> None:
    assert reading(reset_at=reset_at) == ("secondary", Reading(AT, 40.0, None, 10_080))


@pytest.mark.parametrize("minutes", [0, -5, 10**12])
def test_nor_is_such_a_length(minutes: int) -> None:
    assert reading(minutes=minutes) == ("secondary", Reading(AT, 40.0, RESET, None))


@pytest.mark.parametrize(
    ("name", "used", "counts"),
    [
        ("secondary", 1, True),
        (None, 1, True),
        ("OLD-Primary", 1, True),
        ("gpt-x", 1, False),
        (None, None, False),
    ],
)
def test_other_windows_and_rows_without_a_percent_are_left_alone(
    name: str | None, used: int | None, counts: bool
) -> None:
    assert parsed.is_of_a_window((1, "one", TIME, used, name, None, None)) is counts


def test_an_account_as_it_should_be_and_one_that_is_none() -> None:
    assert parsed.account(("a", None, "Plus", "ACTIVE", None)) == Account("a", "", "plus", "active")
    assert parsed.account((7, "x", None, None, None)) == Account("7", "x", "unknown", "active")
    assert parsed.account((b"a", None, None, None, None)) is None
    assert parsed.account(("a", b"\xff", None, None, None)) is None


@given(st.lists(anything, min_size=17, max_size=17), st.lists(anything, min_size=6, max_size=6))
def test_whatever_a_row_holds_nothing_is_raised_and_what_comes_out_fits_64_bits(
    request_row: list[Any], reading_row: list[Any]
) -> None:
    told = parsed.request((1, *request_row))
    assert told is None or abs(told.at) < 2**63
    assert not isinstance(told and told.account, bytes)
    found = parsed.reading((1, *reading_row))
    if found is not None:
        source, (at, used, reset_at, minutes) = found
        assert source in {"primary", "secondary", "monthly"}
        assert -1_000 <= used <= 1_000
        assert reset_at is None or abs(reset_at * 1_000_000 - at) <= parsed.FARTHEST_RESET
        assert minutes is None or 0 < minutes <= parsed.MAX_MINUTES
    parsed.account(tuple(request_row[:5]))
    parsed.time(request_row[0])
