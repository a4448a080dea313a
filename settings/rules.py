"""`[rules]`: what Prometheus scrapes, records and alerts on, and from when on somebody is woken.

The description of each field says why its default is what it is.
"""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, ConfigDict, Field, PlainSerializer

from settings.access import LIST
from settings.kinds import BaseUrl, Section

_UNITS = {
    "d": timedelta(days=1),
    "h": timedelta(hours=1),
    "m": timedelta(minutes=1),
    "s": timedelta(seconds=1),
    "ms": timedelta(milliseconds=1),
}


def _duration(given: object) -> timedelta:
    if isinstance(given, timedelta):
        return given
    if not isinstance(given, str):
        raise ValueError("allowed: text in quotes")
    if not re.fullmatch(r"[1-9]\d{0,5}[smhd]", given):
        raise ValueError("allowed: a duration like 30s, 5m, 6h or 1d")
    return int(given[:-1]) * _UNITS[given[-1]]


def written(duration: timedelta) -> str:
    """As the file and Prometheus have it, in the largest unit that leaves it whole: `15s`, `90m`, `250ms`.

    Raises: ValueError where it is not a positive number of milliseconds.
    """
    if duration <= timedelta(0) or duration % _UNITS["ms"]:
        raise ValueError(f"{duration!r} is not a positive number of milliseconds")
    unit, size = next((unit, size) for unit, size in _UNITS.items() if not duration % size)
    return f"{duration // size}{unit}"


def _label_value(text: str) -> str:
    if not re.fullmatch(r"[\w.-]{1,100}", text):
        raise ValueError("allowed: 1 to 100 letters, digits, dots, dashes and underscores")
    return text


Duration = Annotated[timedelta, BeforeValidator(_duration), PlainSerializer(written, when_used="json")]
Count = Annotated[int, Field(ge=1, le=1_000_000)]
Amount = Annotated[float, Field(gt=0, le=10_000_000)]
Share = Annotated[float, Field(ge=0, lt=1)]
Percent = Annotated[float, Field(ge=0, lt=100)]
Name = Annotated[str, AfterValidator(_label_value)]
Service = Literal["proxy", "exporter", "collector"]


def _lasts(default: str, *, description: str) -> Any:
    """A field of a duration, its default as one writes it in the file."""
    return Field(default, description=description)


class AlertRule(Section):
    """`[rules.alerts.NAME]`: one alert, by its name without `Quotascope`, changed."""

    enabled: bool = Field(True, description="false: it is not written, and nobody is woken by it")
    severity: Literal["critical", "warning", "info"] | None = Field(
        None, description="its label severity; without it the alert's own"
    )


