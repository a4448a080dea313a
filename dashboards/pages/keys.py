"""API keys: who calls, how much, with which tokens. Keys are masked before they are counted."""

from __future__ import annotations

from dashboards.kit import frame, links, panels, variables
from dashboards.kit.layout import Row, place
from dashboards.kit.parts import About
from dashboards.kit.plain import Json
from dashboards.kit.tables import Column, table
from dashboards.kit.words import FULL_HOURS, NO_TRAFFIC, TOO_FEW, averaged
from dashboards.queries import keys as queries
from dashboards.queries.query import MIN_REQUESTS
from prometheus import addresses
from prometheus.config import RuleConfig

UID = addresses.API_KEYS
TITLE = "API Key Usage"
DESCRIPTION = "Requests and tokens by masked API key: the first and the last four characters."

MASKED = (
    "Keys are masked: short_key stands for keys of at most eight characters, unknown for missing or "
    "malformed ones."
)
ANSWERED = "Only requests answered with 200 count tokens."
_TOKENS = links.dashboard(addresses.TOKENS, "Tokens in detail")


def dashboard(config: RuleConfig) -> Json:
    usage = Row(
        panels.row("By key"),
        9,
        ((24, usage_by_key(config)), (8, requests()), (8, tokens()), (8, models())),
    )
    over_time = Row(
        panels.row("Over time"),
        8,
        ((24, directions(config)), (10, request_rate(config)), (8, odd_keys(config)), (6, budget_hits())),
    )
    choices = [variables.datasource(), variables.resolution(config), variables.fine(config)]
    return frame.dashboard(UID, TITLE, DESCRIPTION, place((usage, over_time)), choices, ("api", "prometheus"))


def usage_by_key(config: RuleConfig) -> Json:
    about = About(
        "Keys",
        "What each key has cost and used, in prompt and completion tokens, over the dashboard's time range, "
        "dearest first: its share is of all "
        "dollars, the error rate of its own requests, and Last seen counts from the end of the range, to the "
        f"minute in its last hour, else to within {queries.SEEN}. {ANSWERED} {FULL_HOURS} {MASKED}",
        "locale",
        NO_TRAFFIC,
        decimals=0,
        links=(links.requests(config),),
    )
    cost, part, requests, prompt, completion, errors, failed, seen = queries.usage_by_key()
    columns = [
        Column(cost, "Cost", "currencyUSD", 2),
        Column(part, "Share", "percentunit", 1),
        Column(requests, "Requests", "locale", 0),
        Column(prompt, "Prompt", "short", 1),
        Column(completion, "Completion", "short", 1),
        Column(errors, "Errors", "locale", 0),
        Column(failed, "Error rate", "percentunit", 1, ((config.error_ratio_above, "red"),)),
        Column(seen, "Last seen", "dtdurations", 0),
    ]
    return table(about, columns, {"api_key": "Key"})


def models() -> Json:
    about = About(
        "Models of each key",
        "US dollars of each key by model over the dashboard's time range, dearest first. Requests without a "
        f"price are not in it. {FULL_HOURS} {MASKED}",
        "currencyUSD",
        "No priced request in the full hours of this range",
        decimals=2,
        links=(links.dashboard(addresses.OVERVIEW, "Cost by model"),),
    )
    column = Column(queries.cost_by_key_and_model(), "Cost", "currencyUSD", 2, width=80)
    return table(about, [column], {"api_key": "Key", "model": "Model"})


def requests() -> Json:
    about = About(
        "API Key Usage",
        f"Requests of every outcome over the dashboard's time range, by key, busiest first. {MASKED}",
        "locale",
        NO_TRAFFIC,
        decimals=0,
        links=(links.dashboard(addresses.OVERVIEW, "What they cost"),),
    )
    return panels.bar_gauge(about, [queries.requests_by_key()])


def tokens() -> Json:
    about = About(
        "Token Usage by API Key",
        f"Prompt and completion tokens over the dashboard's time range, by key. {ANSWERED} {FULL_HOURS} "
        f"Tokens in detail adds up to the minute. {MASKED}",
        "short",
        "No answer with usage in the full hours of this range",
        links=(_TOKENS,),
    )
    return panels.bar_gauge(about, [queries.tokens_in_full_hours()])


def directions(config: RuleConfig) -> Json:
    about = About(
        "Prompt vs Completion Tokens",
        f"Tokens a minute of all keys, {averaged(config)}. {ANSWERED}",
        "short",
        "No answer with usage in this range",
        axis="tokens a minute",
        links=(_TOKENS,),
    )
    colors = {"Prompt Tokens": "blue", "Completion Tokens": "orange"}
    return panels.timeseries(about, queries.token_rates(config), colors=colors)


def request_rate(config: RuleConfig) -> Json:
    about = About(
        "Requests by key",
        f"Requests a minute of every outcome, by key, {averaged(config)}. {MASKED}",
        "reqpm",
        NO_TRAFFIC,
    )
    return panels.timeseries(about, [queries.request_rate_by_key(config)], stacked=True)


def budget_hits() -> Json:
    about = About(
        "Refused by budget",
        "Requests that were refused over the dashboard's time range because the key's daily or weekly budget "
        f"was spent. {MASKED}",
        "locale",
        "No budget was hit in this range, or none is configured",
        decimals=0,
        links=(links.dashboard(addresses.OVERVIEW, "What is spent"),),
    )
    return panels.bar_gauge(about, [queries.budget_hits()], "red")


def odd_keys(config: RuleConfig) -> Json:
    about = About(
        "Short or missing keys",
        f"Share of requests whose key is short_key or unknown, {averaged(config)}; nothing where "
        f"there are fewer than {MIN_REQUESTS} requests. A sudden rise may be "
        "somebody who tries keys, or a client that was set up wrongly.",
        "percentunit",
        TOO_FEW,
        links=(links.dashboard(addresses.PIPELINE, "Status codes of the answers"),),
    )
    return panels.timeseries(
        about, [queries.share_without_key(config)], colors={"Short or missing": "orange"}
    )
