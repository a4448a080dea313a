from __future__ import annotations

import re

import pytest

from metrics.exporter import ACCOUNTS, IDENTITY
from metrics.proxy import HTTP_DURATION
from prometheus.errors import ConfigError
from prometheus.relabel import cap_label, drop_label


@pytest.mark.parametrize(
    ("value", "kept"), [("", True), ("m.1", True), ("m", True), ("mx1", False), ("other", False)]
)
def test_a_cap_keeps_the_known_values_and_what_has_none(value: str, kept: bool) -> None:
    rule = cap_label("model", ["m.1", "m"])
    assert bool(re.fullmatch(rule.regex, value)) == kept
    assert rule.document()["action"] == "keep"


def test_a_dropped_label_is_dropped_of_every_series_of_its_family() -> None:
    rule = drop_label(HTTP_DURATION, "method")
    assert all(re.fullmatch(rule.regex, name) for name in HTTP_DURATION.series)
    assert not re.fullmatch(rule.regex, "http_requests_total")
    assert rule.document() | {"regex": ""} == {
        "action": "replace",
        "source_labels": ["__name__"],
        "regex": "",
        "target_label": "method",
        "replacement": "",
    }


def test_a_label_that_is_needed_stays() -> None:
    with pytest.raises(ConfigError, match="'status' cannot be dropped"):
        drop_label(ACCOUNTS, "status")
    with pytest.raises(ConfigError, match="'model' cannot be dropped; labels: account_id"):
        drop_label(IDENTITY, "model")
