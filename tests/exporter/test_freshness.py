from __future__ import annotations

from exporter.spend import newest
from metrics.exporter import NEWEST_REQUEST


def test_the_newest_request_in_seconds_since_1970() -> None:
    samples = newest(1_790_769_600_250_000)
    assert samples.family is NEWEST_REQUEST
    assert samples.values == {(): 1_790_769_600.25}


def test_an_empty_ledger_has_no_newest_request_and_no_zero_either() -> None:
    assert newest(None).values == {}
