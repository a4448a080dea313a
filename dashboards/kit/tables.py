"""Tables as plain JSON: a row for each set of labels, a column for each query."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from grafanalib import core

from dashboards.kit.parts import About, common, finished, mappings, override
from dashboards.kit.plain import Json, plain
from dashboards.queries.query import Query

MIN_WIDTH = 70
"""Pixels of a column."""

NAME_WIDTH = 170
"""Of the first one beside many others: an e-mail address."""

WIDER = 200
"""Of the first one beside few others: the name of a model."""


@dataclass(frozen=True, slots=True)
class Column:
    """What one query answers with.

    Attributes:
        unit: Grafana's id of the unit.
        limits: from which value on a number has another colour.
        width: pixels; None shares what there is.
    """

    query: Query
    title: str
    unit: str
    decimals: int | None = None
    limits: tuple[tuple[float, str], ...] = ()
    width: int | None = None


def table(about: About, columns: Sequence[Column], labels: Mapping[str, str]) -> Json:
    """The answers of instant queries, by the first column, largest first.

    Links stand on the first column alone. A label whose title is "" is there for links and not shown.

    Args:
        labels: title of each label's column, in the order in which they stand before the values.
    """
    if len(columns) > 1:  # of some rows single cells may be empty, and the text would stand in them
        about = replace(about, description=f"{about.description} Empty: {about.no_value}.", no_value="-")
    hidden = [name for name, title in labels.items() if not title]
    labels = {name: title or name for name, title in labels.items()}
    links = [link.document() for link in about.value_links]
    first = [*labels.values()][:1]
    width = NAME_WIDTH if len(columns) > 3 else WIDER
    made = core.Table(
        **common(about, [column.query for column in columns], None, []),
        overrides=[
            *(override(name, **{"custom.hidden": True}) for name in hidden),
            *(override(title, links=links) for title in first if links),
            *(override(title, **{"custom.width": width}) for title in first if len(columns) > 1),
            *(_look(column) for column in columns),
        ],
        sortBy=[core.TableSortByField(displayName=columns[0].title, desc=True)],
        transformations=_joined(columns, labels),
    )
    json = plain(made)
    json["targets"] = [{**target, "format": "table"} for target in json["targets"]]
    defaults = json["fieldConfig"]["defaults"]
    json["fieldConfig"]["defaults"] = {
        "noValue": defaults["noValue"],
        # Grafana's own least width, 150 pixels, pushes the last columns out of sight.
        "custom": {"align": "auto", "minWidth": MIN_WIDTH},
        "decimals": about.decimals,
        "unit": about.unit,
    }
    return finished(json)


def _joined(columns: Sequence[Column], labels: Mapping[str, str]) -> list[Json]:
    # Grafana names a lone value `Value`, several of them after their queries.
    values = ["Value"] if len(columns) == 1 else [f"Value #{chr(ord('A') + i)}" for i in range(len(columns))]
    titles = dict(labels) | {value: column.title for value, column in zip(values, columns, strict=True)}
    organize = {
        "id": "organize",
        "options": {
            "excludeByName": {"Time": True},
            "indexByName": {name: place for place, name in enumerate(titles)},
            "renameByName": titles,
        },
    }
    return [organize] if len(columns) == 1 else [{"id": "merge", "options": {}}, organize]


def _look(column: Column) -> Json:
    look: Json = {"unit": column.unit}
    if column.decimals is not None:
        look["decimals"] = column.decimals
    if texts := mappings(column.unit, column.decimals):
        look["mappings"] = texts
    if column.width is not None:
        look["custom.width"] = column.width
    if column.limits:
        steps = [{"color": "text"}, *({"color": color, "value": value} for value, color in column.limits)]
        look |= {
            "thresholds": {"mode": "absolute", "steps": steps},
            "custom.cellOptions": {"type": "color-text"},
        }
    return override(column.title, **look)
