"""Routing: which accounts are chosen, which are passed over and why, what is tried again."""

from __future__ import annotations

from dashboards.kit import colors, frame, links, panels, variables
from dashboards.kit.layout import Row, place
from dashboards.kit.parts import About
from dashboards.kit.plain import Json
from dashboards.kit.words import FULL_HOURS, averaged, of_requests
from dashboards.panels import attempts
from dashboards.queries import routing as queries
from prometheus import addresses
from prometheus.config import RuleConfig

UID = addresses.ROUTING
TITLE = "Routing"
DESCRIPTION = "How accounts are chosen, marked and tried again, and requests that could not be priced."

_ACCOUNTS = links.dashboard(addresses.ACCOUNTS, "Quota of the accounts")
_NO_ROUTING = "No account was chosen in this range: without configured accounts the proxy does not route"


def dashboard(config: RuleConfig) -> Json:
    rows = (
        Row(
            panels.row("Selection"),
            8,
            (
                (5, success(config)),
                (11, selections(config)),
                (8, by_account(config)),
                (12, share(config)),
                (12, score(config)),
            ),
        ),
        Row(panels.row("Marks"), 8, ((10, marks(config)), (8, permanent(config)), (6, age(config)))),
        Row(
            panels.row("Further attempts"),
            8,
            (
                (10, attempts.retries(config)),
                (8, attempts.retries_by_account(config)),
                (6, attempts.refresh_failures(config)),
            ),
        ),
        Row(
            panels.row("Estimation"),
            8,
            (
                (9, attempts.unpriced(config)),
                (7, attempts.unpriced_by_account()),
                (8, attempts.unmetered(config)),
            ),
        ),
    )
    choices = [variables.datasource(), variables.api(), variables.top()]
    choices += [variables.resolution(config), variables.coarse(config)]
    return frame.dashboard(UID, TITLE, DESCRIPTION, place(rows), choices)


def success(config: RuleConfig) -> Json:
    about = About(
        "Found an account",
        "Share of the tries to choose an account over the dashboard's time range that found one; one that "
        "the pinned pool could not serve counts by what the full pool did. The API filter does not apply.",
        "percentunit",
        "No account was chosen",
        decimals=2,
        links=(links.runbook("QuotascopeNoEligibleAccount", config),),
    )
    return panels.stat(about, queries.selection_success(), None, "red", {0.95: "orange", 0.99: "green"})


def by_account(config: RuleConfig) -> Json:
    about = About(
        "Requests by chosen account",
        "Requests of every outcome over the dashboard's time range, for the accounts that were chosen most. "
        f"{FULL_HOURS} The API filter does not apply.",
        "locale",
        _NO_ROUTING,
        decimals=0,
        links=(_ACCOUNTS,),
        value_links=(links.activity("__field.labels"),),
    )
    return panels.bar_gauge(about, [queries.requests_by_account()])


def selections(config: RuleConfig) -> Json:
    about = About(
        "Selections by pool and outcome",
        f"Tries to choose an account, a minute, {averaged(config)}. The pinned pool is asked first, then the "
        "full one; selected is a success, everything else says why the pool had nobody. "
        "The API filter does not apply.",
        "opm",
        _NO_ROUTING,
        links=(_ACCOUNTS,),
    )
    return panels.timeseries(about, [queries.selections(config)], stacked=True, colors=colors.OUTCOMES)


def share(config: RuleConfig) -> Json:
    about = About(
        "Selected tier share",
        f"Which part of the chosen accounts each tier is, {averaged(config)}. The API filter does not apply.",
        "percentunit",
        _NO_ROUTING,
        links=(_ACCOUNTS,),
    )
    return panels.timeseries(about, [queries.tier_share(config)], stacked=True, most=1)


def score(config: RuleConfig) -> Json:
    about = About(
        "Tier score p95",
        "The score below which 95 of 100 chosen accounts of a tier were, "
        f"{of_requests(config)}: the tier's weight by the second until the weekly reset, so it rises as "
        "resets come near. The API filter does not apply.",
        "sci",
        _NO_ROUTING,
        links=(links.dashboard(addresses.ACCOUNTS, "The reset cliff"),),
    )
    return panels.timeseries(about, [queries.tier_score(config)], logarithmic=True, points=panels.FEW_POINTS)


def marks(config: RuleConfig) -> Json:
    """What is noticed of accounts that fail."""
    about = About(
        "Marks by event",
        f"Accounts that were marked, a minute, {averaged(config)}: rate_limit and quota_exceeded pass by "
        "themselves, permanent_failure needs somebody. The API filter does not apply.",
        "opm",
        "No account was marked in this range",
        links=(links.console(config),),
    )
    return panels.timeseries(about, [queries.marks(config)], colors=colors.MARKS)


def permanent(config: RuleConfig) -> Json:
    about = About(
        "Permanent failures by code",
        "Permanent failures of each full hour by code; the bar stands in its hour. Such an account takes no "
        "request until somebody signs it in again. The API filter does not apply.",
        "locale",
        "No permanent failure in this range",
        decimals=0,
        links=(links.console(config), links.dashboard(addresses.ACCOUNTS, "Accounts by status")),
    )
    return panels.hours(about, [queries.permanent_failures()], colors.ERRORS)


def age(config: RuleConfig) -> Json:
    """Whether the choice is made on fresh knowledge."""
    about = About(
        "Age of the accounts' snapshot",
        "Seconds since the accounts were last read from the ledger, in the process that is furthest behind. "
        "The API filter does not apply.",
        "s",
        "The proxy has read no accounts in this range",
        links=(links.dashboard(addresses.PIPELINE, "Whether the ledger answers"),),
    )
    return panels.timeseries(about, [queries.snapshot_age(config)])
