"""Token usage: by key, by direction, over time."""

from __future__ import annotations

from dashboards.kit import frame, links, panels, variables
from dashboards.kit.layout import Row, place
from dashboards.kit.parts import About
from dashboards.kit.plain import Json
from dashboards.kit.words import averaged
from dashboards.pages.keys import ANSWERED, MASKED
from dashboards.queries import keys as queries
from prometheus import addresses
from prometheus.config import RuleConfig

UID = addresses.TOKENS
TITLE = "Token Usage Metrics"
DESCRIPTION = "Prompt and completion tokens by masked API key."

_NO_TOKENS = "No answer with usage in this range"
_KEYS = links.dashboard(addresses.API_KEYS, "Requests by key")


def dashboard(config: RuleConfig) -> Json:
    rows = (
        Row(panels.row("In this range"), 8, ((12, by_key()), (12, by_direction()))),
        Row(panels.row("Over time"), 8, ((24, over_time(config)),)),
        Row(panels.row("Output for input"), 8, ((24, ratio()),)),
    )
    tags = ("api", "prometheus", "tokens")
    choices = [variables.datasource(), variables.resolution(config), variables.fine(config)]
    return frame.dashboard(UID, TITLE, DESCRIPTION, place(rows), choices, tags)


def by_key() -> Json:
    about = About(
        "Total Tokens Used by API Key",
        f"Prompt and completion tokens over the dashboard's time range, by key. {ANSWERED} {MASKED}",
        "short",
        _NO_TOKENS,
        links=(_KEYS,),
    )
    return panels.pie(about, [queries.tokens_by_key()])


def by_direction() -> Json:
    about = About(
        "Prompt vs Completion Tokens",
        f"Tokens of all keys over the dashboard's time range. Cached prompt tokens are prompt tokens, "
        f"reasoning tokens are completion tokens. {ANSWERED}",
        "short",
        _NO_TOKENS,
        links=(links.dashboard(addresses.OVERVIEW, "Cached and reasoning tokens"),),
    )
    return panels.pie(about, queries.tokens_by_direction(), {"Prompt": "blue", "Completion": "orange"})


def over_time(config: RuleConfig) -> Json:
    about = About(
        "Token Usage Over Time",
        f"Prompt and completion tokens a minute of all keys, {averaged(config)}. {ANSWERED}",
        "short",
        _NO_TOKENS,
        axis="tokens a minute",
        links=(links.dashboard(addresses.OVERVIEW, "Requests and latency"),),
    )
    return panels.timeseries(about, [queries.token_rate(config)])


def ratio() -> Json:
    about = About(
        "Input/Output Token Ratio by API Key",
        "Completion tokens for each prompt token over the dashboard's time range, by key: 0.05 is an answer "
        f"of one token to twenty. {ANSWERED}",
        "suffix:output per input",
        _NO_TOKENS,
        decimals=3,
        links=(_KEYS,),
    )
    return panels.bar_gauge(about, [queries.output_ratio_by_key()], "orange")
