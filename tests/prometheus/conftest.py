"""What the watchroom's tests share: its rule files, and promtool run on them."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
import yaml

from prometheus.build import files, write
from prometheus.config import RuleConfig
from prometheus.scrape import Targets


@pytest.fixture
def built(tmp_path: Path) -> Path:
    """A folder with the default configuration."""
    write(files(RuleConfig(), Targets("127.0.0.1:8787", "127.0.0.1:8789")), tmp_path)
    return tmp_path / "prometheus"


@pytest.fixture
def promtool(binary: Callable[[str], str]) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Runs promtool; both streams in one text."""

    def run(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
        command = [binary("promtool"), *map(str, arguments)]
        return subprocess.run(
            command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=60, check=False
        )

    return run


@pytest.fixture
def run_rules(
    built: Path, promtool: Callable[..., subprocess.CompletedProcess[str]]
) -> Callable[[Sequence[dict[str, Any]]], str]:
    """Runs `promtool test rules` on the rule files; answers with its complaint, empty when all is as said."""

    def run(cases: Sequence[dict[str, Any]]) -> str:
        document = {
            "rule_files": ["rules/recording.yml", "rules/alerts.yml"],
            "evaluation_interval": "1m",
            "tests": list(cases),
        }
        (built / "cases.yml").write_text(yaml.safe_dump(document), encoding="utf-8")
        result = promtool("test", "rules", built / "cases.yml")
        return "" if result.returncode == 0 else result.stdout

    return run
