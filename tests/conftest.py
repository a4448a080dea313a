"""What every room's tests share: the real programs they need, and free ports."""

from __future__ import annotations

import os
import shutil
import socket
from collections.abc import Callable
from pathlib import Path

import pytest

PACKAGES = {
    "prometheus": "prometheus",
    "promtool": "prometheus",
    "docker-compose": "docker-compose",
    "chromium": "chromium",
    "initdb": "postgresql",
    "postgres": "postgresql",
}
"""Debian's package for each program that a test may ask for."""


@pytest.fixture(scope="session")
def binary() -> Callable[[str], str]:
    """Finds a program; without it the test is skipped, and with CI=true it fails."""

    def find(name: str) -> str:
        extra = [str(p) for p in sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)]
        path = shutil.which(name, path=os.pathsep.join([os.environ.get("PATH", ""), *extra]))
        if path is None:
            reason = f"{name} is not installed: apt-get install {PACKAGES[name]}"
            if os.environ.get("CI") == "true":
                pytest.fail(reason)
            pytest.skip(reason)
        return path

    return find


@pytest.fixture
def free_port() -> Callable[[], int]:
    """A loopback port that was free a moment ago."""

    def find() -> int:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            return int(probe.getsockname()[1])

    return find
