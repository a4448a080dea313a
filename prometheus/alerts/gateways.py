"""Alerts on what is collected from other gateways: what may be missing, is not collected, cannot be read."""

from __future__ import annotations

from metrics import collector as m
from prometheus import addresses
from prometheus.alerts.alert import Alert
from prometheus.config import RuleConfig
from prometheus.promql import increase, select, total
from prometheus.promql import promql as duration


def alerts(config: RuleConfig) -> tuple[Alert, ...]:
    return (gateway_gap(config), gateway_lost(config), inbox_waiting(config), items_undecodable(config))


def gateway_gap(config: RuleConfig) -> Alert:
    """Events may have been lost for good."""
    window = duration(config.gaps_within)
    return Alert(
        name="QuotascopeGatewayGap",
        signal=total(increase(select(m.GAP_SECONDS), window), "gateway", "reason"),
        threshold=f"> {config.gap_seconds_above:g}",
        severity="warning",
        summary="Requests of {{ $labels.gateway }} may be missing",
        description="In the last "
        + window
        + " events of {{ $labels.gateway }} may have been lost for {{ $value | humanizeDuration }} "
        "({{ $labels.reason }}): totals of that time are too low.",
        dashboard=addresses.PIPELINE,
    )


def gateway_lost(config: RuleConfig) -> Alert:
    """A gateway is not collected from."""
    return Alert(
        name="QuotascopeGatewayLost",
        signal=f"min by (gateway) ({select(m.CONNECTED)})",
        threshold="== 0",
        lasting=config.gateway_lost_for,
        severity="critical",
        summary="Nothing is collected from {{ $labels.gateway }}",
        description="The collector has had no connection to {{ $labels.gateway }} for "
        f"{duration(config.gateway_lost_for)}. Events that the gateway cannot deliver are lost.",
        dashboard=addresses.PIPELINE,
    )


def inbox_waiting(config: RuleConfig) -> Alert:
    """What was received does not get into the ledger."""
    return Alert(
        name="QuotascopeInboxWaiting",
        signal=f"min_over_time({select(m.PENDING)}[{duration(config.inbox_waiting_for)}])",
        threshold="> 0",
        severity="warning",
        summary="Collected requests are waiting for the ledger",
        description='At least {{ $value | printf "%.0f" }} received items of {{ $labels.instance }} have '
        f"waited for {duration(config.inbox_waiting_for)}: the ledger cannot be written. None of them is "
        "lost.",
        dashboard=addresses.PIPELINE,
    )


def items_undecodable(config: RuleConfig) -> Alert:
    """The gateway says something that this version does not understand."""
    window = duration(config.undecodable_within)
    return Alert(
        name="QuotascopeItemsUndecodable",
        signal=total(increase(select(m.UNDECODABLE), window), "gateway"),
        threshold="> 0",
        severity="warning",
        summary="Events of {{ $labels.gateway }} cannot be read",
        description='{{ $value | printf "%.0f" }} items of {{ $labels.gateway }} could not be decoded in '
        f"the last {window}; they wait in the inbox for a version that can.",
        dashboard=addresses.PIPELINE,
    )
