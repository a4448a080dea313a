from __future__ import annotations

from datetime import datetime
from typing import Any

from dashboards.preview.grafana_time import View
from dashboards.preview.picks import picked
from dashboards.preview.source import fetch


def test_what_is_chosen_when_a_dashboard_is_opened(built: dict[str, Any], seeded: str, now: datetime) -> None:
    """All accounts where several can be chosen, the first by name where one must be."""
    view = View(now)
    several = {
        p.name: (p.text, p.value) for p in picked(built["accounts"], view, lambda ask: fetch(seeded, ask))
    }
    assert several == {"account": ("All", ".*"), "top": ("20", "20"), "least": ("5", "5")}
    one = {p.name: (p.text, p.value) for p in picked(built["activity"], view, lambda ask: fetch(seeded, ask))}
    assert one == {"account": ("acc-dmitri", "acc-dmitri"), "api": ("All", ".*")}


def test_accounts_are_chosen_by_their_names(built: dict[str, Any], seeded: str, now: datetime) -> None:
    found = []

    def without_the_unnamed(ask: Any) -> Any:
        found.extend(fetch(seeded, ask))
        return [series for series in found if series.labels["display"] != series.labels["account_id"]]

    account, _ = picked(built["activity"], View(now), without_the_unnamed)
    assert (account.text, account.value) == ("anna@example.com", "acc-anna")
    assert len(found) == 6


def test_nobody_to_choose(built: dict[str, Any], now: datetime) -> None:
    account, _ = picked(built["activity"], View(now), lambda ask: [])
    assert (account.text, account.value) == ("", "")
