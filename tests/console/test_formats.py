"""How values are written."""

from __future__ import annotations

import pytest

from console import formats as f


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (999, "999"),
        (1_000, "1.00k"),
        (9_994, "9.99k"),
        (9_996, "10.0k"),
        (99_960, "100k"),
        (999_499, "999k"),
        (999_500, "1.00M"),
        (999_999_999, "1.00G"),
        (12_345_678, "12.3M"),
    ],
)
def test_a_count_is_never_a_thousand_of_a_unit(value: int, text: str) -> None:
    assert f.short(value) == text


@pytest.mark.parametrize(
    ("ms", "text"),
    [(999.4, "999 ms"), (999.7, "1.00 s"), (59_994, "59.99 s"), (59_996, "1 min"), (119_999, "2 min")],
)
def test_a_duration_is_never_a_whole_of_the_unit_above(ms: float, text: str) -> None:
    assert f.duration(ms) == text


@pytest.mark.parametrize(
    ("percent", "text"), [(0.4, "0%"), (99.4, "99%"), (99.6, "99%"), (100, "100%"), (104.2, "100%")]
)
def test_a_window_is_full_only_where_all_of_it_is_used(percent: float, text: str) -> None:
    assert f.used(percent) == text
