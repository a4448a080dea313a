from __future__ import annotations

from typing import Any

import pytest

from dashboards.__main__ import main

pytestmark = pytest.mark.slow

TOKEN = "glsa_test_token"


def test_diff_deploy_diff(local: Any, capsys: pytest.CaptureFixture[str]) -> None:
    """1 while the Grafana shows something else, 0 when it is as built."""
    server, url = local
    environ = {"GRAFANA_URL": url, "GRAFANA_TOKEN": TOKEN}
    assert main(["diff"], environ) == 1
    assert "would create  Overview  (quotascope-overview)" in capsys.readouterr().out
    assert server.writes == []
    assert main(["deploy"], environ) == 0
    out = capsys.readouterr().out
    assert out.count("created  ") == 7
    assert out.splitlines()[-1] == "Grafana 12.3.1 shows what this repository says"
    assert main(["diff"], environ) == 0
    server.dashboards["quotascope-routing"]["dashboard"]["refresh"] = "1s"
    assert main(["diff"], environ) == 1
    assert "refresh: '1s' -> '30s'" in capsys.readouterr().out


def test_keep_removes_nothing(local: Any, capsys: pytest.CaptureFixture[str]) -> None:
    server, url = local
    environ = {"GRAFANA_TOKEN": TOKEN}
    main(["deploy", "--grafana", url], environ)
    old = {"uid": "old", "title": "Old", "tags": ["quotascope"], "id": 99, "version": 1}
    server.dashboards["old"] = {"dashboard": old, "folderUid": "quotascope"}
    capsys.readouterr()
    assert main(["deploy", "--grafana", url, "--keep"], environ) == 0
    assert "kept       Old  (old)" in capsys.readouterr().out
    assert main(["deploy", "--grafana", url], environ) == 0
    assert "removed    Old  (old)" in capsys.readouterr().out
    assert "old" not in server.dashboards


@pytest.mark.parametrize(
    ("environ", "arguments", "message"),
    [
        ({}, [], "say which Grafana: --grafana URL, or GRAFANA_URL in the environment"),
        ({"GRAFANA_URL": "http://h"}, [], "GRAFANA_TOKEN is not set"),
        ({"GRAFANA_TOKEN": "secret"}, ["--grafana", "localhost:3000"], "--grafana localhost:3000: allowed: "),
    ],
)
@pytest.mark.parametrize("command", ["diff", "deploy"])
def test_bad_input_is_one_line(
    command: str,
    environ: dict[str, str],
    arguments: list[str],
    message: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main([command, *arguments], environ) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"dashboards: {message}")
    assert "secret" not in line
