from __future__ import annotations

import pytest

from metrics.family import MetricFamily

HISTOGRAM = MetricFamily("took_seconds", "histogram", "How long.", ("path",), "seconds", (0.1, 1.0))
GAUGE = MetricFamily("size", "gauge", "How many.")


def test_a_histogram_puts_three_series_on_a_scrape() -> None:
    assert HISTOGRAM.series == ("took_seconds_bucket", "took_seconds_sum", "took_seconds_count")
    assert (HISTOGRAM.bucket, HISTOGRAM.sum, HISTOGRAM.count) == HISTOGRAM.series


def test_any_other_family_is_its_own_series() -> None:
    assert GAUGE.series == ("size",)
    assert f"sum({GAUGE})" == "sum(size)"


@pytest.mark.parametrize("name", ["bucket", "sum", "count"])
def test_only_a_histogram_has_buckets_sum_and_count(name: str) -> None:
    with pytest.raises(TypeError, match=r"size is a gauge: only a histogram has _" + name):
        getattr(GAUGE, name)
