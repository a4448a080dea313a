"""The same rules and dashboards as manifests: a PrometheusRule for the Prometheus operator, and a ConfigMap
for each dashboard, as the sidecar of Grafana's chart collects them."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

from prometheus.errors import OutputError

FOLDER = PurePosixPath("kubernetes")
PREFIX = "quotascope-"
LABELS = {"app.kubernetes.io/name": "quotascope", "app.kubernetes.io/managed-by": "quotascope"}
MAX_BYTES = 1024 * 1024
"""What a ConfigMap may hold."""


def rules(groups: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    return {
        "apiVersion": "monitoring.coreos.com/v1",
        "kind": "PrometheusRule",
        # kube-prometheus selects rules by these two labels.
        "metadata": _metadata("rules", {"prometheus": "k8s", "role": "alert-rules"}),
        "spec": {"groups": list(groups)},
    }


def dashboard(name: str, text: str) -> dict[str, Any]:
    """The ConfigMap of one dashboard.

    Raises: OutputError where it is larger than a ConfigMap may be.
    """
    # One line: the indentation of the file would be a third of it.
    compact = json.dumps(json.loads(text), sort_keys=True, ensure_ascii=False, separators=(",", ":"))
    if (size := len(compact.encode())) >= MAX_BYTES:
        raise OutputError(
            f"dashboards/{name}.json: {size} bytes; allowed: below {MAX_BYTES}, for a ConfigMap"
        )
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": _metadata(f"dashboard-{name}", {"grafana_dashboard": "1"})
        | {"annotations": {"grafana_folder": "Quotascope"}},
        "data": {f"{PREFIX}{name}.json": compact},
    }


def dashboards(out: Path) -> dict[str, dict[str, Any]]:
    """The ConfigMaps of the dashboards that were built into a folder, by the dashboard's name.

    Raises: OutputError where none was.
    """
    built = sorted((out / "dashboards").glob("*.json"))
    if not built:
        raise OutputError(
            f"{out / 'dashboards'}: no dashboards; build them first: python -m dashboards build"
        )
    return {file.stem: dashboard(file.stem, file.read_text(encoding="utf-8")) for file in built}


def _metadata(name: str, labels: Mapping[str, str]) -> dict[str, Any]:
    return {"name": f"{PREFIX}{name}", "labels": {**LABELS, **labels}}
