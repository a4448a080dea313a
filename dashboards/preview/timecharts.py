"""Drawing time series: lines, stacked areas and bars, with axes and legend."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from math import nan

from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullLocator

from dashboards.preview import theme
from dashboards.preview.answered import Answered
from dashboards.preview.canvas import Box, Canvas
from dashboards.preview.grafana_time import Range
from dashboards.preview.source import Series

_STEPS = tuple(
    timedelta(minutes=minutes)
    for minutes in (1, 5, 10, 15, 30, 60, 120, 180, 240, 360, 720, 1_440, 2_880, 10_080, 43_200)
)


def ticks(shown: Range, most: int) -> list[tuple[datetime, str]]:
    """Round times of the range's zone with their labels; a midnight says its day.

    Args:
        most: about how many there may be.
    """
    step = next((s for s in _STEPS if shown.length / s <= most), _STEPS[-1])
    marks = []
    mark = shown.start.replace(hour=0, minute=0, second=0, microsecond=0)
    while mark <= shown.end:
        # There and back: a time that the clocks jump over is moved to one that exists.
        existing = mark.astimezone(UTC).astimezone(mark.tzinfo)
        if existing >= shown.start:
            marks.append(
                (
                    existing,
                    f"{existing:%b %d}" if existing.hour == existing.minute == 0 else f"{existing:%H:%M}",
                )
            )
        mark += step
    return marks


LINE = 18
SIZE = 11.5
"""Pixels: of a line, and of its text."""

Lines = Sequence[Sequence[tuple[float, str, str]]]
"""Entries by line: distance from the left, name, colour."""


def wrapped(canvas: Canvas, entries: Sequence[tuple[str, str]], width: float) -> Lines:
    """Names and colours, in lines that fit into the width."""
    lines: list[list[tuple[float, str, str]]] = []
    right = width
    for name, color in entries:
        needs = canvas.measure(name, SIZE) + 32
        if right + needs > width:
            lines.append([])
            right = 0
        lines[-1].append((right, name, color))
        right += needs
    return lines


def _draw_legend(canvas: Canvas, box: Box, lines: Lines) -> None:
    top = box.bottom - LINE * len(lines)
    for number, line in enumerate(lines):
        middle = top + LINE * (number + 0.5) + 2
        for left, name, color in line:
            canvas.rectangle(Box(box.left + left, middle - 2, 14, 4), color, radius=1.5)
            canvas.text(box.left + left + 19, middle, name, SIZE, theme.TEXT)


_LABEL_SIZE = 8.2
"""Of tick labels, in points as matplotlib counts."""


def draw(canvas: Canvas, box: Box, answered: Answered) -> None:
    entries = [(s.name, answered.color(i, s.name)) for i, s in enumerate(answered.series)]
    lines = wrapped(canvas, entries, box.width)
    plot = box.less(left=_axis_width(canvas, answered), bottom=24 + LINE * len(lines), right=6)
    axes = canvas.axes(plot)
    custom = answered.defaults["custom"]
    if custom["stacking"]["mode"] != "normal":
        _each(axes, answered)
    elif custom["drawStyle"] == "bars":
        _stack_bars(axes, answered)
    else:
        _stack(axes, answered)
    _dress(axes, answered, plot.width)
    _limit(axes, answered)
    _draw_legend(canvas, box, lines)


def _each(axes: Axes, answered: Answered) -> None:
    number = 0
    for ask, answer in answered.answers:
        for series in answer:
            color = answered.color(number, series.name)
            if answered.custom(series.name, "drawStyle") == "bars":
                _bars(axes, series, ask.step, color, answered)
            else:
                _line(axes, series, ask.step, color, answered)
            number += 1


def _line(axes: Axes, series: Series, step: timedelta, color: str, answered: Answered) -> None:
    times, values = _with_gaps(series, step)
    style = answered.field(series.name, "custom.lineStyle") or {}
    dashes = "--" if style.get("fill") == "dash" else "-"
    axes.plot(times, values, dashes, color=color, linewidth=1.2, solid_joinstyle="round")
    if opacity := answered.custom(series.name, "fillOpacity"):
        axes.fill_between(times, values, color=color, alpha=opacity / 100, linewidth=0)
    alone = _alone(series, step)
    axes.plot([_x(at) for at, _ in alone], [value for _, value in alone], ".", color=color, markersize=4)


def _bars(
    axes: Axes,
    series: Series,
    step: timedelta,
    color: str,
    answered: Answered,
    floor: Mapping[datetime, float] | None = None,
) -> None:
    custom = answered.defaults["custom"]
    width = step / timedelta(days=1) * custom.get("barWidthFactor", 0.6)
    # Grafana's -1 lets the bar end at its point, 0 puts it around, 1 lets it begin there.
    shift = (custom["barAlignment"] - 1) / 2 * width
    left = [_x(at) + shift for at, _ in series.points]
    values = [value for _, value in series.points]
    under = [(floor or {}).get(at, 0.0) for at, _ in series.points]
    axes.bar(left, values, width=width, bottom=under, align="edge", color=color, alpha=0.85, linewidth=0)


def _stack_bars(axes: Axes, answered: Answered) -> None:
    floor: dict[datetime, float] = {}
    number = 0
    for ask, answer in answered.answers:
        for series in answer:
            _bars(axes, series, ask.step, answered.color(number, series.name), answered, floor)
            floor |= {at: floor.get(at, 0.0) + value for at, value in series.points}
            number += 1


def _stack(axes: Axes, answered: Answered) -> None:
    times = sorted({at for series in answered.series for at, _ in series.points})
    floor = [0.0] * len(times)
    for number, series in enumerate(answered.series):
        values = dict(series.points)
        top = [base + values.get(at, 0.0) for base, at in zip(floor, times, strict=True)]
        x = [_x(at) for at in times]
        color = answered.color(number, series.name)
        opacity = answered.custom(series.name, "fillOpacity") / 100
        axes.fill_between(x, floor, top, color=color, alpha=opacity, linewidth=0)
        floor = top


def _limit(axes: Axes, answered: Answered) -> None:
    if answered.defaults["custom"]["thresholdsStyle"]["mode"] != "dashed":
        return
    for step in answered.defaults["thresholds"]["steps"]:
        if "value" in step:
            axes.axhline(step["value"], color=theme.color(step["color"]), linewidth=1, linestyle=(0, (6, 5)))


def _dress(axes: Axes, answered: Answered, width: float) -> None:
    axes.set_facecolor("none")
    axes.set_xlim(_x(answered.shown.start), _x(answered.shown.end))
    _scale(axes, answered)
    for side in axes.spines.values():
        side.set_visible(False)
    axes.grid(color=theme.GRID, linewidth=0.7)
    axes.set_axisbelow(True)
    axes.tick_params(colors=theme.MUTED, labelsize=_LABEL_SIZE, length=0, pad=5)
    marks = ticks(answered.shown, most=max(3, int(width / 70)))
    axes.set_xticks([_x(at) for at, _ in marks], [label for _, label in marks])
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: answered.text(value)))


def _scale(axes: Axes, answered: Answered) -> None:
    custom = answered.defaults["custom"]
    values = [value for series in answered.series for _, value in series.points]
    if custom["scaleDistribution"]["type"] == "log" and min(values) > 0:
        axes.set_yscale("log")
        axes.set_ylim(min(values) / 1.5, max(values) * 1.5)
        axes.yaxis.set_major_locator(LogLocator(subs=(1, 3)))
        axes.yaxis.set_minor_locator(NullLocator())
        return
    needed = max(axes.get_ylim()[1] * 1.02, custom.get("axisSoftMax", 0), 1e-9)
    axes.set_ylim(0, answered.defaults.get("max", needed))
    axes.yaxis.set_major_locator(MaxNLocator(nbins=5, integer=answered.defaults.get("decimals") == 0))


def _axis_width(canvas: Canvas, answered: Answered) -> float:
    highest = max((value for series in answered.series for _, value in series.points), default=0.0)
    return max(canvas.measure(answered.text(value), SIZE) for value in (highest, highest * 0.77)) + 10


def _with_gaps(series: Series, step: timedelta) -> tuple[list[float], list[float]]:
    times, values = [], []
    for (at, value), following in zip(series.points, [*series.points[1:], None], strict=True):
        times.append(_x(at))
        values.append(value)
        if following and following[0] - at > 1.5 * step:
            times.append(_x(at + step))
            values.append(nan)
    return times, values


def _alone(series: Series, step: timedelta) -> list[tuple[datetime, float]]:
    """Points with a gap on both sides, which a line would not show."""
    times = [at for at, _ in series.points]
    gaps = [True, *(later - at > 1.5 * step for at, later in pairwise(times)), True]
    return [point for point, around in zip(series.points, pairwise(gaps), strict=True) if all(around)]


def _x(at: datetime) -> float:
    """Days since 1970, as matplotlib counts."""
    return at.timestamp() / 86_400
