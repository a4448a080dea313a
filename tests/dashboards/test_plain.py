from __future__ import annotations

from grafanalib.core import Target

from dashboards.kit.plain import merged, plain, without


def test_grafanalibs_objects_become_json_at_any_depth() -> None:
    assert plain({"targets": [Target(expr="up")]})["targets"][0]["expr"] == "up"


def test_objects_merge_and_everything_else_is_replaced() -> None:
    base = {"a": {"x": 1, "y": [1, 2]}, "b": 1}
    assert merged(base, {"a": {"y": [3], "z": None}, "c": {"d": 1}}) == {
        "a": {"x": 1, "y": [3], "z": None},
        "b": 1,
        "c": {"d": 1},
    }


def test_keys_go_at_the_top_and_null_goes_everywhere() -> None:
    value = {"gone": 1, "kept": {"gone": 0, "null": None}, "list": [{"null": None, "zero": 0}], "null": None}
    assert without(value, {"gone"}) == {"kept": {"gone": 0}, "list": [{"zero": 0}]}
