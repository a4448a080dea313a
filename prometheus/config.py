"""The one value that scrape configuration, rules, alerts and dashboards share."""

from __future__ import annotations

from datetime import timedelta

from metrics.proxy import LATENCY
from prometheus.errors import ConfigError
from prometheus.promql import promql
from prometheus.relabel import Relabel
from prometheus.remote_write import RemoteWrite
from settings.console import Console
from settings.rules import Rules

SAMPLES_PER_WINDOW = 4
"""A rate needs two samples; four scrapes leave room for two that were lost."""

_BOUNDS = tuple(timedelta(milliseconds=bound) for bound in LATENCY.buckets)


class RuleConfig(Rules):
    """`[rules]`, and what the build is told besides.

    Attributes:
        console_url: where the monitoring page is; its runbooks are read there by default.
        relabel: what is not to be stored as it was scraped; by default everything is.
        remote_write: another store that gets the samples too; by default none leaves this machine.
    """

    console_url: str = Console().address
    relabel: tuple[Relabel, ...] = ()
    remote_write: RemoteWrite | None = None

    @classmethod
    def of(
        cls,
        rules: Rules,
        console_url: str = Console().address,
        relabel: tuple[Relabel, ...] = (),
        remote_write: RemoteWrite | None = None,
    ) -> RuleConfig:
        """What `[rules]` describes, where its values go together. Raises: ConfigError."""
        found = cls(**dict(rules), console_url=console_url, relabel=relabel, remote_write=remote_write)
        allowed = {
            "scrape_timeout": found.scrape_timeout > found.scrape_interval
            and f"at most scrape_interval, {promql(found.scrape_interval)}",
            "rate_window": found.rate_window < SAMPLES_PER_WINDOW * found.scrape_interval
            and f"at least {SAMPLES_PER_WINDOW} scrape intervals",
            "latency_objective_within": found.latency_objective_within not in _BOUNDS
            and ", ".join(map(promql, _BOUNDS)),
        }
        for name, else_allowed in allowed.items():
            if else_allowed:
                raise ConfigError(f"{name} = {promql(getattr(found, name))}: allowed: {else_allowed}")
        return found

    @property
    def runbooks(self) -> str:
        """The address that the pages of the alerts are read below."""
        return (self.runbook_base_url or f"{self.console_url}/runbooks").rstrip("/")

    @property
    def jobs(self) -> tuple[str, ...]:
        names = {"proxy": self.proxy_job, "exporter": self.exporter_job, "collector": self.collector_job}
        return tuple(job for service, job in names.items() if service in self.services)

    @property
    def panel_step(self) -> timedelta:
        """The least step of rate panels: Grafana makes `$__rate_interval` at least four of them,
        which is `rate_window`."""
        return self.rate_window / SAMPLES_PER_WINDOW
