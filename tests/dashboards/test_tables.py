from __future__ import annotations

from dashboards.kit.parts import About
from dashboards.kit.tables import Column, table
from dashboards.queries.query import Query

ABOUT = About("T", "d", "short", "nothing")
FIRST = Column(Query("up", "x", instant=True), "First", "percent", 0, ((80.0, "red"),))
SECOND = Column(Query("up", "x", instant=True), "Second", "s")


def test_several_queries_are_merged_into_rows() -> None:
    made = table(ABOUT, [FIRST, SECOND], {"account": "Account"})
    merge, organize = made["transformations"]
    assert merge["id"] == "merge"
    assert organize["options"]["renameByName"] == {
        "account": "Account",
        "Value #A": "First",
        "Value #B": "Second",
    }
    assert organize["options"]["indexByName"] == {"account": 0, "Value #A": 1, "Value #B": 2}
    assert {target["format"] for target in made["targets"]} == {"table"}


def test_a_few_cents_are_not_nothing() -> None:
    cents = Column(Query("up", "x", instant=True), "Cost", "currencyUSD", 2)
    (look,) = table(ABOUT, [cents], {})["fieldConfig"]["overrides"]
    (less,) = next(p["value"] for p in look["properties"] if p["id"] == "mappings")
    assert less["options"] == {"from": 1e-12, "to": 0.005, "result": {"text": "< $0.01"}}


def test_a_lone_query_needs_no_merge() -> None:
    (organize,) = table(ABOUT, [SECOND], {})["transformations"]
    assert organize["options"]["renameByName"] == {"Value": "Second"}


def test_columns_have_their_own_units_and_limits() -> None:
    made = table(ABOUT, [FIRST, SECOND], {})
    first, second = made["fieldConfig"]["overrides"]
    assert first["matcher"] == {"id": "byName", "options": "First"}
    properties = {p["id"]: p["value"] for p in first["properties"]}
    assert (properties["unit"], properties["decimals"]) == ("percent", 0)
    assert properties["thresholds"]["steps"] == [{"color": "text"}, {"color": "red", "value": 80.0}]
    assert [p["id"] for p in second["properties"]] == ["unit"]
    assert made["options"]["sortBy"] == [{"displayName": "First", "desc": True}]
