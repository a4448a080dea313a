"""Wall 1: who may import whom, read off the syntax tree of every module."""

from __future__ import annotations

import ast
import sys
from collections.abc import Set
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent

ROOMS: dict[str, set[str]] = {
    "ledger": set(),
    "settings": set(),
    "proxy": {"ledger", "settings"},
    "exporter": {"ledger", "settings"},
    "console": {"ledger", "settings"},
    "prometheus": {"proxy.metrics", "exporter.metrics", "ledger.families", "settings"},
    "dashboards": {"prometheus", "proxy.metrics", "exporter.metrics", "ledger.families", "settings"},
    "provisioning": {"prometheus", "settings"},
    "runbooks": {"prometheus", "settings"},
    "simulator": {"ledger", "settings", "proxy.metrics", "exporter.metrics", "prometheus"},
    "run": {"settings"},
}
"""What each room may import of this repository: a room with all its modules, or one module."""

PROGRAMS: dict[str, set[str]] = {"ledger/__main__.py": {"settings"}}
"""What single modules may import besides: a command reads the configuration, the foundation itself must
not know that there is one."""

LIBRARIES: dict[str, set[str]] = {
    "ledger": {"sqlalchemy", "alembic"},
    "settings": {"pydantic"},
    "prometheus": {"promql_parser", "yaml", "jinja2", "aiohttp", "prometheus_client"},
    "provisioning": {"jinja2"},
    "run": {"aiohttp"},
}
"""Third-party libraries of the rooms whose list is closed."""

FORBIDDEN: dict[str, set[str]] = {
    "proxy": {"grafanalib", "matplotlib"},
    "exporter": {"grafanalib", "matplotlib"},
    "console": {"grafanalib", "matplotlib"},
    "dashboards": {"sqlalchemy"},
    "runbooks": {"sqlalchemy", "grafanalib"},
}


def imports(path: Path) -> set[str]:
    """Every module that a file imports, `from a import b` as both `a` and `a.b`."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import; name the room"
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
    return found


def complaints(room: str, names: set[str], besides: Set[str] = frozenset()) -> list[str]:
    """Which of a module's imports its room does not allow."""
    allowed = ROOMS[room] | {room} | besides
    bad = []
    for name in sorted(names):
        top = name.split(".")[0]
        if top in ROOMS or top in ("tests", "bench"):
            if not any(name == a or name.startswith(a + ".") for a in allowed):
                bad.append(f"{room} may not import {name}")
        elif top not in sys.stdlib_module_names:
            if room in LIBRARIES and top not in LIBRARIES[room]:
                bad.append(f"{room} may use only {sorted(LIBRARIES[room])}, not {top}")
            if top in FORBIDDEN.get(room, ()):
                bad.append(f"{room} may not use {top}")
    return bad


def modules() -> list[Path]:
    return sorted(p for room in ROOMS for p in (ROOT / room).rglob("*.py"))


@pytest.mark.parametrize("path", modules(), ids=lambda p: str(p.relative_to(ROOT)))
def test_a_module_imports_only_what_its_room_may(path: Path) -> None:
    place = path.relative_to(ROOT)
    assert complaints(place.parts[0], imports(path), PROGRAMS.get(place.as_posix(), set())) == []


@pytest.mark.parametrize(
    ("room", "name"),
    [
        ("ledger", "proxy.app"),
        ("ledger", "aiohttp"),
        ("ledger", "settings.load"),
        ("proxy", "exporter.metrics"),
        ("exporter", "proxy.metrics"),
        ("prometheus", "proxy.app"),
        ("prometheus", "grafanalib.core"),
        ("dashboards", "ledger.queries"),
        ("console", "proxy.metrics"),
    ],
)
def test_the_wall_would_notice(room: str, name: str) -> None:
    assert complaints(room, {name})


def test_every_folder_with_python_is_a_room() -> None:
    folders = {p.parent.relative_to(ROOT).parts[0] for p in ROOT.glob("*/**/*.py")}
    assert {f for f in folders if not f.startswith(".") and f != "build"} <= {
        *ROOMS,
        "tests",
        "bench",
        "docs",
    }
