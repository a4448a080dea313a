"""The one value that scrape configuration, rules, alerts and dashboards share."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

from prometheus.errors import ConfigError
from prometheus.relabel import Relabel
from prometheus.remote_write import RemoteWrite

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

    latency_above: timedelta = timedelta(minutes=2)
    """95 in 100 requests to the last byte: a long reasoning turn takes about a minute."""

    latency_requests_at_least: int = 20
    """Requests within `rate_window`: the slowest in twenty of fewer is a single one."""

    latency_for: timedelta = timedelta(minutes=10)
    """One batch of long turns ends sooner."""

    ledger_stale_after: timedelta = timedelta(minutes=10)
    """A finished request is stored within a second; ten minutes later nobody is writing."""

    quota_used_percent_above: float = 90.0
    """Percent of the weekly quota: the last tenth goes in hours."""

    quota_reset_at_least: timedelta = timedelta(hours=6)
    """A reset that is nearer than that solves it by itself."""

    waste_percent_above: float = 30.0
    """Percent of the weekly quota that will be left over: worth sending work there."""

    waste_within: timedelta = timedelta(days=1)
    """Before the reset: earlier the projection is a guess, later nobody can use it."""

    cliff_share_above: float = 0.5
    """Share of the accounts that reset together: quota then comes and goes for all at once."""

    cliff_within: timedelta = timedelta(hours=6)
    """How near to each other, and to now, the resets are."""

    cliff_accounts_at_least: int = 4
    """Of fewer accounts, half is no crowd."""

    no_eligible_for: timedelta = timedelta(minutes=2)
    """Longer than a rate limit that the provider asks to wait out."""

    deactivated_at_least: int = 3
    """Accounts: one that is deactivated is a customer's business, three are a pattern."""

    deactivated_within: timedelta = timedelta(hours=1)
    """How near to each other they are lost."""

    permanent_failures_within: timedelta = timedelta(hours=1)
    """How long one keeps its alert up, so that it is seen."""

    spend_limit_usd: float = 100.0
    """US dollars in 24 hours: put here what you are ready to pay."""

    spend_times_usual_above: float = 3.0
    """Times the mean day of the week before: weekends and releases stay below."""

    spend_unusual_at_least_usd: float = 5.0
    """US dollars in 24 hours: three times next to nothing is nothing."""

    unpriced_share_above: float = 0.05
    """Share of the successful requests: the true cost is then off by as much."""

    unpriced_at_least: int = 10
    """Requests within `unpriced_within`: one new model that somebody tries is not worth a page."""

    unpriced_within: timedelta = timedelta(hours=1)
    """Long enough for slow traffic."""

    short_keys_above: int = 50
    """Requests within `short_keys_within`: no real key is that short, and somebody is trying many."""

    short_keys_within: timedelta = timedelta(minutes=10)
    """A client with a wrong setting gives up sooner."""

    budget_hits_within: timedelta = timedelta(hours=1)
    """How long a refused request keeps its alert up: the caller may retry for hours, or never."""

    relabel: tuple[Relabel, ...] = ()
    """What is not to be stored as it was scraped; by default everything is."""

    remote_write: RemoteWrite | None = None
    """Another store that gets the samples too; by default none leaves this machine."""

    runbook_base_url: str = "https://github.com/quotascope/quotascope/blob/main/runbooks"
    """Where the alerts' pages are read; an installation with its own copy puts its address here."""

    dashboard_base_url: str = "http://127.0.0.1:3000/d"
    """Where the alerts' dashboards are; the compose stack's Grafana."""

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
        for name in ("error_ratio_above", "cliff_share_above", "unpriced_share_above"):
            self._within(name, 1)
        for name in ("quota_used_percent_above", "waste_percent_above"):
            self._within(name, 100)

    @property
    def panel_step(self) -> timedelta:
        """The least step of rate panels: Grafana makes `$__rate_interval` at least four of them,
        which is `rate_window`."""
        return self.rate_window / SAMPLES_PER_WINDOW

    def _within(self, name: str, end: int) -> None:
        if not 0 <= getattr(self, name) < end:
            raise ConfigError(f"{name} = {getattr(self, name)}: allowed: from 0 to below {end}")

    def _durations(self) -> list[tuple[str, timedelta]]:
        values = ((name, getattr(self, name)) for name in self.__slots__)
        return [(name, value) for name, value in values if isinstance(value, timedelta)]
