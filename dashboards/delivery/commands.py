"""The commands `diff` and `deploy`: arguments and environment in, table out, exit code."""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from dashboards.build import dashboards
from dashboards.delivery.deploy import compare, deploy, table
from dashboards.delivery.grafana import Grafana
from dashboards.errors import GrafanaError
from prometheus.config import RuleConfig
from prometheus.http_api import checked
from settings.load import load

URL, TOKEN = "GRAFANA_URL", "GRAFANA_TOKEN"

_WOULD = {
    "create": "would create",
    "update": "would update",
    "unchanged": "unchanged",
    "prune": "would remove",
    "provisioned": "differs, and is provisioned from a file",
}
_DONE = _WOULD | {"create": "created", "update": "updated"}


def diff(arguments: argparse.Namespace, environ: Mapping[str, str]) -> int:
    """Say what a deployment would change; 1 where something would."""
    with connected(arguments.grafana, environ) as grafana:
        found = compare(grafana, dashboards(rule_config(arguments, environ)))
    print(table(found, _WOULD))
    return int(any(change.is_drift for change in found))


def bring(arguments: argparse.Namespace, environ: Mapping[str, str]) -> int:
    with connected(arguments.grafana, environ) as grafana:
        done = deploy(grafana, dashboards(rule_config(arguments, environ)), prune=not arguments.keep)
        version = grafana.version()
    print(table(done, _DONE | {"prune": "kept" if arguments.keep else "removed"}))
    print(f"Grafana {version} shows what this repository says")
    return 0


def rule_config(arguments: argparse.Namespace, environ: Mapping[str, str]) -> RuleConfig:
    """What `[rules]` and `[console]` of the configuration say. Raises: SettingsError."""
    settings = load(arguments.config, environ)
    return RuleConfig.of(settings.rules, settings.console.address)


@contextmanager
def connected(url: str | None, environ: Mapping[str, str]) -> Iterator[Grafana]:
    """The Grafana to talk to, for as long as the block lasts.

    Raises: GrafanaError where its address or the token is missing, ApiError where it is no URL.
    """
    address = url or environ.get(URL, "")
    if not address:
        raise GrafanaError(f"say which Grafana: --grafana URL, or {URL} in the environment")
    token = environ.get(TOKEN, "").strip()
    if not token:
        raise GrafanaError(f"{TOKEN} is not set: a service account's token, with the role Editor")
    grafana = Grafana(checked(address, "--grafana").rstrip("/"), token)
    try:
        yield grafana
    finally:
        grafana.close()
