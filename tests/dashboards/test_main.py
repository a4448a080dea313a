from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from dashboards.__main__ import main, moment
from dashboards.build import DASHBOARDS
from dashboards.errors import TimeError
from tests.support import commands

ROOT = Path(__file__).parent.parent.parent


def run(*arguments: str, cwd: Path, path: Path = ROOT) -> subprocess.CompletedProcess[str]:
    """The command as a person runs it."""
    return subprocess.run(
        [sys.executable, "-m", "dashboards", *arguments],
        cwd=cwd,
        env={"PATH": os.environ["PATH"], "PYTHONPATH": os.pathsep.join(map(str, (path, ROOT)))},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def test_build_writes_below_build_and_says_what_is_next(tmp_path: Path) -> None:
    result = run("build", cwd=tmp_path)
    assert (result.returncode, result.stderr) == (0, "")
    assert result.stdout.splitlines() == [
        *(f"wrote build/dashboards/{name}.json" for name in DASHBOARDS),
        "next: let Grafana read build/dashboards",
    ]
    assert (tmp_path / "build/dashboards/overview.json").is_file()


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        ([], "COMMAND"),
        (["bild"], "bild"),
        (["build", "--out", "/dev/null"], "/dev/null/dashboards"),
        (["preview", "--out", "p"], "--prometheus"),
        (["preview", "--out", "p", "--prometheus", "localhost:9090"], "localhost:9090"),
        (["preview", "--out", "p", "--prometheus", "file:///etc/passwd"], "file:///etc/passwd"),
        (["preview", "--out", "p", "--prometheus", "http://h", "--now", "noon"], "--now noon"),
        (["preview", "--out", "p", "--prometheus", "http://h", "--timezone", "Mars/Base"], "Mars/Base"),
    ],
)
def test_a_bad_argument_gets_one_line_and_exit_code_2(
    tmp_path: Path, arguments: list[str], named: str
) -> None:
    result = commands.run("dashboards", *arguments, cwd=tmp_path)
    assert result.returncode == 2
    assert named in result.stderr
    assert len(result.stderr.splitlines()) == 1
    assert not any(tmp_path.iterdir())


def test_a_prometheus_that_is_not_there_gets_one_line(
    tmp_path: Path, free_port: Callable[[], int], capsys: pytest.CaptureFixture[str]
) -> None:
    url = f"http://127.0.0.1:{free_port()}"
    assert main(["preview", "--prometheus", url, "--out", str(tmp_path / "p")]) == 2
    error = capsys.readouterr().err
    assert url in error
    assert len(error.splitlines()) == 1


def test_without_matplotlib_the_missing_package_is_named(tmp_path: Path) -> None:
    (tmp_path / "matplotlib.py").write_text(
        "raise ImportError('as if it were not installed', name='matplotlib')"
    )
    result = run("preview", "--prometheus", "http://h", "--out", "p", cwd=tmp_path, path=tmp_path)
    assert result.returncode == 2
    assert result.stderr == "dashboards: matplotlib is missing: pip install matplotlib\n"


def test_help_names_every_option_and_the_exit_codes(tmp_path: Path) -> None:
    text = run("preview", "--help", cwd=tmp_path).stdout
    for part in ("--prometheus", "--out", "--now", "--timezone", "exit codes", "examples"):
        assert part in text


def test_a_moment_without_offset_is_in_the_viewers_zone() -> None:
    noon = moment("2026-07-01T12:00", "Europe/Berlin")
    assert noon.astimezone(UTC) == datetime(2026, 7, 1, 10, tzinfo=UTC)
    assert moment("2026-07-01T12:00+00:00", "Europe/Berlin").hour == 14


def test_without_a_text_the_moment_is_now() -> None:
    assert abs(moment(None, "UTC") - datetime.now(UTC)) < timedelta(seconds=10)
    with pytest.raises(TimeError, match="--timezone"):
        moment(None, "../etc/passwd")
