"""A picture in pixels, counted from the upper left corner; matplotlib's figure stays behind it."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.patches import FancyBboxPatch, Polygon
from matplotlib.text import Text

from dashboards.preview import theme

_DPI = 100
_POINTS = 72 / _DPI
_LINE = 1.5
"""Distance of lines, in sizes of their text."""

Align = Literal["left", "center", "right"]


@dataclass(frozen=True, slots=True)
class Box:
    """An area in pixels."""

    left: float
    top: float
    width: float
    height: float

    @property
    def right(self) -> float:
        return self.left + self.width

    @property
    def bottom(self) -> float:
        return self.top + self.height

    def less(self, left: float = 0, top: float = 0, right: float = 0, bottom: float = 0) -> Box:
        return Box(self.left + left, self.top + top, self.width - left - right, self.height - top - bottom)


class Canvas:
    def __init__(self, width: float, height: float) -> None:
        self._width, self._height = width, height
        self._figure = Figure(figsize=(width / _DPI, height / _DPI), dpi=_DPI, facecolor=theme.CANVAS)
        self._renderer = FigureCanvasAgg(self._figure).get_renderer()  # type: ignore[no-untyped-call]

    def rectangle(self, box: Box, fill: str, edge: str = "none", radius: float = 0) -> None:
        patch = FancyBboxPatch(
            (box.left / _DPI, (self._height - box.bottom) / _DPI),
            box.width / _DPI,
            box.height / _DPI,
            boxstyle=f"round,pad=0,rounding_size={radius / _DPI}" if radius else "square,pad=0",
            facecolor=fill,
            edgecolor=edge,
            linewidth=0.8 if edge != "none" else 0,
            zorder=-1,  # behind the axes, which are at 0
            transform=self._figure.dpi_scale_trans,
        )
        self._figure.add_artist(patch)

    def polygon(self, corners: Sequence[tuple[float, float]], fill: str) -> None:
        """A filled area between corners, with a thin edge that keeps neighbours apart."""
        points = [(x / _DPI, (self._height - y) / _DPI) for x, y in corners]
        patch = Polygon(
            points, facecolor=fill, edgecolor=theme.PANEL, linewidth=1, transform=self._figure.dpi_scale_trans
        )
        self._figure.add_artist(patch)

    def text(
        self,
        x: float,
        y: float,
        words: str,
        size: float,
        color: str,
        align: Align = "left",
        *,
        bold: bool = False,
    ) -> None:
        """One or more lines around the height `y`; `size` is in pixels."""
        lines = words.split("\n")
        # A letter's middle is about a third of its size above its baseline.
        baseline = y + 0.36 * size - (len(lines) - 1) * size * _LINE / 2
        for number, line in enumerate(lines):
            self._figure.add_artist(
                Text(
                    x / _DPI,
                    (self._height - baseline - number * size * _LINE) / _DPI,
                    _plain(line),
                    fontsize=size * _POINTS,
                    color=color,
                    horizontalalignment=align,
                    verticalalignment="baseline",
                    fontweight="bold" if bold else "normal",
                    transform=self._figure.dpi_scale_trans,
                )
            )

    def measure(self, words: str, size: float) -> float:
        text = Text(0, 0, _plain(words), fontsize=size * _POINTS, figure=self._figure)
        return float(text.get_window_extent(self._renderer).width)

    def fitting(self, words: str, size: float, width: float) -> str:
        """The line, cut with an ellipsis where it would be wider."""
        while len(words) > 1 and self.measure(words, size) > width:
            words = words.removesuffix("…")[:-1].rstrip() + "…"
        return words

    def axes(self, box: Box) -> Axes:
        bottom = self._height - box.bottom
        return self._figure.add_axes(
            (
                box.left / self._width,
                bottom / self._height,
                box.width / self._width,
                box.height / self._height,
            )
        )

    def png(self, scale: float = 1.25) -> bytes:
        """The picture, with `scale` dots for each pixel."""
        out = io.BytesIO()
        self._figure.savefig(out, format="png", dpi=_DPI * scale, facecolor=theme.CANVAS)
        return out.getvalue()


def _plain(words: str) -> str:
    return words.replace("$", r"\$")  # matplotlib would begin a formula there
