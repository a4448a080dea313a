from __future__ import annotations

from datetime import UTC, datetime, timedelta

from dashboards.kit.parts import About
from dashboards.kit.tables import Column, table
from dashboards.preview.answered import Answered
from dashboards.preview.grafana_time import Ask, Range
from dashboards.preview.source import Series
from dashboards.preview.tiles import rows
from dashboards.queries.query import Query

NOW = datetime(2026, 9, 1, tzinfo=UTC)
QUERY = Query("up", "x", instant=True)
PANEL = table(
    About("T", "d", "short", "nothing"),
    [Column(QUERY, "Used", "percent", 0, ((80.0, "red"),)), Column(QUERY, "Left in", "s", 1)],
    {"account": "Account"},
)


def answer(**values: float) -> tuple[Ask, list[Series]]:
    ask = Ask("up", NOW, NOW, timedelta(minutes=1), True, "")
    return ask, [Series(name, {"account": name}, ((NOW, value),)) for name, value in values.items()]


def test_answers_are_joined_by_their_labels_and_ranked() -> None:
    shown = rows(Answered(PANEL, Range(NOW, NOW), [answer(a=30.0, b=90.0), answer(a=7_200.0)]))
    assert [list(line) for line in shown.lines] == [
        ["Account", "Used", "Left in"],
        ["b", "90%", ""],
        ["a", "30%", "2.0 h"],
    ]
    assert [list(line) for line in shown.colors] == [["text", "red", "text"], ["text", "text", "text"]]
