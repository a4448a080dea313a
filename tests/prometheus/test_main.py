from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from prometheus.__main__ import main
from tests.support import commands
from tests.support.commands import Done

ROOT = Path(__file__).parent.parent.parent


def run(*words: str | Path, cwd: Path) -> Done:
    return commands.run("prometheus", *words, cwd=cwd)


def test_build_writes_below_build_and_says_what_is_next(tmp_path: Path) -> None:
    result = run("build", cwd=tmp_path)
    assert (result.returncode, result.stderr) == (0, "")
    assert result.stdout.splitlines() == [
        "wrote build/prometheus/prometheus.yml",
        "wrote build/prometheus/rules/recording.yml",
        "wrote build/prometheus/rules/alerts.yml",
        "next: prometheus --config.file=build/prometheus/prometheus.yml",
    ]
    document = yaml.safe_load((tmp_path / "build/prometheus/prometheus.yml").read_text())
    targets = [job["static_configs"][0]["targets"] for job in document["scrape_configs"]]
    assert targets == [["127.0.0.1:8787"], ["127.0.0.1:8789"]]


def test_the_configuration_file_is_read(tmp_path: Path) -> None:
    (tmp_path / "c.toml").write_text('[metrics]\naccount_identity_mode = "account_id"\n')
    assert main(["build", "--config", str(tmp_path / "c.toml"), "--out", str(tmp_path)], {}) == 0
    assert "no personal data" in (tmp_path / "prometheus/prometheus.yml").read_text()


def test_options_reach_the_file(tmp_path: Path) -> None:
    options = ["--proxy-target", "p:1", "--exporter-target", "e:2", "--token-file", "t", "--drop-model", "m"]
    assert main(["build", "--out", str(tmp_path), *options], {}) == 0
    text = (tmp_path / "prometheus/prometheus.yml").read_text()
    for part in ("- p:1", "- e:2", "credentials_file: t", "regex: m"):
        assert part in text


def test_further_options_reach_the_file(tmp_path: Path) -> None:
    options = ["--sidecar-target", "s:3", "--discover", "hosts", "--keep-model", "n"]
    options += ["--drop-label", "http_requests_total:method", "--remote-write-url", "https://r/w"]
    options += ["--remote-write-token-file", "r-token", "--remote-write-recorded-only"]
    assert main(["build", "--out", str(tmp_path), *options], {}) == 0
    text = (tmp_path / "prometheus/prometheus.yml").read_text()
    for part in ("- s:3", "hosts/proxy*.yml", "regex: '|n'", "target_label: method", "url: https://r/w"):
        assert part in text
    assert "credentials_file: r-token" in text
    assert "regex: .+:.+|up" in text


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        ([], "COMMAND"),
        (["bild"], "bild"),
        (["build", "--proxy-target", "nowhere"], "--proxy-target nowhere"),
        (["build", "--config", "missing.toml"], "missing.toml"),
        (["build", "--no-such-option"], "--no-such-option"),
        (["build", "--sidecar-target", "s"], "--sidecar-target s"),
        (["build", "--drop-label", "up:x"], "--drop-label up:x"),
        (["build", "--remote-write-url", "r"], "remote_write r"),
        (["build", "--out", "/dev/null"], "/dev/null/prometheus"),
    ],
)
def test_a_bad_argument_gets_one_line_and_exit_code_2(
    tmp_path: Path, arguments: list[str], named: str
) -> None:
    result = run(*arguments, cwd=tmp_path)
    assert result.returncode == 2
    assert named in result.stderr
    assert len(result.stderr.splitlines()) == 1
    assert not (tmp_path / "build").exists()


def test_help_names_every_option_and_the_exit_codes(tmp_path: Path) -> None:
    text = run("build", "--help", cwd=tmp_path).stdout
    for part in ("--out", "--config", "--proxy-target", "--exporter-target", "--token-file", "exit codes"):
        assert part in text
