from __future__ import annotations

import json
from typing import Any

import pytest

from prometheus.relabel import drop_model
from runbooks.cleanup.guard import Guard, guards, offered
from runbooks.cleanup.stock import Stock
from runbooks.errors import ServerError
from runbooks.relabelling import relabelled

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
        ({"action": "labeldrop", "regex": "model"}, True),
        ({"source_labels": ["model"], "regex": "m.*", "target_label": "model", "replacement": "o"}, True),
        ({"source_labels": ["model"], "regex": "(m.*)", "target_label": "model"}, False),
        ({"action": "keep", "source_labels": ["model"], "regex": "other"}, True),
        ({"action": "drop", "source_labels": ["model"], "regex": "(?P<x"}, False),
    ],
)
def test_a_rule_blocks_where_nothing_matches_any_more(entry: dict[str, Any], blocked: bool) -> None:
    assert guards([stock(active=True)], [MATCHER], config(entry)) == [Guard("a", True, blocked)]


def test_only_what_is_exported_now_comes_back() -> None:
    (guard,) = guards([stock(active=False)], [MATCHER], config())
    assert (guard.active, guard.blocked, guard.lets_them_back) == (False, False, False)


def test_a_job_that_is_gone_brings_nothing_back() -> None:
    assert guards([stock(active=True)], [MATCHER], '{"scrape_configs": []}') == []


def test_a_configuration_that_cannot_be_read() -> None:
    with pytest.raises(ServerError, match="configuration cannot be read"):
        guards([stock(active=True)], [MATCHER], "- x")


@pytest.mark.parametrize(
    "matcher", [MATCHER, 'x{model="m.1"}', '{model=~"m.1|m.2", job="a"}', '{__name__=~"x|y"}']
)
def test_what_is_offered_blocks(matcher: str) -> None:
    rule = offered(matcher)
    assert rule is not None
    assert relabelled(SERIES, [rule.document()]) is None
    assert relabelled({**SERIES, "model": "n", "__name__": "z"}, [rule.document()]) is not None


def test_nothing_is_offered_against_a_negative_matcher() -> None:
    assert offered('x{model!="m"}') is None
