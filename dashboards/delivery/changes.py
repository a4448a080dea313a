"""What would change: the dashboards that are wanted, held against those that a Grafana has."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from dashboards.delivery.grafana import Stored
from dashboards.kit.plain import Json

Action = Literal["create", "update", "unchanged", "prune", "provisioned"]

_GRAFANAS_OWN = {"id", "version", "iteration"}
"""What Grafana gives to a dashboard; it says nothing about what the dashboard shows."""

_MOST = 6


@dataclass(frozen=True, slots=True)
class Change:
    """What is to be done about one dashboard.

    Attributes:
        details: where wanted and stored differ, as `path: stored -> wanted`.
    """

    uid: str
    title: str
    action: Action
    details: tuple[str, ...] = ()

    @property
    def is_drift(self) -> bool:
        """Whether the Grafana shows another thing than the repository says."""
        return self.action != "unchanged"


def changes(
    wanted: Mapping[str, Json], stored: Mapping[str, Stored], ours: Mapping[str, str], folder: str
) -> list[Change]:
    """Every change in the order of the wanted dashboards, then those that are to go.

    Args:
        wanted: by uid.
        stored: by uid, as far as they are there.
        ours: titles of the dashboards in that Grafana that were deployed from here, by uid.
        folder: the uid of the folder in which they are to lie.
    """
    found = [_change(uid, dashboard, stored.get(uid), folder) for uid, dashboard in wanted.items()]
    return found + [Change(uid, title, "prune") for uid, title in sorted(ours.items()) if uid not in wanted]


def content(dashboard: Json) -> Json:
    """What a dashboard says, without what Grafana adds."""
    return {key: value for key, value in dashboard.items() if key not in _GRAFANAS_OWN}


def _change(uid: str, dashboard: Json, stored: Stored | None, folder: str) -> Change:
    title = str(dashboard["title"])
    if stored is None:
        return Change(uid, title, "create")
    details = list(differences(content(stored.dashboard), content(dashboard)))
    if stored.folder != folder:
        details.insert(0, f"folder: {stored.folder or 'none'} -> {folder}")
    if not details:
        return Change(uid, title, "unchanged")
    action: Action = "provisioned" if stored.provisioned else "update"
    return Change(uid, title, action, _shortened(details))


def differences(stored: Any, wanted: Any, path: str = "") -> Iterator[str]:
    """Where two pieces of JSON differ, from the outside in."""
    if isinstance(stored, dict) and isinstance(wanted, dict):
        for key in sorted({*stored, *wanted}):
            yield from differences(stored.get(key), wanted.get(key), f"{path}.{key}".lstrip("."))
    elif _have_ids(stored) and _have_ids(wanted):
        yield from _by_id(stored, wanted, path)
    elif isinstance(stored, list) and isinstance(wanted, list) and len(stored) == len(wanted):
        for number, (left, right) in enumerate(zip(stored, wanted, strict=True)):
            yield from differences(left, right, f"{path}[{_name(right, number)}]")
    elif stored != wanted:
        yield f"{path}: {' -> '.join(map(_short, _from_difference(stored, wanted)))}"


def _have_ids(entries: Any) -> bool:
    """Whether these are panels: each with an id of its own."""
    if not isinstance(entries, list) or not all(isinstance(e, dict) and "id" in e for e in entries):
        return False
    return len({entry["id"] for entry in entries}) == len(entries)


def _by_id(stored: list[Json], wanted: list[Json], path: str) -> Iterator[str]:
    """Panels by their ids, so that one more of them does not hide what was done to the others."""
    before, after = ({entry["id"]: entry for entry in entries} for entries in (stored, wanted))
    for number, entry in after.items():
        if number in before:
            yield from differences(before[number], entry, f"{path}[{_name(entry, number)}]")
        else:
            yield f"{path}[{_name(entry, number)}]: missing -> there"
    for number in before.keys() - after.keys():
        yield f"{path}[{_name(before[number], number)}]: there -> gone"
    if [n for n in before if n in after] != [n for n in after if n in before]:
        yield f"{path}: in another order"


def _name(entry: Any, number: int) -> str:
    title = entry.get("title") or entry.get("name") if isinstance(entry, dict) else None
    return str(title or number)


def _from_difference(stored: Any, wanted: Any) -> tuple[Any, Any]:
    """Both values; long texts that begin alike from a little before the first letter that differs."""
    if not (isinstance(stored, str) and isinstance(wanted, str)):
        return stored, wanted
    pairs = enumerate(zip(stored, wanted, strict=False))
    alike = next((place for place, (a, b) in pairs if a != b), min(len(stored), len(wanted)))
    start = alike - 20 if alike > 40 else 0
    cut = "..." if start else ""
    return cut + stored[start:], cut + wanted[start:]


def _short(value: Any) -> str:
    if isinstance(value, list):
        return f"{len(value)} entries"
    text = repr(value) if not isinstance(value, dict) else "{...}"
    return text if len(text) <= 60 else f"{text[:57]}..."


def _shortened(details: list[str]) -> tuple[str, ...]:
    rest = len(details) - _MOST
    return (*details[:_MOST], f"and {rest} more") if rest > 0 else tuple(details)
