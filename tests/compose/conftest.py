from __future__ import annotations

import os
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

COMPOSE = Path(__file__).parents[2] / "compose"
FILES = ("docker-compose.yml", "docker-compose.observability.yml")


@pytest.fixture(scope="session")
def compose_config(binary: Callable[[str], str]) -> Callable[..., dict[str, Any]]:
    """Runs the real `docker-compose config` and returns the document that it makes of the files."""

    def config(*files: str, cwd: Path = COMPOSE) -> dict[str, Any]:
        arguments = [word for file in files for word in ("-f", file)]
        environ = {k: v for k, v in os.environ.items() if not k.startswith("COMPOSE_")}
        done = subprocess.run(
            [binary("docker-compose"), *arguments, "config"],
            cwd=cwd,
            env=environ,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        document: dict[str, Any] = yaml.safe_load(done.stdout)
        return document

    return config


@pytest.fixture(scope="session")
def services(compose_config: Callable[..., dict[str, Any]]) -> dict[str, Any]:
    """All services of both files."""
    found: dict[str, Any] = compose_config(*FILES)["services"]
    return found
