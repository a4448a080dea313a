from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from prometheus.config import RuleConfig
from prometheus.promql import promql
from provisioning.__main__ import main


def test_build_writes_where_it_is_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["build", "--out", "here", "--prometheus-url", "https://prometheus.example/base"]) == 0
    assert capsys.readouterr().out.splitlines() == [
        "wrote here/provisioning/dashboards/quotascope.yml",
        "wrote here/provisioning/datasources/prometheus.yml",
    ]
    provisioning = tmp_path / "here" / "provisioning"
    (datasource,) = yaml.safe_load((provisioning / "datasources/prometheus.yml").read_text())["datasources"]
    assert datasource["url"] == "https://prometheus.example/base"
    assert datasource["jsonData"]["timeInterval"] == promql(RuleConfig().scrape_interval)
    (provider,) = yaml.safe_load((provisioning / "dashboards/quotascope.yml").read_text())["providers"]
    assert provider["options"]["path"] == str(tmp_path / "here" / "dashboards")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["build", "--prometheus-url", "nowhere"], "provisioning: --prometheus-url 'nowhere'; allowed: "),
        (["build", "--prometheus-url", "http://["], "provisioning: --prometheus-url 'http://['; allowed: "),
        (
            ["build", "--webhook-url", "http://x:99999"],
            "provisioning: --webhook-url 'http://x:99999'; allowed: ",
        ),
        (["build", "--nonsense"], "python -m provisioning: unrecognized arguments: --nonsense"),
        ([], "python -m provisioning: the following arguments are required: COMMAND"),
    ],
)
def test_bad_input_is_one_line(
    arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    try:
        code: object = main(arguments)
    except SystemExit as stop:
        code = stop.code
    assert code == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(message)
