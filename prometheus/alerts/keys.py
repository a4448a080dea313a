"""Alerts on API keys."""

from __future__ import annotations

from metrics import proxy as proxy_metrics
from prometheus import addresses
from prometheus.alerts.alert import Alert
from prometheus.config import RuleConfig
from prometheus.promql import equal, increase_from_first, one_of, select, total
from prometheus.promql import promql as duration

REFUSED = ("401", "403")
"""Statuses of requests whose key is not accepted."""


def alerts(config: RuleConfig) -> tuple[Alert, ...]:
    return short_key_surge(config), budget_hit(config)


def short_key_surge(config: RuleConfig) -> Alert:
    """Many requests came with keys that are too short to be real: somebody may be guessing."""
    window = duration(config.short_keys_within)
    short = select(proxy_metrics.API_KEY_REQUESTS, equal("api_key", "short_key"))
    refused = select(proxy_metrics.HTTP_REQUESTS, one_of("status", REFUSED))
    return Alert(
        name="QuotascopeShortKeySurge",
        signal=total(increase_from_first(short, window), "job"),
        threshold=f"> {config.short_keys_above}",
        # A client whose key is a placeholder, and that is let in without one, guesses nothing.
        only_if=f"({total(increase_from_first(refused, window), 'job')} > {config.short_keys_above})",
        severity="warning",
        summary="Many requests with keys that are too short",
        description='{{ $value | printf "%.0f" }} requests in the last '
        f"{window} came with an API key of eight characters or fewer, and as many were refused: possibly "
        "somebody is guessing keys.",
        dashboard=addresses.API_KEYS,
    )


def budget_hit(config: RuleConfig) -> Alert:
    """Requests are refused because what their key may spend is spent."""
    window = duration(config.budget_hits_within)
    hits = total(increase_from_first(select(proxy_metrics.BUDGET_HITS), window), "api_key", "period")
    return Alert(
        name="QuotascopeBudgetHit",
        signal=hits,
        threshold="> 0",
        most=config.budget_alerts_at_most,
        severity="warning",
        summary="The budget of a key is exhausted",
        description="{{ if $labels.api_key }}"
        '{{ $value | printf "%.0f" }} requests of the key {{ $labels.api_key }} were refused in the last '
        f"{window}: its budget ({{{{ $labels.period }}}}) is exhausted.{{{{ else }}}}"
        'The budgets of {{ $value | printf "%.0f" }} keys were reached in the last '
        f"{window}.{{{{ end }}}}",
        dashboard=addresses.API_KEYS,
    )
