"""The image without an engine: what the Dockerfile copies is enough to run what compose runs."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from settings.load import DEFAULT_FILE, load

ROOT = Path(__file__).parents[2]
DOCKERFILE = (ROOT / "compose" / "Dockerfile").read_text(encoding="utf-8")


def copied() -> list[tuple[str, str]]:
    """Source and destination of every COPY."""
    words = [shlex.split(line)[1:] for line in DOCKERFILE.splitlines() if line.startswith("COPY ")]
    return [(source, destination) for source, destination in words]


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder /app of the image."""
    app = tmp_path_factory.mktemp("image") / "app"
    app.mkdir()
    for source, destination in copied():
        target = app / destination
        if (ROOT / source).is_dir():
            shutil.copytree(ROOT / source, target, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / source, target / Path(source).name if destination == "./" else target)
    return app


@pytest.fixture(scope="module")
def environ(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, str]:
    """An environment in which `python` is ours, and nothing points back to the checkout."""
    folder = tmp_path_factory.mktemp("bin")
    python = folder / "python"
    python.write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} "$@"\n')
    python.chmod(0o755)
    return {"PATH": os.pathsep.join([str(folder), "/usr/bin", "/bin"])}


@pytest.fixture(scope="module")
def built(
    image: Path,
    environ: Mapping[str, str],
    services: dict[str, Any],
    tmp_path_factory: pytest.TempPathFactory,
) -> Path:
    """The volume `build`, written by the builder's own command."""
    out = tmp_path_factory.mktemp("volume") / "build"
    command = services["builder"]["command"]
    assert command[1:] == [
        "/app/compose/build.sh",
        "/build",
        "/etc/quotascope/codex-usage.toml",
    ]
    script = image / Path(command[1]).relative_to("/app")
    done = subprocess.run(
        [command[0], str(script), str(out), str(ROOT / "compose/codex-usage.toml")],
        cwd=image,
        env=dict(environ),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return out


def test_the_context_holds_all_that_is_copied() -> None:
    ignore = (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()
    assert "*" in ignore, "everything stays outside but what is named"
    assert {line[1:] for line in ignore if line.startswith("!")} == {source for source, _ in copied()}


def test_the_image_runs_as_nobody_in_particular() -> None:
    users = [line for line in DOCKERFILE.splitlines() if line.startswith("USER ")]
    assert users == ["USER quotascope"]
    assert DOCKERFILE.rstrip().endswith(users[0]), "nothing follows that would run as root"


def test_the_dependencies_are_those_of_the_project() -> None:
    (line,) = [line for line in DOCKERFILE.splitlines() if line.startswith("RUN python -c ")]
    command = shlex.split(line.removeprefix("RUN ").partition(" > ")[0])
    done = subprocess.run(
        [sys.executable, *command[1:]], cwd=ROOT, capture_output=True, text=True, check=True
    )
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert done.stdout.splitlines() == project["dependencies"]


def test_commands_in_a_container_read_what_the_services_read(
    services: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (line,) = [line for line in DOCKERFILE.splitlines() if line.startswith("RUN ln -s ")]
    source, link = shlex.split(line)[3:5]
    assert (source, Path(link)) == (services["proxy"]["command"][-1], DEFAULT_FILE)
    assert "WORKDIR /app" in DOCKERFILE  # where the link lies, and commands run
    (tmp_path / "mounted.toml").write_text("[console]\nsession_hours = 3\n")
    (tmp_path / link).symlink_to(tmp_path / "mounted.toml")
    monkeypatch.chdir(tmp_path)
    assert load(None, {}).console.session_hours == 3


@pytest.mark.parametrize("name", ["proxy", "exporter"])
def test_the_services_start_from_what_is_copied(
    image: Path, environ: Mapping[str, str], services: dict[str, Any], name: str
) -> None:
    python, *arguments = services[name]["command"]
    assert (python, arguments[:2]) == ("python", ["-m", name])
    done = subprocess.run(
        [str(python), "-m", name, "--help"],
        cwd=image,
        env=dict(environ),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "--config" in done.stdout


def test_prometheus_finds_its_configuration(
    built: Path, services: dict[str, Any], binary: Callable[[str], str]
) -> None:
    (option,) = [word for word in services["prometheus"]["command"] if word.startswith("--config.file=")]
    path = built / Path(option.partition("=")[2]).relative_to("/build")
    # The image's Prometheus 3 knows a key that Debian's 2 does not.
    known = path.with_name("known.yml")
    known.write_text("\n".join(line for line in path.read_text().splitlines() if "_to_nhcb:" not in line))
    subprocess.run([binary("promtool"), "check", "config", str(known)], check=True, capture_output=True)
    known.unlink()
    jobs = yaml.safe_load(path.read_text())["scrape_configs"]
    targets = {target for job in jobs for entry in job["static_configs"] for target in entry["targets"]}
    assert targets == {"proxy:8787", "exporter:8789"}


def test_grafana_finds_its_provisioning(built: Path, services: dict[str, Any]) -> None:
    folder = services["grafana"]["environment"]["GF_PATHS_PROVISIONING"]
    provisioning = built / Path(folder).relative_to("/build")
    (datasource,) = _only(provisioning / "datasources")["datasources"]
    assert datasource["url"] == "http://prometheus:9090"
    assert services["prometheus"]["image"].endswith(":v" + datasource["jsonData"]["prometheusVersion"])
    (provider,) = _only(provisioning / "dashboards")["providers"]
    dashboards = provider["options"]["path"]
    # The test's volume lies elsewhere; in the container its path is /build.
    assert dashboards == str(built / "dashboards")
    assert list(Path(dashboards).glob("*.json"))


def _only(folder: Path) -> Any:
    (path,) = folder.glob("*.yml")
    return yaml.safe_load(path.read_text(encoding="utf-8"))
