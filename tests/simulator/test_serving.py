"""A command beside a real Prometheus with invented history."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.seeded import main

pytestmark = pytest.mark.slow

ASK = """
import json, sys, urllib.parse, urllib.request
url, now, out = sys.argv[1:]
query = "sum(increase(codex_lb_proxy_requests_total[1d])) and on () sum(codex_lb_secondary_used_percent) > 0"
form = urllib.parse.urlencode({"query": query, "time": now}).encode()
with urllib.request.urlopen(url + "/api/v1/query", form) as answer:
    (series,) = json.load(answer)["data"]["result"]
open(out, "w").write(series["value"][1])
sys.exit(3)
"""


def test_a_command_finds_the_history_and_its_exit_code_is_ours(
    tmp_path: Path, binary: Callable[[str], str]
) -> None:
    binary("prometheus"), binary("promtool")
    out = tmp_path / "answer"
    command = ["--days", "1", "--until", "2026-09-02T00:00:00+00:00", "--"]
    assert main([*command, sys.executable, "-c", ASK, "{prometheus}", "{now}", str(out)]) == 3
    assert 5_000 < float(out.read_text()) < 15_000


def test_without_prometheus_it_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert main(["--days", "1", "--until", "2026-09-02T00:00:00+00:00", "--", "true"]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "apt-get install prometheus" in line
