"""Alerts on accounts: none is left to send to, or many are lost."""

from __future__ import annotations

from metrics import exporter as exporter_metrics
from metrics import proxy as proxy_metrics
from metrics.recorded import JOB_AND_INSTANCE
from prometheus import addresses
from prometheus.alerts.alert import Alert
from prometheus.config import RuleConfig
from prometheus.promql import equal, increase_from_first, one_of, select, total
from prometheus.promql import promql as duration

LOST = ("deactivated", "reauth_required")
"""Statuses out of which no account comes by itself."""


def alerts(config: RuleConfig) -> tuple[Alert, ...]:
    return no_eligible_account(config), accounts_deactivated(config), permanent_failures(config)


def no_eligible_account(config: RuleConfig) -> Alert:
    """There are accounts, and not one is active."""
    accounts = exporter_metrics.ACCOUNTS
    known = total(select(accounts), *JOB_AND_INSTANCE)
    lost = total(select(accounts, one_of("status", LOST)), *JOB_AND_INSTANCE)
    return Alert(
        name="QuotascopeNoEligibleAccount",
        signal=total(select(accounts, equal("status", "active")), *JOB_AND_INSTANCE),
        threshold="== 0",
        only_if=f"({known} >= {config.eligible_accounts_at_least} or {lost} > 0)",
        lasting=config.no_eligible_for,
        severity="critical",
        summary="No account can take requests",
        description="Every account that {{ $labels.instance }} knows is limited, used up, paused or lost: "
        "requests that are routed to accounts are refused.",
        dashboard=addresses.ROUTING,
    )


def accounts_deactivated(config: RuleConfig) -> Alert:
    """Several accounts were lost within a short time: the provider acts, or a login has expired for all."""
    window = duration(config.deactivated_within)
    lost = total(select(exporter_metrics.ACCOUNTS, one_of("status", LOST)), *JOB_AND_INSTANCE)
    return Alert(
        name="QuotascopeAccountsDeactivated",
        # Of the sum, so that an account that changes from one of these statuses to the other is no new one.
        signal=f"{lost} - min_over_time(({lost})[{window}:{duration(config.evaluation_interval)}])",
        threshold=f">= {config.deactivated_at_least}",
        lasting=config.evaluation_interval,
        severity="critical",
        summary="Several accounts were lost",
        description='{{ $value | printf "%.0f" }} accounts were deactivated or have to log in again, '
        f"all within {window}.",
        dashboard=addresses.ACCOUNTS,
    )


def permanent_failures(config: RuleConfig) -> Alert:
    """The provider said of an account that it will not work again as it is."""
    window = duration(config.permanent_failures_within)
    return Alert(
        name="QuotascopePermanentFailures",
        signal=total(increase_from_first(select(proxy_metrics.LB_PERMANENT), window), "code"),
        threshold="> 0",
        severity="warning",
        summary="An account has failed permanently",
        description="In the last "
        f"{window} the provider answered {{{{ $labels.code }}}} "
        '{{ $value | printf "%.0f" }} times: the accounts are out of the rotation until somebody acts.',
        dashboard=addresses.ROUTING,
    )
