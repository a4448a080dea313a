from __future__ import annotations

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from prometheus.promql import promql

MILLISECONDS = {"ms": 1, "s": 1_000, "m": 60_000, "h": 3_600_000, "d": 86_400_000}


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (timedelta(seconds=15), "15s"),
        (timedelta(seconds=75), "75s"),
        (timedelta(minutes=5), "5m"),
        (timedelta(minutes=90), "90m"),
        (timedelta(days=7), "7d"),
        (timedelta(milliseconds=250), "250ms"),
    ],
)
def test_the_largest_unit_that_leaves_it_whole(value: timedelta, text: str) -> None:
    assert promql(value) == text


@given(st.integers(min_value=1, max_value=10**12))
def test_the_text_means_the_duration(milliseconds: int) -> None:
    text = promql(timedelta(milliseconds=milliseconds))
    number = text.rstrip("mshd")
    assert int(number) * MILLISECONDS[text.removeprefix(number)] == milliseconds


@pytest.mark.parametrize("value", [timedelta(0), timedelta(seconds=-1), timedelta(microseconds=1500)])
def test_what_prometheus_cannot_say_is_refused(value: timedelta) -> None:
    with pytest.raises(ValueError, match="positive number of milliseconds"):
        promql(value)
