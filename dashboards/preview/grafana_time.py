"""What Grafana asks Prometheus for a panel: range, step, alignment and the final PromQL.

The same computation as Grafana's frontend and Prometheus backend do, from version 9 on. A panel's `timeTo`
is not read, because Grafana does not read it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from dashboards.errors import TimeError
from dashboards.kit.plain import Json
from dashboards.preview.date_math import is_relative, resolve, shifted
from dashboards.queries.query import NOT_A_DAY_LATER, NOT_HOURS_LATER, NOT_LATER
from prometheus.promql import promql as duration

MAX_POINTS = 11_000
"""Prometheus refuses more points in one answer."""

_UNITS = {"ms": 1, "s": 1_000, "m": 60_000, "h": 3_600_000, "d": 86_400_000, "w": 604_800_000}

# Below the first number of milliseconds, Grafana takes the second.
_ROUND = (
    *((10, 1), (15, 10), (35, 20), (75, 50), (150, 100), (350, 200), (750, 500), (1_500, 1_000)),
    *((3_500, 2_000), (7_500, 5_000), (12_500, 10_000), (17_500, 15_000), (25_000, 20_000)),
    *((45_000, 30_000), (90_000, 60_000), (210_000, 120_000), (450_000, 300_000), (750_000, 600_000)),
    *((1_050_000, 900_000), (1_500_000, 1_200_000), (2_700_000, 1_800_000), (5_400_000, 3_600_000)),
    *((9_000_000, 7_200_000), (16_200_000, 10_800_000), (32_400_000, 21_600_000)),
    *((86_400_000, 43_200_000), (604_800_000, 86_400_000), (1_814_400_000, 604_800_000)),
    (3_628_800_000, 2_592_000_000),
)
_YEAR = timedelta(days=365)


@dataclass(frozen=True, slots=True)
class View:
    """How somebody looks at a dashboard.

    Attributes:
        now: aware; its zone is the dashboard's.
        start, end: the dashboard's time range, as its time picker has it.
        scrape_interval: the datasource's `timeInterval`.
        variables: name -> text that stands for the choice, like `.*` or `(a|b)`.
        replayed: `now` is a moment of a history that goes on: what follows it must not tell.
    """

    now: datetime
    start: str = "now-24h"
    end: str = "now"
    scrape_interval: timedelta = timedelta(seconds=15)
    variables: Mapping[str, str] = field(default_factory=dict)
    replayed: bool = False


@dataclass(frozen=True, slots=True)
class Range:
    """From and to, aware and in the dashboard's zone."""

    start: datetime
    end: datetime

    @property
    def length(self) -> timedelta:
        """Elapsed time, also where the clocks change in between."""
        return self.end.astimezone(UTC) - self.start.astimezone(UTC)


@dataclass(frozen=True, slots=True)
class Ask:
    """One HTTP query to Prometheus.

    Attributes:
        start, end: aligned to the step; an instant query is asked at `end`, as it is.
        legend: Grafana's legend format.
    """

    expr: str
    start: datetime
    end: datetime
    step: timedelta
    instant: bool
    legend: str


def panel_range(panel: Json, view: View) -> Range:
    """The time range that a panel shows.

    Raises: TimeError.
    """
    shown = Range(resolve(view.start, view.now), resolve(view.end, view.now, end=True))
    if "timeFrom" in panel and is_relative(view.start):
        text = panel["timeFrom"]
        # `6h` stands for `now-6h`, as the panel editor lets people write it.
        shown = Range(resolve(text if is_relative(text) else f"now-{text}", view.now), view.now)
    if "timeShift" in panel:
        steps = f"-{panel['timeShift']}"
        shown = Range(shifted(shown.start, steps), shifted(shown.end, steps, end=True))
    return shown


def asks(panel: Json, view: View, width: int) -> list[Ask]:
    """The queries of a panel in the order of its targets.

    Args:
        width: of the panel on the screen, in pixels; Grafana asks for at most that many points.
    Raises: TimeError.
    """
    shown = panel_range(panel, view)
    points = int(panel.get("maxDataPoints", width))
    least = interval_of(panel["interval"]) if panel.get("interval") else view.scrape_interval
    interval = max(least, rounded(shown.length / points))
    return [_ask(target, shown, interval, points, view) for target in panel["targets"]]


def rounded(interval: timedelta) -> timedelta:
    """The interval of Grafana's table that is nearest."""
    milliseconds = interval / timedelta(milliseconds=1)
    found = next((value for limit, value in _ROUND if milliseconds < limit), None)
    return _YEAR if found is None else timedelta(milliseconds=found)


def aligned(moment: datetime, step: timedelta, offset: timedelta) -> datetime:
    """The last multiple of the step that is not after the moment, counted at this offset from UTC."""
    since = moment - datetime.fromtimestamp(0, UTC) + offset
    return moment.astimezone(UTC) - since % step


def substitute(expr: str, variables: Mapping[str, str]) -> str:
    """The text with `$name`, `${name}`, `${name:format}` and `[[name]]` replaced; unknown names stay."""

    def value(match: re.Match[str]) -> str:
        name = next(group for group in match.groups() if group)
        return variables.get(name, match.group(0))

    return re.sub(r"\$(\w+)|\$\{(\w+)(?::\w+)?\}|\[\[(\w+)(?::\w+)?\]\]", value, expr)


def _ask(target: Json, shown: Range, interval: timedelta, points: int, view: View) -> Ask:
    min_step = interval_of(target["interval"]) if target.get("interval") else None
    step = _step(min_step or interval, shown.length, points) * int(target.get("intervalFactor", 1))
    variables = {**view.variables, **_built_in(shown, step, interval, min_step or view.scrape_interval)}
    # One offset for the whole query: that of the range's end, and none in an absolute range.
    offset = (shown.end.utcoffset() if is_relative(view.start) else None) or timedelta(0)
    instant = bool(target.get("instant"))
    expr = target["expr"]
    if view.replayed:
        for later in (NOT_LATER, NOT_A_DAY_LATER, NOT_HOURS_LATER):
            expr = expr.replace(later, "")
    return Ask(
        expr=substitute(expr, variables),
        start=shown.start if instant else aligned(shown.start, step, offset),
        end=shown.end if instant else aligned(shown.end, step, offset),
        step=step,
        instant=instant,
        legend=target.get("legendFormat", ""),
    )


def _step(least: timedelta, length: timedelta, points: int) -> timedelta:
    wanted = length / points
    return max(least if wanted < least else rounded(wanted), rounded(length / MAX_POINTS))


def _built_in(shown: Range, step: timedelta, interval: timedelta, scraped: timedelta) -> dict[str, str]:
    milliseconds = shown.length // timedelta(milliseconds=1)
    seconds = (milliseconds + 500) // 1_000
    return {
        "__interval": duration(step),
        "__interval_ms": str(step // timedelta(milliseconds=1)),
        "__range": f"{seconds}s",
        "__range_s": str(seconds),
        "__range_ms": str(milliseconds),
        "__rate_interval": duration(max(interval + scraped, 4 * scraped)),
    }


def interval_of(text: str) -> timedelta:
    """Panel intervals and Min steps: `1d`, `75s`, and `>10s`, as Grafana once wrote a lower limit."""
    match = re.fullmatch(r">?(\d+)(ms|[smhdw])", text)
    if match is None:
        raise TimeError(f"{text!r}: allowed: an interval like 15s or 1d")
    return timedelta(milliseconds=int(match[1]) * _UNITS[match[2]])
