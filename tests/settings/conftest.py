from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from settings.load import load
from settings.model import Settings


@pytest.fixture
def written(tmp_path: Path) -> Callable[[str], Path]:
    """Writes a configuration file."""

    def write(text: str) -> Path:
        path = tmp_path / "codex-usage.toml"
        path.write_text(text, encoding="utf-8")
        return path

    return write


@pytest.fixture
def loaded(written: Callable[[str], Path]) -> Callable[[str], Settings]:
    """Loads a configuration from its text, in an empty environment."""
    return lambda text: load(written(text), {})
