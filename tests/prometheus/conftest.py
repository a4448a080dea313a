"""What the watchroom's tests share: its rule files, and promtool run on them."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import urllib.request
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager
from datetime import UTC, datetime, timedelta
from itertools import product
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest
import yaml

from metrics import collector as collector_metrics
from metrics import exporter as exporter_metrics
from metrics import proxy as proxy_metrics
from metrics.family import MetricFamily
from prometheus.build import files, write
from prometheus.config import RuleConfig
from prometheus.rules import recording_rules
from prometheus.scrape import Targets
from tests.conftest import running

NOW = datetime(2026, 9, 10, 15, tzinfo=UTC)
"""The end of the seeded history."""

VALUES: dict[str, tuple[str, ...]] = {
    "status": ("success", "error"),
    "model": ("gpt-5.4", "gpt-5.4-mini"),
    "api": ("responses", "chat_completions"),
    "kind": ("input", "cached_input", "output", "reasoning"),
    "account_id": ("acc-1", "acc-2"),
    "api_key": ("short_key", "sk-a...z123"),
    "collector": ("accounts", "spend"),
    "reason": ("unknown_pricing",),
    "event": ("permanent_failure", "rate_limit"),
}
"""Values of labels; of any other there is one."""

Values = dict[str, tuple[str, ...]]
ACCOUNT_STATUSES: Values = {"status": ("active", "deactivated", "reauth_required")}
HTTP_STATUSES: Values = {"status": ("200", "401")}
SOON = {exporter_metrics.SECONDARY_RESET.name: NOW.timestamp() + 7_200}


@pytest.fixture
def built(tmp_path: Path) -> Path:
    """A folder with the default configuration."""
    write(files(RuleConfig(), Targets("127.0.0.1:8787", "127.0.0.1:8789")), tmp_path)
    return tmp_path / "prometheus"


def releases() -> list[str]:
    """Folders with a Prometheus: that on PATH, and those that PROMETHEUS_DIRS names. What is asked of
    Prometheus in this room is asked of each."""
    named = [folder for folder in os.environ.get("PROMETHEUS_DIRS", "").split(os.pathsep) if folder]
    found = shutil.which("promtool")
    return [str(Path(found).parent) if found else "", *named]


@pytest.fixture(scope="session", params=releases(), ids=["here", *map(str, range(1, len(releases())))])
def release(request: pytest.FixtureRequest, binary: Callable[[str], str]) -> Callable[[str], str]:
    """Finds a program of one release of Prometheus."""
    folder = request.param
    return lambda name: str(Path(folder, name)) if folder else binary(name)


@pytest.fixture(scope="session")
def running_prometheus(release: Callable[[str], str]) -> Callable[..., AbstractContextManager[str]]:
    """Starts the Prometheus of this release; see tests/conftest.py."""
    return running(release)


@pytest.fixture
def promtool(release: Callable[[str], str]) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Runs promtool; both streams in one text."""

    def run(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
        command = [release("promtool"), *map(str, arguments)]
        return subprocess.run(
            command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=60, check=False
        )

    return run


@pytest.fixture
def run_rules(built: Path, promtool: Callable[..., subprocess.CompletedProcess[str]]) -> Callable[..., str]:
    """Runs `promtool test rules` on the rule files; answers with its complaint, empty when all is as said.
    promtool evaluates every group once in `every`, whatever the group says."""

    def run(cases: Sequence[dict[str, Any]], every: str = "1m") -> str:
        document = {
            "rule_files": ["rules/recording.yml", "rules/alerts.yml"],
            "evaluation_interval": every,
            "tests": list(cases),
        }
        (built / "cases.yml").write_text(yaml.safe_dump(document), encoding="utf-8")
        result = promtool("test", "rules", built / "cases.yml")
        return "" if result.returncode == 0 else result.stdout

    return run


@pytest.fixture(scope="session")
def ask_seeded(
    tmp_path_factory: pytest.TempPathFactory,
    release: Callable[[str], str],
    running_prometheus: Callable[..., AbstractContextManager[str]],
) -> Iterator[Callable[[str], list[Any]]]:
    """Asks a real Prometheus that has scraped every declared family for nine days, and evaluated the
    recording rules over them. The answer is the list of series at the end of that time."""
    data, promtool = tmp_path_factory.mktemp("seeded") / "data", release("promtool")
    _backfill(promtool, data, _samples())
    with running_prometheus("", data) as url:
        recorded = [*_recorded(url)]
    _backfill(promtool, data, recorded)
    with running_prometheus("", data) as url:  # blocks are seen at the next start
        yield lambda expr: _get(url, "query", query=expr, time=NOW.timestamp())


def _get(url: str, what: str, **parameters: object) -> list[Any]:
    with urllib.request.urlopen(f"{url}/api/v1/{what}?{urlencode(parameters)}", timeout=60) as answer:
        result: list[Any] = json.load(answer)["data"]["result"]
    return result


def _backfill(promtool: str, data: Path, lines: Iterable[str]) -> None:
    samples = data.with_name("samples.txt")
    samples.write_text("".join((*lines, "# EOF\n")), encoding="utf-8")
    command = [promtool, "tsdb", "create-blocks-from", "openmetrics", "--max-block-duration=486h"]
    subprocess.run([*command, samples, data], check=True, capture_output=True, timeout=120)


def _recorded(url: str) -> Iterator[str]:
    """What the recording rules say of the samples, twice an hour. promtool can evaluate them as well, but
    makes a block for every rule and two hours."""
    span = {"start": (NOW - timedelta(days=9)).timestamp(), "end": NOW.timestamp(), "step": 1_800}
    for rule in recording_rules():
        for series in _get(url, "query_range", query=rule.expr, **span):
            labels = ",".join(f'{name}="{value}"' for name, value in series["metric"].items())
            for at, value in series["values"]:
                yield f"{rule.name}{{{labels}}} {value} {at}\n"


def _samples() -> Iterator[str]:
    """OpenMetrics lines: all counters rise, all gauges stand still."""
    times = [NOW - timedelta(minutes=30 * n) for n in range(9 * 48, 6, -1)]
    times += [NOW - timedelta(minutes=n) for n in range(180, -1, -1)]
    jobs = (
        ('job="quotascope-proxy",instance="127.0.0.1:8787"', proxy_metrics.FAMILIES),
        ('job="quotascope-exporter",instance="127.0.0.1:8789"', exporter_metrics.FAMILIES),
        ('job="quotascope-collector",instance="127.0.0.1:8790"', collector_metrics.OWN),
    )
    for target, families in jobs:
        for at in times:
            yield f"up{{{target}}} 1 {at.timestamp():.0f}\n"
        for family in families:
            for name, labels, most in _series(family):
                for at in times:
                    minutes = (at - times[0]) / timedelta(minutes=1)
                    value = SOON.get(name, 40.0) if family.kind == "gauge" else most * minutes
                    yield f"{name}{{{target}{labels}}} {value} {at.timestamp():.0f}\n"


def _series(family: MetricFamily) -> Iterator[tuple[str, str, float]]:
    """Name, labels and rise per minute of every series of a family."""
    special: dict[MetricFamily, Values] = {
        exporter_metrics.ACCOUNTS: ACCOUNT_STATUSES,
        proxy_metrics.HTTP_REQUESTS: HTTP_STATUSES,
    }
    values = {**VALUES, **special.get(family, {})}
    for chosen in product(*(values.get(label, ("some",)) for label in family.labels)):
        labels = "".join(f',{name}="{value}"' for name, value in zip(family.labels, chosen, strict=True))
        if family.kind != "histogram":
            yield family.name, labels, 1.0
            continue
        for place, bound in enumerate((*family.buckets, "+Inf")):
            yield family.bucket, f'{labels},le="{bound}"', float(place + 1)
        yield family.sum, labels, 100.0
        yield family.count, labels, float(len(family.buckets) + 1)
