"""From built dashboards to a running Grafana: look, then change only what differs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from dashboards.delivery.changes import Change, changes
from dashboards.delivery.grafana import Grafana
from dashboards.errors import GrafanaError
from dashboards.kit.frame import TAG
from dashboards.kit.plain import Json
from prometheus.addresses import FOLDER, FOLDER_TITLE

MESSAGE = "Deployed from the repository"


def compare(grafana: Grafana, dashboards: Mapping[str, Json]) -> list[Change]:
    """What a deployment would change.

    Raises: GrafanaError.
    """
    wanted = {str(dashboard["uid"]): dashboard for dashboard in dashboards.values()}
    found = {uid: grafana.dashboard(uid) for uid in wanted}
    stored = {uid: one for uid, one in found.items() if one is not None}
    return changes(wanted, stored, grafana.tagged(TAG, FOLDER), FOLDER)


def deploy(grafana: Grafana, dashboards: Mapping[str, Json], *, prune: bool) -> list[Change]:
    """Make the Grafana show the dashboards; what is as wanted is not written.

    Args:
        prune: remove dashboards in our folder that carry our tag and are no longer built.
    Returns: what was done; without `prune` also what would have been removed.
    Raises: GrafanaError, before anything is written where a dashboard comes from a file there.
    """
    todo = compare(grafana, dashboards)
    provisioned = [change.title for change in todo if change.action == "provisioned"]
    if provisioned:
        raise GrafanaError(
            f"{', '.join(provisioned)}: that Grafana reads it from a file, which wins over a deployment"
        )
    wanted = {str(dashboard["uid"]): dashboard for dashboard in dashboards.values()}
    _folder(grafana)
    for change in todo:
        if change.action in ("create", "update"):
            grafana.save(wanted[change.uid], FOLDER, MESSAGE)
        elif change.action == "prune" and prune:
            grafana.delete(change.uid)
    return todo


def table(found: Sequence[Change], words: Mapping[str, str]) -> str:
    """The changes as lines of text, with the differences below each.

    Args:
        words: what to call each action.
    """
    width = max((len(words[change.action]) for change in found), default=0)
    lines = []
    for change in found:
        lines.append(f"{words[change.action]:<{width}}  {change.title}  ({change.uid})")
        lines += [f"{'':<{width}}    {detail}" for detail in change.details]
    return "\n".join(lines)


def _folder(grafana: Grafana) -> None:
    title = grafana.folder_title(FOLDER)
    if title is None:
        grafana.create_folder(FOLDER, FOLDER_TITLE)
    elif title != FOLDER_TITLE:
        grafana.rename_folder(FOLDER, FOLDER_TITLE)
