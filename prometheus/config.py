"""The one value that scrape configuration, rules, alerts and dashboards share."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

from prometheus.errors import ConfigError
from prometheus.relabel import Relabel

SAMPLES_PER_WINDOW = 4
"""A rate needs two samples; four scrapes leave room for two that were lost."""


@dataclass(frozen=True, slots=True)
class RuleConfig:
    """Names, intervals and thresholds; durations are positive, ratios run from 0 to 1.

    Raises: ConfigError.
    """

    proxy_job: str = "quotascope-proxy"
    exporter_job: str = "quotascope-exporter"
    """Values of the label `job`: every alert and some panels select by them."""

    scrape_interval: timedelta = timedelta(seconds=15)
    """The datasource's `timeInterval` must say the same: Grafana computes its windows from it."""

    scrape_timeout: timedelta = timedelta(seconds=10)
    """A scrape that takes longer is lost; it may not outlast the interval."""

    evaluation_interval: timedelta = timedelta(minutes=1)
    """Rules and alerts. Nobody is woken sooner than after a minute, and a recorded day has 1,440 points."""

    rate_window: timedelta = timedelta(minutes=5)
    """Window of every rate in rules, and the shortest in panels: LLM requests are few and slow, and
    in a shorter one a single request is a spike."""

    error_ratio_above: float = 0.05
    """Share of requests: providers fail by themselves about once in a hundred requests, five is trouble."""

    error_requests_at_least: int = 20
    """Requests within `rate_window`: below this, one failure alone would pass five in a hundred."""

    error_ratio_for: timedelta = timedelta(minutes=5)
    """One burst of rate limits passes by itself."""

    scrape_lost_for: timedelta = timedelta(minutes=5)
    """Twenty scrapes in a row: longer than a restart takes, short enough to lose little."""

    collector_failing_for: timedelta = timedelta(minutes=10)
    """A locked or migrating store frees itself within minutes."""

    dropped_within: timedelta = timedelta(minutes=15)
    """How long a lost request keeps its alert up, so that it is seen; the loss itself is final."""

    relabel: tuple[Relabel, ...] = ()
    """What is not to be stored as it was scraped; by default everything is."""

    runbook_base_url: str = "https://github.com/quotascope/quotascope/blob/main/runbooks"
    """Where the alerts' pages are read; an installation with its own copy puts its address here."""

    def __post_init__(self) -> None:
        for name, value in self._durations():
            if value <= timedelta(0):
                raise ConfigError(f"{name} = {value}: allowed: longer than 0")
        if self.scrape_timeout > self.scrape_interval:
            raise ConfigError(
                f"scrape_timeout = {self.scrape_timeout}: "
                f"allowed: at most scrape_interval, {self.scrape_interval}"
            )
        if self.rate_window < SAMPLES_PER_WINDOW * self.scrape_interval:
            raise ConfigError(
                f"rate_window = {self.rate_window}: allowed: at least {SAMPLES_PER_WINDOW} scrape intervals"
            )
        if not 0 <= self.error_ratio_above < 1:
            raise ConfigError(f"error_ratio_above = {self.error_ratio_above}: allowed: from 0 to below 1")

    @property
    def panel_step(self) -> timedelta:
        """The least step of rate panels: Grafana makes `$__rate_interval` at least four of them,
        which is `rate_window`."""
        return self.rate_window / SAMPLES_PER_WINDOW

    def _durations(self) -> list[tuple[str, timedelta]]:
        values = ((name, getattr(self, name)) for name in self.__slots__)
        return [(name, value) for name, value in values if isinstance(value, timedelta)]
