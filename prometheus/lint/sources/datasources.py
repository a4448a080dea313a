"""Which queries of a dashboard go to a Prometheus, by what their datasource is called."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

VICTORIA = "victoriametrics-metrics-datasource"
TYPES = frozenset({"prometheus", "grafana-amazonprometheus-datasource", VICTORIA})
"""Grafana plugins whose queries are PromQL, or a language that contains it."""

_OTHERS = re.compile(
    r"loki|tempo|jaeger|zipkin|influx|elastic|opensearch|graphite|cloudwatch|stackdriver|azure|postgres|mysql"
    r"|mssql|clickhouse|testdata|pyroscope|victorialogs|logs|zabbix|grafana --|dashboard --|expr__",
    re.IGNORECASE,
)
"""Names under which people keep what is no Prometheus, where nothing says the type."""

_VARIABLE = re.compile(r"\$\{?(\w+)(?::\w+)?\}?|\[\[(\w+)\]\]")


def asks_prometheus(holder: Mapping[str, Any], plugins: Mapping[str, str]) -> bool:
    """Whether the datasource of a panel, a target or a variable answers PromQL.

    Args:
        plugins: the type of each datasource variable and import input, by its name.
    """
    datasource = holder.get("datasource")
    kind = datasource.get("type") if isinstance(datasource, dict) else None
    if isinstance(kind, str) and kind:
        return kind in TYPES
    return _is_prometheus(uid(holder), plugins)


def asks_victoria(holder: Mapping[str, Any], plugins: Mapping[str, str]) -> bool:
    datasource = holder.get("datasource")
    kind = datasource.get("type") if isinstance(datasource, dict) else None
    variable = _VARIABLE.fullmatch(uid(holder))
    return VICTORIA in (kind, plugins.get((variable[1] or variable[2]) if variable else ""))


def uid(holder: Mapping[str, Any]) -> str:
    """The name or uid of a datasource as written, variables included; "" where none is named."""
    datasource = holder.get("datasource")
    found = datasource.get("uid") if isinstance(datasource, dict) else datasource
    return found if isinstance(found, str) else ""


def _is_prometheus(name: str, plugins: Mapping[str, str]) -> bool:
    variable = _VARIABLE.fullmatch(name)
    if variable:
        name = variable[1] or variable[2]
        if plugins.get(name):
            return plugins[name] in TYPES
    return not _OTHERS.search(name)
