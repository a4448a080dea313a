"""The choices at the top of a dashboard; queries name them as `$datasource`, `$model` and so on."""

from __future__ import annotations

from dashboards.kit import frame
from dashboards.kit.panels import FEW_POINTS, POINTS
from dashboards.kit.plain import Json
from dashboards.queries import activity
from dashboards.queries.identity import accounts
from dashboards.queries.query import label_values, thinned
from metrics import proxy
from prometheus.config import RuleConfig
from prometheus.promql import promql as duration


def datasource() -> Json:
    return frame.datasource_variable("datasource", "Datasource")


def model() -> Json:
    return frame.label_variable("model", "Model", label_values(proxy.REQUESTS, "model"))


def api() -> Json:
    return frame.label_variable("api", "API", label_values(proxy.REQUESTS, "api"))


def accounts_of_all() -> Json:
    """Any number of accounts, chosen by their names; the value is the account's id."""
    return frame.label_variable("account", "Account", *accounts())


def accounts_or_all_traffic() -> Json:
    """The same; all of them are all traffic, also what no account is known of."""
    return accounts_of_all() | {"allValue": activity.ALL}


def resolution(config: RuleConfig) -> Json:
    """How far apart counters are read for rates, six times for each point of a line: further in long ranges,
    which would otherwise read each of millions of samples."""
    return frame.resolution_variable("resolution", "Resolution", thinned(config), 6 * POINTS)


def fine(config: RuleConfig) -> Json:
    """How far apart counters are read that are added up over the range: by the minute in a day."""
    return frame.resolution_variable("fine", "Resolution of sums", duration(config.scrape_interval), 1_440)


def coarse(config: RuleConfig) -> Json:
    """The same for histograms, whose lines have half as many points: four times for each."""
    return frame.resolution_variable("coarse", "Resolution of histograms", thinned(config), 4 * FEW_POINTS)


def top() -> Json:
    return frame.choice_variable("top", "Top", ("5", "10", "20", "50"), "20")


def least() -> Json:
    """Percentage points below which an estimate is too thin to be shown: rounding alone moves it."""
    return frame.choice_variable("least", "Least movement (pp)", ("1", "2", "5", "10", "20"), "5")
