from __future__ import annotations

from math import hypot, pi

import pytest

from dashboards.preview.pies import slice_of


def area(corners: list[tuple[float, float]]) -> float:
    pairs = zip(corners, [*corners[1:], corners[0]], strict=True)
    return abs(sum(ax * by - bx * ay for (ax, ay), (bx, by) in pairs)) / 2


@pytest.mark.parametrize(("start", "end"), [(0.0, 0.25), (0.25, 0.95), (0.95, 1.0)])
def test_a_slice_has_its_share_of_the_circle(start: float, end: float) -> None:
    assert area(slice_of(50, 50, 40, start, end)) == pytest.approx((end - start) * pi * 40**2, rel=0.01)


def test_slices_begin_at_the_top_and_go_clockwise() -> None:
    middle, first, *_, last = slice_of(50, 50, 40, 0.0, 0.25)
    assert middle == (50, 50)
    assert first == pytest.approx((50, 10))
    assert last == pytest.approx((90, 50))
    assert hypot(first[0] - 50, first[1] - 50) == pytest.approx(40)
