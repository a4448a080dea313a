"""The scrape configuration as data: who is scraped, how often, with which credential."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from prometheus.config import RuleConfig
from prometheus.errors import TargetError
from prometheus.promql import promql as duration
from prometheus.relabel import Relabel
from settings.model import split_address

_EVERY_ADDRESS = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104  (compared, never bound)

NATIVE_HISTOGRAMS = (3, 0)
"""From here on Prometheus can store classic histograms as native ones, without their buckets."""

START_TIMESTAMPS = "--enable-feature=created-timestamp-zero-ingestion"
"""A flag of Prometheus 3: a series begins with a 0 where its process began it; its first request counts."""

CREATED = Relabel(
    reason="when a series began is no series of its own; Prometheus 3 reads it before this",
    action="drop",
    source_labels=("__name__",),
    regex=".+_created",
)


@dataclass(frozen=True, slots=True)
class Targets:
    """Where the services answer, each HOST:PORT.

    Attributes:
        token_file: holds the bearer token for all; Prometheus reads it before each scrape, and takes
            a relative path from the folder of prometheus.yml.
        sidecars: further exporters: each beside a codex-lb, on that one's store.
        discovery: a folder with files that list further hosts, `proxy*.yml` and `exporter*.yml`; Prometheus
            watches them. The paths are relative as above.
        collector: None where nothing is collected.
        alertmanager: whom alerts are sent to; None where nobody is told.
        release: of the Prometheus that reads it, as major and minor number; (2, 42) reads what any does.
    """

    proxy: str
    exporter: str
    token_file: Path | None = None
    sidecars: tuple[str, ...] = ()
    discovery: Path | None = None
    collector: str | None = None
    alertmanager: str | None = None
    release: tuple[int, int] = (2, 42)


def target(address: str, option: str) -> str:
    """HOST:PORT as Prometheus can scrape it: an address that listens everywhere becomes this machine.

    Args:
        option: what to name in the error, like `--proxy-target`.
    Raises: TargetError.
    """
    host, port = _split(address, option)
    host = _EVERY_ADDRESS.get(host, host)
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def document(config: RuleConfig, targets: Targets, rule_files: list[str]) -> dict[str, Any]:
    """prometheus.yml.

    Args:
        rule_files: paths, relative to prometheus.yml.
    """
    return {
        "global": {
            "scrape_interval": duration(config.scrape_interval),
            "scrape_timeout": duration(config.scrape_timeout),
            "evaluation_interval": duration(config.evaluation_interval),
        },
        "rule_files": rule_files,
        **(_alerting(targets.alertmanager) if targets.alertmanager else {}),
        "scrape_configs": [
            _job(config, *job, targets) for job in _jobs(config, targets) if job[0] in config.jobs
        ],
        **({"remote_write": [config.remote_write.document()]} if config.remote_write else {}),
    }


def _alerting(alertmanager: str) -> dict[str, Any]:
    return {"alerting": {"alertmanagers": [{"static_configs": [{"targets": [alertmanager]}]}]}}


def _jobs(config: RuleConfig, targets: Targets) -> Iterator[tuple[str, str, tuple[str, ...]]]:
    yield config.proxy_job, "proxy", (targets.proxy,)
    yield config.exporter_job, "exporter", (targets.exporter, *targets.sidecars)
    if targets.collector:
        yield config.collector_job, "collector", (targets.collector,)


def _job(
    config: RuleConfig, name: str, room: str, addresses: tuple[str, ...], targets: Targets
) -> dict[str, Any]:
    job: dict[str, Any] = {"job_name": name, "static_configs": [{"targets": list(addresses)}]}
    if targets.discovery is not None:
        job["file_sd_configs"] = [{"files": [str(targets.discovery / f"{room}*.yml")]}]
    if targets.token_file is not None:
        job["authorization"] = {"type": "Bearer", "credentials_file": str(targets.token_file)}
    if targets.release >= NATIVE_HISTOGRAMS:
        # Where it is switched on for all jobs, panels and alerts would find no `_bucket` any more.
        job["convert_classic_histograms_to_nhcb"] = False
    job["metric_relabel_configs"] = [entry.document() for entry in (CREATED, *config.relabel)]
    return job


def _split(address: str, option: str) -> tuple[str, int]:
    allowed = "allowed: HOST:PORT with a port from 1 to 65535, like 127.0.0.1:8787"
    try:
        host, port = split_address(address)
    except ValueError as error:
        raise TargetError(f"{option} {address}: {allowed}") from error
    if not host or set(host) & set("/ @?#") or not 1 <= port <= 65535:
        raise TargetError(f"{option} {address}: {allowed}")
    return host, port
