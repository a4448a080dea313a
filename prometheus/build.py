"""From RuleConfig and targets to files: the same input gives the same bytes."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import yaml

from prometheus import alerts, kubernetes, rules, scrape
from prometheus import notify as notify_room
from prometheus.config import RuleConfig
from prometheus.errors import ConfigError, OutputError, TargetError
from prometheus.relabel import hide_identity
from prometheus.scrape import Targets
from settings.model import Settings
from settings.notify import Notify

SCRAPE_FILE = PurePosixPath("prometheus/prometheus.yml")
RECORDING_FILE = PurePosixPath("prometheus/rules/recording.yml")
ALERTS_FILE = PurePosixPath("prometheus/rules/alerts.yml")
NOTIFY_FILE = PurePosixPath("alertmanager/alertmanager.yml")

OLDEST = (2, 42)
"""The oldest Prometheus whose configuration this is: Debian 12's."""

HEADER = "# Written by `python -m prometheus build`; a change made here is lost at the next build.\n"


@dataclass(frozen=True, slots=True)
class Wanted:
    """Targets as they were asked for; None takes where the settings let the service listen."""

    proxy: str | None = None
    exporter: str | None = None
    token_file: Path | None = None
    sidecars: Sequence[str] = ()
    discovery: Path | None = None
    collector: str | None = None
    prometheus_version: str = "2.42.0"


def targets(settings: Settings, wanted: Wanted) -> Targets:
    """Where to scrape: what was asked for, else where the settings let the services listen.

    Raises: TargetError, also where /metrics asks for a token and no token file is named.
    """
    if settings.metrics.token is not None and wanted.token_file is None:
        raise TargetError(
            "[metrics] token is set, so /metrics asks for it: put it into a file and pass --token-file FILE"
        )
    return Targets(
        _target(wanted.proxy, "--proxy-target", settings.server.listen_addr, "[server] listen_addr"),
        _target(
            wanted.exporter, "--exporter-target", settings.exporter.listen_addr, "[exporter] listen_addr"
        ),
        wanted.token_file,
        tuple(scrape.target(sidecar, "--sidecar-target") for sidecar in wanted.sidecars),
        wanted.discovery,
        _collector(settings, wanted.collector),
        settings.notify.alertmanager,
        _release(wanted.prometheus_version),
    )


def _release(version: str) -> tuple[int, int]:
    found = re.fullmatch(r"v?(\d+)\.(\d+)(\.\d+)?", version)
    if found is None or (release := (int(found[1]), int(found[2]))) < OLDEST:
        raise ConfigError(f"--prometheus-version {version}: allowed: 2.42.0 or later, like 3.5.0")
    return release


def _collector(settings: Settings, wanted: str | None) -> str | None:
    """None where no gateway is configured: nothing would answer there."""
    if not settings.collector.gateways and "collector" not in settings.rules.services:
        return None
    listens = settings.collector.listen_addr
    return _target(wanted, "--collector-target", listens, "[collector] listen_addr")


def _target(wanted: str | None, option: str, listens: str, key: str) -> str:
    return scrape.target(listens, key) if wanted is None else scrape.target(wanted, option)


def installed(config: RuleConfig, settings: Settings) -> RuleConfig:
    """The configuration of this installation: with a collector where there are gateways to collect from, and
    with display names hidden where the settings keep personal data out."""
    if settings.collector.gateways and "collector" not in config.services:
        config = config.model_copy(update={"services": (*config.services, "collector")})
    if settings.metrics.account_identity_mode == "email":
        return config
    return config.model_copy(update={"relabel": (*config.relabel, hide_identity())})


def files(config: RuleConfig, where: Targets, notify: Notify | None = None) -> Mapping[PurePosixPath, str]:
    """Every file to write, by its path below the output folder; the Alertmanager's where alerts go to one."""
    # Listed one by one: a rule file that an older build left behind is then not loaded.
    rule_files = [str(path.relative_to(SCRAPE_FILE.parent)) for path in (RECORDING_FILE, ALERTS_FILE)]
    reasons = "".join(f"# relabelled: {entry.reason}\n" for entry in config.relabel)
    return {
        SCRAPE_FILE: HEADER + reasons + _yaml(scrape.document(config, where, rule_files)),
        RECORDING_FILE: HEADER + _yaml(rules.document(config)),
        ALERTS_FILE: HEADER + _yaml(alerts.document(config)),
        **(
            {NOTIFY_FILE: HEADER + _yaml(notify_room.document(notify))}
            if where.alertmanager and notify
            else {}
        ),
    }


def manifests(config: RuleConfig, out: Path) -> Mapping[PurePosixPath, str]:
    """Rules and dashboards for Kubernetes, by their path below the output folder.

    Args:
        out: where the dashboards were built.
    Raises: OutputError.
    """
    groups = [group for made in (rules, alerts) for group in made.document(config)["groups"]]
    made = {"rules": kubernetes.rules(groups)}
    made |= {f"dashboard-{name}": map_ for name, map_ in kubernetes.dashboards(out).items()}
    return {kubernetes.FOLDER / f"{name}.yml": HEADER + _yaml(each) for name, each in made.items()}


def write(contents: Mapping[PurePosixPath, str], out: Path) -> list[Path]:
    """Write the files below `out`; folders are made as needed.

    Raises: OutputError.
    """
    written = []
    for relative, text in contents.items():
        path = out / relative
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
        except OSError as error:
            raise OutputError(f"{path}: cannot be written: {error.strerror or error}") from error
        written.append(path)
    return written


class _Dumper(yaml.SafeDumper):
    def increase_indent(self, flow: bool = False, indentless: bool = False) -> None:
        super().increase_indent(flow, False)  # list entries stand to the right of their key


def _yaml(document: dict[str, Any]) -> str:
    return yaml.dump(document, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=10_000)