class Rules(Section):
    model_config = ConfigDict(validate_default=True)  # durations are written as in the file

    proxy_job: Name = Field(
        "quotascope-proxy", description="value of the label job of the proxy; alerts and panels select by it"
    )
    exporter_job: Name = Field(
        "quotascope-exporter",
        description="value of the label job of the exporter; alerts and panels select by it",
    )
    collector_job: Name = Field(
        "quotascope-collector",
        description="value of the label job of the collector; alerts and panels select by it",
    )
    services: Annotated[tuple[Service, ...], LIST] = Field(
        ("proxy", "exporter"),
        min_length=1,
        description="what runs here: for a service that does not, like the proxy beside a codex-lb, no job "
        "is written and none is missed. The collector counts by itself where it has gateways",
    )
    scrape_interval: Duration = _lasts(
        "15s",
        description="the datasource's timeInterval must say the same: Grafana computes its windows from it",
    )
    scrape_timeout: Duration = _lasts(
        "10s", description="a scrape that takes longer is lost; it may not outlast the interval"
    )
    evaluation_interval: Duration = _lasts(
        "1m",
        description="rules and alerts. Nobody is woken sooner than after a minute, and a recorded day has "
        "1,440 points",
    )
    rate_window: Duration = _lasts(
        "5m",
        description="window of every rate in rules, and the shortest in panels: LLM requests are few and "
        "slow, and in a shorter one a single request is a spike",
    )
    availability_objective: float = Field(
        0.99,
        gt=0,
        lt=1,
        description="share of requests that do not fail, over a month: providers fail by themselves in "
        "about one of a hundred",
    )
    latency_objective: float = Field(
        0.95,
        gt=0,
        lt=1,
        description="share of requests that end within latency_objective_within, over a month",
    )
    latency_objective_within: Duration = _lasts(
        "2m",
        description="to the last byte; one of the bounds that the proxy counts by: 1s, 5s, 10s, 20s, 30s, "
        "1m, 2m, 5m, 10m or 15m",
    )
    burn_fast_above: float = Field(
        14.4,
        gt=1,
        le=1000,
        description="times the pace at which an objective allows failures, within an hour: two per cent of "
        "a month's are gone by then",
    )
    burn_slow_above: float = Field(
        6.0,
        gt=1,
        le=1000,
        description="the same within six hours: five per cent of a month's are gone by then",
    )
    error_ratio_above: Share = Field(
        0.05,
        description="share of requests: providers fail by themselves about once in a hundred requests, five "
        "is trouble",
    )
    error_requests_at_least: Count = Field(
        20,
        description="requests within traffic_gate_within: of fewer, one failure alone is a high share",
    )
    traffic_gate_within: Duration = _lasts(
        "30m",
        description="how far back requests are counted before their errors and latency wake somebody: in a "
        "shorter time a total outage of slow traffic would never reach the number",
    )
    traffic_keep_firing_for: Duration = _lasts(
        "10m",
        description="callers that give up make the errors stop; the alert stays until it is really over",
    )
    error_ratio_for: Duration = _lasts("5m", description="one burst of rate limits passes by itself")
    scrape_lost_for: Duration = _lasts(
        "5m", description="twenty scrapes in a row: longer than a restart takes, short enough to lose little"
    )
    collector_failing_for: Duration = _lasts(
        "10m", description="a locked or migrating store frees itself within minutes"
    )
    gap_seconds_above: float = Field(
        5.0,
        ge=0,
        le=1_000_000,
        description="seconds within gaps_within in which a gateway's events may be missing: a restart of "
        "the collector in order costs milliseconds",
    )
    gaps_within: Duration = _lasts("15m", description="how long a gap keeps its alert up after its end")
    gateway_lost_for: Duration = _lasts(
        "5m",
        description="longer than a gateway takes to restart; its queue forgets after a minute by default",
    )
    inbox_waiting_for: Duration = _lasts(
        "10m",
        description="received items, and requests in an outbox, wait for milliseconds; a long migration of "
        "the ledger takes minutes",
    )
    undecodable_within: Duration = _lasts(
        "1h", description="how long items that cannot be read keep their alert up: they wait in the inbox"
    )
    dropped_within: Duration = _lasts(
        "15m",
        description="how long a lost request keeps its alert up, so that it is seen; the loss itself is "
        "final",
    )
    latency_above: Duration = _lasts(
        "2m", description="95 in 100 requests to the last byte: a long reasoning turn takes about a minute"
    )
    latency_requests_at_least: Count = Field(
        20,
        description="requests within traffic_gate_within: the slowest in twenty of fewer is a single one",
    )
    latency_for: Duration = _lasts("10m", description="one batch of long turns ends sooner")
    ledger_stale_after: Duration = _lasts(
        "10m", description="a finished request is stored within a second; ten minutes later nobody is writing"
    )
    quota_used_percent_above: Percent = Field(
        90.0, description="percent of the weekly quota: the last tenth goes in hours"
    )
    quota_reset_at_least: Duration = _lasts(
        "6h", description="a reset that is nearer than that solves it by itself"
    )
    waste_percent_above: Percent = Field(
        30.0,
        description="percent of the weekly quota that will be left over: worth sending work there",
    )
    waste_within: Duration = _lasts(
        "1d", description="before the reset: earlier the projection is a guess, later nobody can use it"
    )
    quota_alerts_at_most: Count = Field(
        10,
        description="accounts that each get an alert about their quota; when there are more, one alert "
        "gives their number",
    )
    cliff_share_above: Share = Field(
        0.5,
        description="share of the accounts that reset together: quota then comes and goes for all at once",
    )
    cliff_within: Duration = _lasts("6h", description="how near to each other, and to now, the resets are")
    cliff_accounts_at_least: Count = Field(4, description="of fewer accounts, half is no crowd")
    no_eligible_for: Duration = _lasts(
        "2m", description="longer than a rate limit that the provider asks to wait out"
    )
    eligible_accounts_at_least: Count = Field(
        2,
        description="of fewer accounts, all being limited for a while is no outage; all being lost always is",
    )
    deactivated_at_least: Count = Field(
        3,
        description="accounts: one that is deactivated is a customer's business, three are a pattern",
    )
    deactivated_within: Duration = _lasts("1h", description="how near to each other they are lost")
    permanent_failures_within: Duration = _lasts(
        "1h", description="how long one keeps its alert up, so that it is seen"
    )
    spend_limit_usd: Amount = Field(
        100.0, description="US dollars in 24 hours: put here what you are ready to pay"
    )
    spend_times_usual_above: Amount = Field(
        3.0,
        description="times the mean day of the week before: weekends and releases stay below",
    )
    spend_unusual_at_least_usd: Amount = Field(
        5.0, description="US dollars in 24 hours: three times next to nothing is nothing"
    )
    unpriced_share_above: Share = Field(
        0.05, description="share of the successful requests: the true cost is then off by as much"
    )
    unpriced_at_least: Count = Field(
        10,
        description="requests within unpriced_within: one new model that somebody tries is not worth a page",
    )
    unmetered_at_least: Count = Field(
        10,
        description="requests within unpriced_within whose usage is not known, or makes no sense: single "
        "ones are cut streams",
    )
    unpriced_within: Duration = _lasts("1h", description="long enough for slow traffic")
    short_keys_above: Count = Field(
        50,
        description="requests within short_keys_within, and as many that are refused: no real key is that "
        "short, and a placeholder that is let in is no guess",
    )
    short_keys_within: Duration = _lasts("10m", description="a client with a wrong setting gives up sooner")
    budget_hits_within: Duration = _lasts(
        "1h",
        description="how long a refused request keeps its alert up: the caller may retry for hours, or never",
    )
    budget_alerts_at_most: Count = Field(
        10,
        description="keys that each get an alert about their budget; when there are more, one alert gives "
        "their number",
    )
    runbook_base_url: BaseUrl | None = Field(
        None,
        description="where the alerts' pages are read; without it the monitoring page's own, at /runbooks",
    )
    dashboard_base_url: BaseUrl = Field(
        "http://127.0.0.1:3000/d", description="where the alerts' dashboards are; the compose stack's Grafana"
    )
    alerts: dict[str, AlertRule] = Field(
        default_factory=dict, description="single alerts switched off or re-levelled, by name"
    )
