from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support import commands
from tests.support.commands import Done

ROOT = Path(__file__).parents[2]


def run(*words: str | Path, cwd: Path = ROOT) -> Done:
    return commands.run("run", *words, cwd=cwd)


@pytest.mark.parametrize(
    ("words", "line"),
    [
        ([], "python -m run: the following arguments are required: COMMAND"),
        (["down"], "python -m run: argument COMMAND: invalid choice: 'down'"),
        (["up", "--config", "none.toml"], "run: none.toml: no such file"),
        (["demo", "--days", "0"], "python -m run demo: argument --days: '0'; allowed: 1 to 365"),
        (["demo", "--rate", "nan"], "python -m run demo: argument --rate: 'nan'; allowed: above 0"),
        (
            ["demo", "--proxy-port", "x"],
            "python -m run demo: argument --proxy-port: 'x'; allowed: 1 to 65535",
        ),
    ],
)
def test_bad_input_is_one_line_and_2(words: list[str], line: str) -> None:
    done = run(*words)
    assert done.returncode == 2
    (said,) = done.stderr.splitlines()
    assert said.startswith(line)


@pytest.mark.parametrize("command", ["up", "demo"])
def test_help_tells_what_to_do_and_what_the_exit_codes_mean(command: str) -> None:
    done = run(command, "--help")
    assert done.returncode == 0
    assert "Exit codes: 0" in done.stdout


def test_a_demo_keeps_its_hands_off_other_folders(tmp_path: Path, free_port: Callable[[], int]) -> None:
    ledger = tmp_path / "usage.db"
    ledger.write_bytes(b"precious")
    names = ("--proxy-port", "--exporter-port", "--console-port")
    ports = [word for name in names for word in (name, str(free_port()))]
    done = run("demo", "--folder", str(tmp_path), *ports)
    assert done.returncode == 2
    assert done.stderr.startswith(f"run: {tmp_path} holds other files; ")
    assert ledger.read_bytes() == b"precious"
