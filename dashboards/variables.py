"""The choices at the top of a dashboard; queries name them as `$datasource`, `$model` and `$api`."""

from __future__ import annotations

from dashboards import frame
from dashboards.plain import Json
from dashboards.queries import label_values
from proxy import metrics as proxy


def datasource() -> Json:
    """Which Prometheus is asked."""
    return frame.datasource_variable("datasource", "Datasource")


def model() -> Json:
    """Models that requests were counted for."""
    return frame.label_variable("model", "Model", label_values(proxy.REQUESTS, "model"))


def api() -> Json:
    """APIs that requests were counted for."""
    return frame.label_variable("api", "API", label_values(proxy.REQUESTS, "api"))
