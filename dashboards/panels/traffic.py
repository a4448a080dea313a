"""Panels over the dashboard's time range: requests, errors, tokens, speed and what they cost."""

from __future__ import annotations

from dashboards.kit import colors, links, panels
from dashboards.kit.parts import About
from dashboards.kit.plain import Json
from dashboards.kit.tables import Column, table
from dashboards.kit.words import FULL_HOURS, NO_TRAFFIC, TOO_FEW, averaged, of_requests
from dashboards.panels.days import PRICED_ONLY
from dashboards.queries import overview as queries
from dashboards.queries.query import MIN_REQUESTS
from prometheus import addresses
from prometheus.config import RuleConfig

_QUANTILE_COLORS = {"p50": "green", "p95": "orange", "p99": "red"}


def cost_by_model() -> Json:
    about = About(
        "Cost by model (USD)",
        "US dollars of each model over the dashboard's time range and their share of the whole, which stands "
        f"on top. {PRICED_ONLY}",
        "currencyUSD",
        "No priced request in this range",
        decimals=2,
        links=(links.dashboard(addresses.TOKENS, "Tokens by key"),),
    )
    cost, part = queries.cost_by_model()
    columns = [Column(cost, "Cost", "currencyUSD", 2), Column(part, "Share", "percentunit", 1)]
    return table(about, columns, {"model": "Model"})


def cost_by_key() -> Json:
    about = About(
        "Cost by key (USD)",
        "US dollars of each masked API key over the dashboard's time range, dearest first. "
        f"{PRICED_ONLY} {FULL_HOURS}",
        "currencyUSD",
        "No priced request in the full hours of this range",
        decimals=2,
        links=(links.dashboard(addresses.API_KEYS, "All about keys"),),
    )
    return panels.bar_gauge(about, [queries.cost_by_key()])


def cost_by_project(config: RuleConfig) -> Json:
    about = About(
        "Cost by project (USD)",
        "US dollars of each project that requests name in a header of metering.project_headers, over the "
        f"dashboard's time range, dearest first. {FULL_HOURS} Neither filter applies.",
        "currencyUSD",
        "No request in the full hours of this range has named a project",
        decimals=2,
        links=(links.requests(config),),
    )
    return panels.bar_gauge(about, [queries.cost_by_project()])


def errors(config: RuleConfig) -> Json:
    about = About(
        "Errors",
        "Failed requests over the dashboard's time range, by model. A request that the client cancelled "
        "never counts as an error.",
        "locale",
        "No request failed in this range",
        decimals=0,
        links=(links.requests(config, "&status=error"),),
    )
    return panels.bar_gauge(about, [queries.errors()], "red")


def latency_by_model(config: RuleConfig) -> Json:
    about = About(
        "Latency p95 by model",
        "Time from a request's arrival to the last byte of its answer that 95 of 100 requests stay below, "
        f"by model, {of_requests(config)}. Without cancelled requests.",
        "ms",
        NO_TRAFFIC,
        links=(links.dashboard(addresses.PIPELINE, "Whether the proxy itself is slow"),),
    )
    return panels.timeseries(
        about,
        [queries.latency_by_model(config)],
        logarithmic=True,
        colors=colors.MODELS,
        summary=True,
        points=panels.FEW_POINTS,
    )


def unpriced() -> Json:
    about = About(
        "Unpriced requests",
        "Successful requests over the dashboard's time range that no price could be given to, by reason: "
        "the true cost is higher. The model filter does not apply.",
        "locale",
        "None in this range: what succeeded has a price",
        decimals=0,
        links=(links.dashboard(addresses.ROUTING, "Unpriced by reason and account"),),
    )
    column = Column(queries.unpriced_by_reason(), "Requests", "locale", 0, width=90)
    return table(about, [column], {"reason": "Reason", "api": "API"})


def requests_by_model(config: RuleConfig) -> Json:
    about = About(
        "Requests by model",
        f"Requests a minute of every outcome, by model, {averaged(config)}.",
        "reqpm",
        NO_TRAFFIC,
        links=(links.dashboard(addresses.API_KEYS, "Requests by key"),),
    )
    return panels.timeseries(about, [queries.requests_by_model(config)], stacked=True, colors=colors.MODELS)


def error_rate(config: RuleConfig) -> Json:
    """Failures; the dashed line is the alert's threshold."""
    about = About(
        "Error rate",
        f"Failed requests as a share of all, {averaged(config)}, where there are "
        f"{MIN_REQUESTS} requests at least: see Errors for their number. A request that the client "
        "cancelled never counts as an error. The dashed line is where the alert begins.",
        "percentunit",
        TOO_FEW,
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
    about = About(
        "Tokens by kind",
        f"Tokens a minute as the provider reported them, {averaged(config)}. Cached input is "
        "part of input, reasoning is part of output. The API filter does not apply.",
        "short",
        "No tokens reported in this range",
        axis="tokens a minute",
        links=(links.dashboard(addresses.TOKENS, "Tokens by key"),),
    )
    return panels.timeseries(about, queries.tokens_by_kind(config), colors=colors.TOKENS)


def latency(config: RuleConfig) -> Json:
    about = About(
        "Latency",
        f"Time from a request's arrival to the last byte of its answer, {of_requests(config)}: half of "
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
        summary=True,
        points=panels.FEW_POINTS,
    )


def time_to_first_token(config: RuleConfig) -> Json:
    about = About(
        "Time to first token",
        f"Time from a request's arrival to the first generated token of a stream, {of_requests(config)}. "
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
        summary=True,
        points=panels.FEW_POINTS,
    )


def cache_ratio(config: RuleConfig) -> Json:
    about = About(
        "Cache ratio",
        f"Cached input tokens as a share of all input tokens, {averaged(config)}. "
        "The API filter does not apply.",
        "percentunit",
        "No input tokens reported in this range",
        links=(links.dashboard(addresses.TOKENS, "Tokens by key"),),
    )
    return panels.timeseries(about, [queries.cache_ratio(config)], most=1)
