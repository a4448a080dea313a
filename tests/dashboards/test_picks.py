from __future__ import annotations

from datetime import datetime
from typing import Any

from dashboards.preview.grafana_time import View
from dashboards.preview.picks import picked
from dashboards.preview.source import fetch
from dashboards.queries.activity import ALL


def test_what_is_chosen_when_a_dashboard_is_opened(built: dict[str, Any], seeded: str, now: datetime) -> None:
    """All accounts, on each dashboard; on one of them, all traffic."""
    view = View(now)
    several = {
        p.name: (p.text, p.value) for p in picked(built["accounts"], view, lambda ask: fetch(seeded, ask))
    }
    assert several == {"account": ("All", ".*"), "top": ("20", "20"), "least": ("5", "5")}
    one = {p.name: (p.text, p.value) for p in picked(built["activity"], view, lambda ask: fetch(seeded, ask))}
    assert one == {"account": ("All", ALL), "api": ("All", ".*")}
