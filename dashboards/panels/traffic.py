"""Panels over the dashboard's time range: requests, errors, tokens, speed and what they cost."""

from __future__ import annotations

from dashboards.kit import addresses, links, panels
from dashboards.kit.parts import About
from dashboards.kit.plain import Json
from dashboards.kit.tables import Column, table
from dashboards.kit.words import NO_TRAFFIC, averaged
from dashboards.panels.days import PRICED_ONLY
from dashboards.queries import overview as queries
from prometheus.config import RuleConfig
from prometheus.durations import promql as duration

_QUANTILE_COLORS = {"p50": "green", "p95": "orange", "p99": "red"}


def cost_by_model() -> Json:
    """Where the money goes."""
    about = About(
        "Cost by model (USD)",
        f"US dollars of each model over the dashboard's time range, dearest first. {PRICED_ONLY}",
        "currencyUSD",
        "No priced request in this range",
        decimals=2,
        links=(links.dashboard(addresses.TOKENS, "Tokens by key"),),
    )
    return panels.bar_gauge(about, [queries.cost_by_model()])


def unpriced() -> Json:
    """What the cost leaves out."""
    about = About(
        "Unpriced requests",
        "Successful requests over the dashboard's time range that no price could be given to, by reason: "
        "the true cost is higher. The model filter does not apply.",
        "locale",
        "None in this range: what succeeded has a price",
        decimals=0,
        links=(links.dashboard(addresses.ROUTING, "Unpriced by reason and account"),),
    )
    column = Column(queries.unpriced_by_reason(), "Requests", "locale", 0)
    return table(about, [column], {"reason": "Reason", "api": "API"})


def requests_by_model(config: RuleConfig) -> Json:
    """Traffic."""
    about = About(
        "Requests by model",
        f"Requests a minute of every outcome, by model, {averaged(config)}.",
        "reqpm",
        NO_TRAFFIC,
        links=(links.dashboard(addresses.API_KEYS, "Requests by key"),),
    )
    return panels.timeseries(about, [queries.requests_by_model(config)], stacked=True)


def error_rate(config: RuleConfig) -> Json:
    """Failures; the dashed line is the alert's threshold."""
    about = About(
        "Error rate",
        f"Failed requests as a share of all, {averaged(config)}. A request that the client cancelled "
        "never counts as an error. The dashed line is where the alert begins.",
        "percentunit",
        NO_TRAFFIC,
        links=(
            links.runbook("QuotascopeErrorRatioHigh", config),
            links.dashboard(addresses.ACCOUNTS, "Error rate by account"),
        ),
    )
    return panels.timeseries(
        about,
        [queries.error_ratio(config)],
        limit=config.error_ratio_above,
        colors={queries.error_ratio(config).legend: "red"},
    )


def tokens_by_kind(config: RuleConfig) -> Json:
    """Tokens."""
    about = About(
        "Tokens by kind",
        f"Tokens a minute as the provider reported them, {averaged(config)}. Cached input is "
        "part of input, reasoning is part of output. The API filter does not apply.",
        "short",
        "No tokens reported in this range",
        axis="tokens a minute",
        links=(links.dashboard(addresses.TOKENS, "Tokens by key"),),
    )
    return panels.timeseries(about, queries.tokens_by_kind(config))


def latency(config: RuleConfig) -> Json:
    """Time to the last byte."""
    about = About(
        "Latency",
        f"Time from a request's arrival to the last byte of its answer, {averaged(config)}: half of "
        "the requests are faster than p50, 95 and 99 in a hundred faster than p95 and p99. "
        "Without cancelled requests.",
        "ms",
        NO_TRAFFIC,
        links=(links.dashboard(addresses.PIPELINE, "Whether the proxy itself is slow"),),
    )
    return panels.timeseries(
        about,
        queries.latency(config),
        logarithmic=True,
        colors=_QUANTILE_COLORS,
        interval=duration(config.rate_window),
    )


def time_to_first_token(config: RuleConfig) -> Json:
    """Time to the first token."""
    about = About(
        "Time to first token",
        f"Time from a request's arrival to the first generated token of a stream, {averaged(config)}. "
        "Answers that are not streamed have none.",
        "ms",
        "No streamed answer in this range",
        links=(links.dashboard(addresses.ROUTING, "Retries, which add to it"),),
    )
    return panels.timeseries(
        about,
        queries.time_to_first_token(config),
        logarithmic=True,
        colors=_QUANTILE_COLORS,
        interval=duration(config.rate_window),
    )


def cache_ratio(config: RuleConfig) -> Json:
    """How much input was cached."""
    about = About(
        "Cache ratio",
        f"Cached input tokens as a share of all input tokens, {averaged(config)}. "
        "The API filter does not apply.",
        "percentunit",
        "No input tokens reported in this range",
        links=(links.dashboard(addresses.TOKENS, "Tokens by key"),),
    )
    return panels.timeseries(about, [queries.cache_ratio(config)], most=1)
