from __future__ import annotations

import json
from typing import Any

import pytest

from prometheus.errors import ApiError
from prometheus.relabel import drop_model
from runbooks.cleanup.guard import Guard, guards, offered
from runbooks.cleanup.series import Stock

MATCHER = '{model="m.1"}'
SERIES = {"__name__": "x", "job": "a", "instance": "i", "model": "m.1"}


def stock(*, active: bool) -> Stock:
    return Stock("x", MATCHER, (SERIES,), 1, (SERIES,) if active else ())


def config(*entries: dict[str, Any]) -> str:
    return json.dumps({"scrape_configs": [{"job_name": "a", "metric_relabel_configs": entries}]})


@pytest.mark.parametrize(
    ("entry", "blocked"),
    [
        (drop_model("m.1").document(), True),
        (drop_model("m.2").document(), False),
        ({"action": "drop", "source_labels": ["job", "model"], "separator": "-", "regex": "a-m.*"}, True),
        ({"action": "drop", "source_labels": ["model"], "regex": "m"}, False),
        ({"source_labels": ["model"], "regex": "(m.*)", "target_label": "model"}, False),
        ({"action": "keep", "source_labels": ["model"], "regex": "m.*"}, False),
        ({"action": "keep", "source_labels": ["model"], "regex": "other"}, True),
        ({"action": "drop", "source_labels": ["model"], "regex": "(?P<x"}, False),
    ],
)
def test_a_rule_blocks_what_it_drops(entry: dict[str, Any], blocked: bool) -> None:
    assert guards([stock(active=True)], config(entry)) == [Guard("a", True, blocked)]


def test_only_what_is_exported_now_comes_back() -> None:
    (guard,) = guards([stock(active=False)], config())
    assert (guard.active, guard.blocked, guard.lets_them_back) == (False, False, False)


def test_a_job_that_is_gone_brings_nothing_back() -> None:
    assert guards([stock(active=True)], '{"scrape_configs": []}') == []


def test_a_configuration_that_cannot_be_read() -> None:
    with pytest.raises(ApiError, match="configuration cannot be read"):
        guards([stock(active=True)], "- x")


@pytest.mark.parametrize(
    "matcher", [MATCHER, 'x{model="m.1"}', '{model=~"m.1|m.2", job="a"}', '{__name__=~"x|y"}']
)
def test_what_is_offered_blocks(matcher: str) -> None:
    rule = offered(matcher)
    assert rule is not None
    assert [guard.blocked for guard in guards([stock(active=True)], config(rule.document()))] == [True]
    other = Stock("z", MATCHER, ({**SERIES, "model": "n", "__name__": "z"},), 1, ())
    assert [guard.blocked for guard in guards([other], config(rule.document()))] == [False]


def test_nothing_is_offered_against_a_negative_matcher() -> None:
    assert offered('x{model!="m"}') is None
