from __future__ import annotations

import re

import pytest

from metrics import collector as collector_metrics
from metrics import exporter as exporter_metrics
from metrics import proxy as proxy_metrics
from metrics.family import MetricFamily
from metrics.recorded import BUILT_IN, RECORDED
from prometheus.rules import recording_rules


@pytest.mark.parametrize("family", RECORDED, ids=str)
def test_a_recorded_name_says_its_labels_its_metric_and_its_operation(family: MetricFamily) -> None:
    level, metric, operation = family.name.split(":")
    assert level == "_".join(family.labels)
    families = (*proxy_metrics.FAMILIES, *exporter_metrics.FAMILIES, *collector_metrics.OWN)
    declared = {name.removesuffix("_total") for family in families for name in family.series}
    assert metric in declared
    assert re.fullmatch("[a-z0-9_]+", operation)
    assert operation.endswith("_total") == (family.kind == "counter")


def test_every_name_is_owned_once() -> None:
    ours = (*proxy_metrics.FAMILIES, *exporter_metrics.FAMILIES, *collector_metrics.OWN)
    names = [f.name for f in (*RECORDED, *BUILT_IN, *ours)]
    assert len(names) == len(set(names))


def test_every_recorded_name_is_recorded_by_one_rule() -> None:
    assert [rule.name for rule in recording_rules()] == list(RECORDED)
