"""`dev`, the noxfile and what CI calls: they agree with each other, and complain in one line."""

from __future__ import annotations

import ast
import os
import shutil
import subprocess
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parent.parent
DEV = (ROOT / "dev").read_text(encoding="utf-8")
NOXFILE = ast.parse((ROOT / "noxfile.py").read_text(encoding="utf-8"))


def assigned(tree: ast.Module, name: str) -> Any:
    """The literal that a module assigns to a name."""
    (value,) = [
        node.value
        for node in tree.body
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == name
    ]
    return ast.literal_eval(value)


def programs_asked_for() -> Iterator[tuple[str, Path]]:
    """Every program that a test gets by the fixture `binary`."""
    for path in (ROOT / "tests").rglob("*.py"):
        text = path.read_text(encoding="utf-8")
        for node in ast.walk(ast.parse(text)) if "binary(" in text else ():
            if isinstance(node, ast.Call) and ast.unparse(node.func) == "binary":
                for argument in node.args:
                    if isinstance(argument, ast.Constant):
                        yield str(argument.value), path


def test_dev_and_the_types_session_have_the_same_nox() -> None:
    (pin,) = [line.partition("=")[2] for line in DEV.splitlines() if line.startswith("nox=")]
    groups = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["dependency-groups"]
    assert f"nox=={pin}" in groups["types"]


def test_the_tests_session_installs_every_program_that_tests_ask_for() -> None:
    session = assigned(NOXFILE, "PROGRAMS")
    missing = {(name, path.name) for name, path in programs_asked_for() if name not in session}
    assert missing == set()


def test_the_tests_session_measures_whatever_measures() -> None:
    mark = "mark." + "benchmark"
    files = [path for path in (ROOT / "tests").rglob("*.py") if mark in path.read_text(encoding="utf-8")]
    assert files == [ROOT / assigned(NOXFILE, "BENCHMARKS")]


def test_programs_come_from_the_packages_that_skipped_tests_name() -> None:
    session = assigned(NOXFILE, "PROGRAMS")
    named = assigned(ast.parse((ROOT / "tests/conftest.py").read_text(encoding="utf-8")), "PACKAGES")
    assert {name: session[name] for name in session.keys() & named} == {
        name: named[name] for name in session.keys() & named
    }


@pytest.mark.parametrize("path", ["dev", ".ci/run", ".ci/packages", "compose/build.sh"])
def test_scripts_are_well_formed(path: str) -> None:
    shell = "bash" if path == ".ci/run" else "sh"
    subprocess.run([shell, "-n", str(ROOT / path)], check=True)
    assert os.access(ROOT / path, os.X_OK) or path.endswith(".sh")


def with_path(tmp_path: Path, *programs: str) -> dict[str, str]:
    """An environment in which only some programs are found."""
    folder = tmp_path / "bin"
    folder.mkdir()
    for name in programs:
        found = shutil.which(name)
        assert found is not None
        (folder / name).symlink_to(found)
    return {"PATH": str(folder)}


def test_dev_says_which_python_it_needs(tmp_path: Path) -> None:
    home = tmp_path / "with spaces"
    home.mkdir()
    shutil.copy(ROOT / "dev", home)
    environ = with_path(tmp_path, "sh", "dirname")
    old = Path(environ["PATH"], "python3")
    old.write_text("#!/bin/sh\nexit 1\n")  # so answers a Python 3.9 that is asked for 3.11
    old.chmod(0o755)
    done = subprocess.run(
        [str(home / "dev"), "--list"], env=environ, capture_output=True, text=True, check=False
    )
    assert done.returncode != 0
    (line,) = done.stderr.splitlines()
    assert line.startswith("please install Python 3.11 or newer")
    assert not (home / ".venv").exists()


def test_without_apt_the_packages_are_named(tmp_path: Path) -> None:
    done = subprocess.run(
        [str(ROOT / ".ci/packages"), "prometheus", "postgresql"],
        env=with_path(tmp_path, "sh"),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert done.stderr == "please install what corresponds to Debian's packages: prometheus postgresql\n"


def test_without_rights_the_command_is_named(tmp_path: Path) -> None:
    environ = with_path(tmp_path, "sh")
    for name, body in {"apt-get": "exit 9", "id": "echo 1000", "sudo": "exit 1"}.items():
        program = Path(environ["PATH"], name)
        program.write_text(f"#!/bin/sh\n{body}\n")
        program.chmod(0o755)
    done = subprocess.run(
        [str(ROOT / ".ci/packages"), "prometheus"], env=environ, capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    assert done.stderr == "please install: sudo apt-get install --no-install-recommends prometheus\n"


def test_the_workflow_runs_what_everybody_can_run() -> None:
    workflow = yaml.safe_load((ROOT / ".github/workflows/ci.yml").read_text(encoding="utf-8"))
    (job,) = workflow["jobs"].values()
    assert [step["run"] for step in job["steps"] if "run" in step] == [".ci/run"]
    # YAML reads the key `on` as true.
    assert set(workflow[True]) == {"push", "pull_request"}


def test_ci_runs_the_sessions_that_nox_alone_runs() -> None:
    assert "exec ./dev -s lint types tests" in (ROOT / ".ci/run").read_text(encoding="utf-8")
    assert assigned(NOXFILE, "nox.options.sessions") == ["lint", "types", "tests"]
