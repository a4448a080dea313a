"""The picture, drawn from the answers of a real Prometheus, and what is in it."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib.image import imread

from dashboards.__main__ import main
from dashboards.build import DASHBOARDS
from dashboards.errors import OutputError, SourceError
from dashboards.preview import theme
from dashboards.preview.canvas import Box
from dashboards.preview.grafana_time import View
from dashboards.preview.preview import WIDTH, place, preview, write
from dashboards.preview.source import fetch

pytestmark = pytest.mark.slow

VARIABLES = {"model": ".*", "api": ".*"}
Picture = Callable[..., "np.ndarray[Any, Any]"]


@pytest.fixture(scope="session")
def picture(built: dict[str, Any], seeded: str, now: datetime) -> Picture:
    """The Overview as pixels, red, green and blue from 0 to 1."""
    drawn: dict[datetime, np.ndarray[Any, Any]] = {}

    def draw(at: datetime = now) -> np.ndarray[Any, Any]:
        if at not in drawn:
            png = preview(built["overview"], View(at, variables=VARIABLES), lambda ask: fetch(seeded, ask))
            drawn[at] = imread(BytesIO(png))[:, :, :3]
        return drawn[at]

    return draw


def inside(pixels: np.ndarray[Any, Any], panel: dict[str, Any]) -> np.ndarray[Any, Any]:
    """What lies under a panel's title."""
    box, scale = place(panel["gridPos"]), pixels.shape[1] / WIDTH
    rows = slice(int((box.top + 34) * scale), int((box.bottom - 2) * scale))
    return pixels[rows, int((box.left + 2) * scale) : int((box.right - 2) * scale)]


def share(pixels: np.ndarray[Any, Any], color: str, opacity: float = 1.0) -> float:
    """How much of an area is about in a colour, or in what is seen of it on a panel."""
    top, ground = (np.array([int(c[i : i + 2], 16) / 255 for i in (1, 3, 5)]) for c in (color, theme.PANEL))
    wanted = opacity * top + (1 - opacity) * ground
    near = np.abs(pixels - wanted).max(axis=2) < 0.12
    return float(near.mean())


def test_every_panel_is_drawn_in_its_place(picture: Picture, built: dict[str, Any]) -> None:
    stats = ("text", "blue", "orange", "green", "red")
    colors = {"stat": stats, "bargauge": ("blue", "red"), "table": ("blue",)}
    for panel in built["overview"]["panels"]:
        if panel["type"] == "row":
            continue
        area = inside(picture(), panel)
        named = colors.get(panel["type"], ("green", "red", "blue"))
        custom = panel["fieldConfig"]["defaults"].get("custom", {})
        opacity = custom["fillOpacity"] / 100 if custom.get("lineWidth") == 0 else 1.0
        drawn = max(share(area, theme.color(name), seen) for name in named for seen in (1.0, opacity))
        assert drawn > 0.0005, panel["title"]
        assert share(area, theme.PANEL) > 0.3, panel["title"]


def test_there_is_one_bar_for_each_completed_day(picture: Picture, built: dict[str, Any]) -> None:
    panel = next(p for p in built["overview"]["panels"] if p["title"].startswith("Cost/day"))
    area = inside(picture(), panel)
    middle = area[int(area.shape[0] * 0.77)]  # low enough to cut every bar, above the axis
    blue = (middle[:, 2] > 0.7) & (middle[:, 0] < 0.45)
    starts = np.flatnonzero(np.diff(blue.astype(int)) == 1)
    assert len(starts) == 7


def test_without_data_every_panel_says_why(picture: Picture, built: dict[str, Any], now: datetime) -> None:
    empty = picture(now - timedelta(days=90))
    for panel in built["overview"]["panels"]:
        if panel["type"] != "row":
            area = inside(empty, panel)
            told = "noValue" in panel["fieldConfig"]["defaults"] and panel["type"] != "table"
            assert not told or share(area, theme.MUTED) > 0.0005, panel["title"]
            assert share(area, theme.color("blue")) == 0


def test_the_picture_is_as_wide_and_high_as_the_grid(picture: Picture, built: dict[str, Any]) -> None:
    bottom = max(place(panel["gridPos"]).bottom for panel in built["overview"]["panels"])
    height, width, _ = picture().shape
    assert width / WIDTH == pytest.approx(1.25)
    assert height / 1.25 == pytest.approx(bottom + 24, abs=2)


@pytest.mark.parametrize("name", [name for name in DASHBOARDS if name != "overview"])
def test_every_panel_of_the_others_has_something_in_it(
    name: str, built: dict[str, Any], seeded: str, now: datetime
) -> None:
    """A drawing, or in those that never have data here the reason why."""
    drawn = preview(built[name], View(now), lambda ask: fetch(seeded, ask))
    pixels = imread(BytesIO(drawn))[:, :, :3]
    empty = {"Usage refresh failures", "Refused by budget", "Firing alerts"}
    for panel in built[name]["panels"]:
        if panel["type"] != "row":
            area = inside(pixels, panel)
            colors = set(theme.NAMED.values()) | set(theme.PALETTE)
            colored = max(share(area, color) for color in colors)
            assert (colored > 0.0004) != (panel["title"] in empty), panel["title"]
            assert share(area, theme.PANEL) > 0.1, panel["title"]


def test_the_grid_fills_the_width() -> None:
    left, right = place({"x": 0, "y": 0, "w": 12, "h": 4}), place({"x": 12, "y": 4, "w": 12, "h": 8})
    assert right.right == pytest.approx(WIDTH - left.left)
    assert right.left - left.right == right.top - left.bottom == pytest.approx(8)


def test_the_command_writes_one_picture_for_each_dashboard(
    seeded: str, now: datetime, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options = ["--out", str(tmp_path / "p"), "--now", now.isoformat(), "--timezone", "America/New_York"]
    assert main(["preview", "--prometheus", seeded, *options]) == 0
    assert capsys.readouterr().out.splitlines() == [f"wrote {tmp_path}/p/{name}.png" for name in DASHBOARDS]
    for name in DASHBOARDS:
        assert (tmp_path / f"p/{name}.png").read_bytes().startswith(b"\x89PNG")


def test_a_query_that_prometheus_refuses_ends_the_drawing(
    built: dict[str, Any], seeded: str, now: datetime
) -> None:
    broken = {**built["overview"], "panels": [dict(built["overview"]["panels"][1])]}
    broken["panels"][0]["targets"] = [{**broken["panels"][0]["targets"][0], "expr": "sum("}]
    with pytest.raises(SourceError, match="parse error"):
        preview(broken, View(now), lambda ask: fetch(seeded, ask))


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "p").write_text("in the way")
    with pytest.raises(OutputError, match=r"overview\.png: cannot be written"):
        write("overview", b"", tmp_path / "p")


def test_a_box_without_margins_is_smaller_on_every_side() -> None:
    assert Box(10, 20, 100, 50).less(1, 2, 3, 4) == Box(11, 22, 96, 44)
