"""The one value that scrape configuration, rules, alerts and dashboards share."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from datetime import timedelta
from typing import Any

from metrics.proxy import LATENCY
from prometheus.errors import ConfigError
from prometheus.promql import promql
from prometheus.relabel import Relabel
from prometheus.remote_write import RemoteWrite
from settings.console import Console
from settings.rules import AlertRule, Rules, span

SAMPLES_PER_WINDOW = 4
"""A rate needs two samples; four scrapes leave room for two that were lost."""


_DEFAULT = Rules()
_BOUNDS = tuple(timedelta(milliseconds=bound) for bound in LATENCY.buckets)


@dataclass(frozen=True, slots=True)
class RuleConfig:
    """Names, intervals and thresholds; durations are positive, ratios run from 0 to 1.

    All but console_url and the last three are the fields of `[rules]` in `settings/rules.py`, where each says
    its reason.

    Attributes:
        console_url: where the monitoring page is; its runbooks are read there by default.
        relabel: what is not to be stored as it was scraped; by default everything is.
        remote_write: another store that gets the samples too; by default none leaves this machine.
        alerts: single alerts that are switched off or re-levelled, by name.

    Raises: ConfigError.
    """

    proxy_job: str = _DEFAULT.proxy_job
    exporter_job: str = _DEFAULT.exporter_job
    collector_job: str = _DEFAULT.collector_job
    services: tuple[str, ...] = tuple(_DEFAULT.services)
    scrape_interval: timedelta = span(_DEFAULT.scrape_interval)
    scrape_timeout: timedelta = span(_DEFAULT.scrape_timeout)
    evaluation_interval: timedelta = span(_DEFAULT.evaluation_interval)
    rate_window: timedelta = span(_DEFAULT.rate_window)
    availability_objective: float = _DEFAULT.availability_objective
    latency_objective: float = _DEFAULT.latency_objective
    latency_objective_within: timedelta = span(_DEFAULT.latency_objective_within)
    burn_fast_above: float = _DEFAULT.burn_fast_above
    burn_slow_above: float = _DEFAULT.burn_slow_above
    error_ratio_above: float = _DEFAULT.error_ratio_above
    error_requests_at_least: int = _DEFAULT.error_requests_at_least
    traffic_gate_within: timedelta = span(_DEFAULT.traffic_gate_within)
    traffic_keep_firing_for: timedelta = span(_DEFAULT.traffic_keep_firing_for)
    quota_alerts_at_most: int = _DEFAULT.quota_alerts_at_most
    budget_alerts_at_most: int = _DEFAULT.budget_alerts_at_most
    eligible_accounts_at_least: int = _DEFAULT.eligible_accounts_at_least
    error_ratio_for: timedelta = span(_DEFAULT.error_ratio_for)
    scrape_lost_for: timedelta = span(_DEFAULT.scrape_lost_for)
    collector_failing_for: timedelta = span(_DEFAULT.collector_failing_for)
    gap_seconds_above: float = _DEFAULT.gap_seconds_above
    gaps_within: timedelta = span(_DEFAULT.gaps_within)
    gateway_lost_for: timedelta = span(_DEFAULT.gateway_lost_for)
    inbox_waiting_for: timedelta = span(_DEFAULT.inbox_waiting_for)
    undecodable_within: timedelta = span(_DEFAULT.undecodable_within)
    dropped_within: timedelta = span(_DEFAULT.dropped_within)
    latency_above: timedelta = span(_DEFAULT.latency_above)
    latency_requests_at_least: int = _DEFAULT.latency_requests_at_least
    latency_for: timedelta = span(_DEFAULT.latency_for)
    ledger_stale_after: timedelta = span(_DEFAULT.ledger_stale_after)
    quota_used_percent_above: float = _DEFAULT.quota_used_percent_above
    quota_reset_at_least: timedelta = span(_DEFAULT.quota_reset_at_least)
    waste_percent_above: float = _DEFAULT.waste_percent_above
    waste_within: timedelta = span(_DEFAULT.waste_within)
    cliff_share_above: float = _DEFAULT.cliff_share_above
    cliff_within: timedelta = span(_DEFAULT.cliff_within)
    cliff_accounts_at_least: int = _DEFAULT.cliff_accounts_at_least
    no_eligible_for: timedelta = span(_DEFAULT.no_eligible_for)
    deactivated_at_least: int = _DEFAULT.deactivated_at_least
    deactivated_within: timedelta = span(_DEFAULT.deactivated_within)
    permanent_failures_within: timedelta = span(_DEFAULT.permanent_failures_within)
    spend_limit_usd: float = _DEFAULT.spend_limit_usd
    spend_times_usual_above: float = _DEFAULT.spend_times_usual_above
    spend_unusual_at_least_usd: float = _DEFAULT.spend_unusual_at_least_usd
    unpriced_share_above: float = _DEFAULT.unpriced_share_above
    unpriced_at_least: int = _DEFAULT.unpriced_at_least
    unmetered_at_least: int = _DEFAULT.unmetered_at_least
    unpriced_within: timedelta = span(_DEFAULT.unpriced_within)
    short_keys_above: int = _DEFAULT.short_keys_above
    short_keys_within: timedelta = span(_DEFAULT.short_keys_within)
    budget_hits_within: timedelta = span(_DEFAULT.budget_hits_within)
    console_url: str = Console().address
    runbook_base_url: str = f"{Console().address}/runbooks"
    dashboard_base_url: str = _DEFAULT.dashboard_base_url
    relabel: tuple[Relabel, ...] = ()
    remote_write: RemoteWrite | None = None
    alerts: Mapping[str, AlertRule] = field(default_factory=dict)

    @classmethod
    def of(cls, rules: Rules, console_url: str = Console().address, **others: Any) -> RuleConfig:
        """The configuration that `[rules]` describes.

        Args:
            console_url: of the monitoring page.
        Raises: ConfigError.
        """
        durations = {f.name for f in fields(cls) if f.type == "timedelta"}
        values: dict[str, Any] = {name: getattr(rules, name) for name in type(rules).model_fields}
        values |= {name: span(values[name]) for name in durations}
        values["services"] = tuple(rules.services)
        values["runbook_base_url"] = rules.runbook_base_url or f"{console_url}/runbooks"
        return cls(**values, console_url=console_url, **others)

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
        if self.latency_objective_within not in _BOUNDS:
            allowed = ", ".join(map(promql, _BOUNDS))
            raise ConfigError(
                f"latency_objective_within = {promql(self.latency_objective_within)}: allowed: {allowed}"
            )
        for name in ("error_ratio_above", "cliff_share_above", "unpriced_share_above"):
            self._within(name, 1)
        for name in ("quota_used_percent_above", "waste_percent_above"):
            self._within(name, 100)

    @property
    def jobs(self) -> tuple[str, ...]:
        names = {"proxy": self.proxy_job, "exporter": self.exporter_job, "collector": self.collector_job}
        return tuple(job for service, job in names.items() if service in self.services)

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
