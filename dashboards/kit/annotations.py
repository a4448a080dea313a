"""Marks across all panels: deploys, restarts of the proxy, resets of quota."""

from __future__ import annotations

from dashboards.kit.parts import DATASOURCE
from dashboards.kit.plain import Json
from metrics import exporter
from metrics import recorded as names
from prometheus.promql import select

STEP, WINDOW = "1m", "$__rate_interval"
"""How far apart Prometheus is asked at least, and how long the windows are. The step grows with the range, so
the windows must: Grafana makes them overlap by a scrape, because a rise from the last sample of one window to
the first of the next would be in neither. Neighbours are drawn as one mark."""

_GRAFANA = {"type": "grafana", "uid": "-- Grafana --"}


SHARE = 0.05
"""Of the accounts, whose weeks begin again together: a thousand accounts have a reset every ten minutes."""

DAYS = 8
"""The longest range in which resets are marked: each account has one a week, and they would hide panels."""


def every(quota: bool) -> list[Json]:
    """All kinds of marks.

    Args:
        quota: whether resets are marked at first; elsewhere a switch at the top shows them.
    """
    return [deploys(), restarts(), resets() | {"enable": quota}]


def deploys() -> Json:
    """What a pipeline has noted in Grafana under the tag `deploy`."""
    target = {"refId": "Anno", "limit": 100, "matchAny": False, "tags": ["deploy"], "type": "tags"}
    return _mark("Deploys", "blue", _GRAFANA) | {"target": target}


def restarts() -> Json:
    """A counter that begins again: the proxy was restarted, by a deploy or by a crash."""
    expr = f"sum by (instance) (resets({select(names.REQUESTS)}[{WINDOW}])) > 0"
    return _mark("Restarts of the proxy", "orange", DATASOURCE) | _asked(expr, "Proxy restarted", "instance")


def resets() -> Json:
    """Weekly windows that began again: those of a twentieth of the accounts, or more."""
    began = f"sum by (job) (increase({select(names.RESETS)}[{WINDOW}]))"
    least = f"clamp_min({SHARE:g} * sum({select(exporter.ACCOUNTS)}), 0.5)"
    expr = f"{began} > on () group_left () {least} and on () (vector($__range_s) <= {DAYS * 86_400})"
    return _mark("Quota resets", "purple", DATASOURCE) | _asked(
        expr, "Weekly quota of an account reset", "job"
    )


def _mark(name: str, color: str, datasource: Json) -> Json:
    return {"name": name, "iconColor": color, "datasource": datasource, "enable": True, "hide": False}


def _asked(expr: str, title: str, label: str) -> Json:
    target = {"refId": "Anno", "expr": expr, "interval": STEP, "range": True, "instant": False}
    return {
        "expr": expr,
        "step": STEP,
        "target": target,
        "titleFormat": title,
        "textFormat": f"{{{{{label}}}}}",
        "tagKeys": label,
    }
