"""One question to Prometheus, and the words that questions share."""

from __future__ import annotations

from dataclasses import dataclass, replace

from metrics import recorded as names
from metrics.family import MetricFamily
from prometheus.config import RuleConfig
from prometheus.errors import QueryError
from prometheus.promql import increase, matching, rate, select, total
from prometheus.promql import promql as duration

MODEL = matching("model", "$model")
API = matching("api", "$api")
ACCOUNT = matching("account_id", "$account")

DAY = "1d"
HOUR = "1h"
RANGE = "$__range"
WINDOW = "$__rate_interval"
READ = "$__rate_interval:$resolution"
"""The same window, read a few times instead of at each scrape; needs the variable."""
HOUR_BY_MINUTE = f"{HOUR}:1m"
"""Read once a minute instead of at each scrape: what is counted is right to the minute, and a week of a
thousand series is ten million samples instead of forty."""
FINE = "$__range:$fine"
"""The panel's range, read at each scrape while it is short, by the minute in a day; needs the variable."""
RANGE_READ = "$__range:$resolution"
"""The panel's range, read as far apart: for shares, from which a restart takes as much above as below."""
READ_BUCKETS = "$__rate_interval:$coarse"
"""Of histograms, which are most of the series: read half as often; needs the variable."""
STEP = "$__interval"

_STORED = select(names.COST)
"""A series that is there whenever a proxy was scraped, and is kept as long as anything."""

COUNTED_TOO = "# lint-ignore counter-without-rate: the first value of a new series is its rise\n"

FROM_MIDNIGHT = f" and on () (vector((time() - {RANGE}_s + 1) % 900) < 3)"
NOT_LATER = f" unless on () {_STORED} offset -10m"
NOT_A_DAY_LATER = f" unless on () present_over_time({_STORED}[2h] @ end() offset -26h)"
NOT_HOURS_LATER = f" unless on () present_over_time(({_STORED} offset -{RANGE})[1h:1m] @ end() offset 2750m)"
"""Conditions of what is only true while the dashboard's range ends now: see `since_midnight`."""

_OF_THREE_DAYS = f" and on () (vector({RANGE}_s) >= {47 * 3600} <= {74 * 3600})"


@dataclass(frozen=True, slots=True)
class Query:
    """One question to Prometheus.

    Attributes:
        legend: Grafana's name for each answer, `{{label}}` for a label's value.
        instant: asks once, at the end of the panel's range; otherwise at each step of it.
        min_step: Grafana's Min step; also replaces the scrape interval in `$__rate_interval`.
        interval: the least `$__interval` of the whole panel, which `$__rate_interval` grows with.
    """

    expr: str
    legend: str
    instant: bool = False
    min_step: str = ""
    interval: str = ""


def stepped(query: Query, config: RuleConfig) -> Query:
    """The query with the least step: of rates the rules' own window, which Grafana's is then never shorter
    than. A Min step would do that from Grafana 10 on only."""
    if WINDOW in query.expr:
        return replace(query, interval=duration(config.rate_window))
    return replace(query, min_step=duration(config.panel_step))


def thinned(config: RuleConfig) -> str:
    """The finest resolution in which histograms are read.

    A histogram is many series, and three quantiles read each of them three times. Every other minute is
    enough for a rate, whose window has two such points at least, however often targets are scraped.
    """
    return duration(min(2 * config.evaluation_interval, config.rate_window / 2))


def hourly(expr: str, legend: str) -> Query:
    """An expression over the hour before each full hour."""
    return Query(expr, legend, min_step=HOUR)


def counted(selector: str, *by: str) -> str:
    """What counters grew by over the panel's range, largest first, without those that stood still.

    What a series begins with counts too, where its process was scraped without it as the range began:
    `increase` would leave it out, and with it the first request of a new key.
    """
    before = f"@ end() offset {RANGE}"
    scraped = f"{selector} and on (job, instance) ({select(names.UP)} {before} == 1)"
    first = f"min_over_time(({scraped} unless {selector} {before})[{FINE}])"
    marked = f'label_replace({first}, "first", "1", "", "")'  # beside the growth of the same series
    return f"{COUNTED_TOO}sort_desc({total(f'{increase(selector, FINE)} or {marked}', *by)} > 0)"


def since_midnight(expr: str) -> str:
    """An instant answer over a range that Grafana was asked to begin at midnight; none in an absolute range.

    While somebody has zoomed, Grafana drops a panel's own range without a word, and the number would be that
    of the zoom. Two things tell: the range begins at no quarter of an hour, as midnights of all time zones
    do, or there is a scrape from after its end.
    """
    return f"{expr}{FROM_MIDNIGHT}{NOT_LATER}"


def before_midnight(expr: str) -> str:
    """An answer by the day whose last point is the last midnight, where Grafana was asked to begin two
    midnights before; none in an absolute range.

    That has mostly another length. Else scrapes tell: there are some from a day after its last midnight, or
    from two hours after the moment that would be now, which is the length less two days after that midnight.
    """
    return f"{expr}{_OF_THREE_DAYS}{NOT_A_DAY_LATER}{NOT_HOURS_LATER}"


def per_minute(selector: str, *by: str) -> str:
    """Growth by the minute; by labels, without what has never happened: that would only fill the legend."""
    return f"{per_second(selector, *by)} * 60"


def per_second(selector: str, *by: str) -> str:
    """Growth by the second; by labels, without what has never happened."""
    growth = rate(selector, READ)
    return total(f"{growth} and {selector} > 0" if by else growth, *by)


MIN_REQUESTS = 5
"""In a window: of fewer, one failure alone is a spike."""


def share_of_enough(part: str, whole: str) -> str:
    """The sum of one part through the sum of the whole, where that is MIN_REQUESTS at least."""
    enough = f"({total(whole)} >= {MIN_REQUESTS})"
    return f"({total(part)} or 0 * {enough}) / {enough}"


def highest(expr: str) -> str:
    """As many of the largest answers as the viewer asks for."""
    return f"topk($top, {expr})"


def label_values(family: MetricFamily, label: str) -> str:
    """The query of a Grafana variable that lists a label's values.

    Raises: QueryError on a label that the family does not have.
    """
    if label not in family.labels:
        raise QueryError(f"{family.name} has no label {label!r}")
    return f"label_values({select(family)}, {label})"
