"""What stands around views of requests: the time and the filters before them, the foot after them."""

from __future__ import annotations

from zoneinfo import available_timezones

from aiohttp import web

from console.conditions import Selection
from console.web.context import Context
from console.web.words import FIELDS, LABELS

SPLIT = "<!--split-->"
_ZONES = sorted(available_timezones())


def frame(
    context: Context, request: web.Request, chosen: Selection, *, title: str, path: str | None = None
) -> tuple[str, str]:
    """What goes before a view and what comes after it.

    Args:
        path: where the filters lead to; without it, to this address.
    """
    names = {name for name, _, _ in FIELDS}
    hidden = [(k, v) for k, v in chosen.pairs if k in names]
    times = {"from": chosen.range.start, "to": chosen.range.end, "zone": chosen.range.zone.key}
    text = context.pages.fragment(
        request,
        "overview.html",
        title=title,
        here=chosen,
        fields=FIELDS,
        labels=LABELS,
        zones=_ZONES,
        hidden_pairs=[*times.items(), *hidden],
        **({"path": path} if path else {}),
    )
    head, _, foot = text.partition(SPLIT)
    return head, foot
