"""Alerts on the weekly quota: nearly gone, about to be wasted, or renewed for everybody at once."""

from __future__ import annotations

from metrics import exporter as exporter_metrics
from prometheus import addresses
from prometheus.alerts.alert import Alert
from prometheus.config import RuleConfig
from prometheus.promql import promql as duration
from prometheus.promql import select
from prometheus.quota import projected_unused_percent, seconds_to_reset, unless_out_of_use

THIS_ACCOUNT = "var-account={{ $labels.account_id | urlquery }}"


def alerts(config: RuleConfig) -> tuple[Alert, ...]:
    return quota_nearly_used(config), quota_going_to_waste(config), reset_cliff(config)


def quota_nearly_used(config: RuleConfig) -> Alert:
    """Little is left, and the reset is far away."""
    far = config.quota_reset_at_least.total_seconds()
    return Alert(
        name="QuotascopeQuotaNearlyUsed",
        signal=select(exporter_metrics.SECONDARY_USED),
        threshold=f"> {config.quota_used_percent_above:g}",
        only_if=f"({seconds_to_reset()} > {far:g} {unless_out_of_use()})",
        most=config.quota_alerts_at_most,
        lasting=config.evaluation_interval,
        severity="warning",
        summary="The weekly quota of an account is nearly used up",
        description='{{ if $labels.account_id }}{{ $value | printf "%.0f" }} % of the weekly quota of '
        "{{ $labels.account_id }} is used, and its reset is{{ else }}The weekly quota of "
        '{{ $value | printf "%.0f" }} accounts is nearly used up, and their resets are{{ end }} more than '
        f"{duration(config.quota_reset_at_least)} away.",
        dashboard=addresses.ACCOUNTS,
        choice=THIS_ACCOUNT,
    )


def quota_going_to_waste(config: RuleConfig) -> Alert:
    """Much will be left over at a reset that is near."""
    within = config.waste_within.total_seconds()
    return Alert(
        name="QuotascopeQuotaGoingToWaste",
        signal=projected_unused_percent(),
        threshold=f"> {config.waste_percent_above:g}",
        only_if=f"({seconds_to_reset()} > 0 < {within:g} {unless_out_of_use()})",
        most=config.quota_alerts_at_most,
        lasting=config.evaluation_interval,
        severity="warning",
        summary="Quota of an account will expire unused",
        description='{{ if $labels.account_id }}{{ $value | printf "%.0f" }} % of the weekly quota of '
        "{{ $labels.account_id }} will be left over at its reset{{ else }}Much of the weekly quota of "
        '{{ $value | printf "%.0f" }} accounts will be left over at their resets{{ end }}, less than '
        f"{duration(config.waste_within)} from now, at the current pace.",
        dashboard=addresses.ACCOUNTS,
        choice=THIS_ACCOUNT,
    )


def reset_cliff(config: RuleConfig) -> Alert:
    """Many accounts begin a new window within few hours."""
    within = config.cliff_within.total_seconds()
    known = f"count({select(exporter_metrics.SECONDARY_RESET)})"
    soon = f"count({seconds_to_reset()} > 0 < {within:g})"
    return Alert(
        name="QuotascopeResetCliff",
        signal=f"{soon} / {known}",
        threshold=f"> {config.cliff_share_above:g}",
        only_if=f"{known} >= {config.cliff_accounts_at_least}",
        lasting=config.evaluation_interval,
        severity="warning",
        summary="Many accounts reset together",
        description="{{ $value | humanizePercentage }} of the accounts reset their weekly quota within the "
        f"next {duration(config.cliff_within)}: use what is left, and expect them to run dry together.",
        dashboard=addresses.ACCOUNTS,
    )
