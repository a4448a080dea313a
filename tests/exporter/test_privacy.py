from __future__ import annotations

from datetime import UTC, datetime

from exporter.collect import Collector
from exporter.log import pseudonym, without_addresses
from metrics.exporter import IDENTITY
from metrics.exposition import Samples

NOW = datetime(2026, 9, 30, tzinfo=UTC)


def test_every_label_value_that_looks_like_an_address_is_replaced() -> None:
    samples = Samples(IDENTITY, {("a@example.com", "b@example.com", "plus"): 1.0, ("c", "c", "free"): 1.0})
    (clean,) = without_addresses(Collector("accounts", lambda now: (samples,))).read(NOW)
    assert clean.values == {
        (pseudonym("a@example.com"), pseudonym("b@example.com"), "plus"): 1.0,
        ("c", "c", "free"): 1.0,
    }
    assert not any("@" in value for key in clean.values for value in key)


def test_a_pseudonym_lasts_and_tells_two_addresses_apart() -> None:
    assert pseudonym("a@example.com") == pseudonym("a@example.com") != pseudonym("b@example.com")
    assert pseudonym("acc-1") == "acc-1"
