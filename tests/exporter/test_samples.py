from __future__ import annotations

import pytest

from metrics.exporter import ACCOUNTS, IDENTITY, NEWEST_REQUEST
from metrics.exposition import Samples
from metrics.family import MetricFamily


@pytest.mark.parametrize(
    ("family", "key"),
    [(ACCOUNTS, ()), (ACCOUNTS, ("active", "plus")), (IDENTITY, ("one",)), (NEWEST_REQUEST, ("one",))],
)
def test_a_key_that_does_not_fit_the_labels_is_refused(family: MetricFamily, key: tuple[str, ...]) -> None:
    with pytest.raises(ValueError, match=f"{family} has the labels"):
        Samples(family, {key: 1.0})


def test_a_family_may_have_no_value_at_all() -> None:
    assert Samples(NEWEST_REQUEST, {}).values == {}
