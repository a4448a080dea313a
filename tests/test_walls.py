"""Wall 1: who may import whom, read off the syntax tree of every module."""

from __future__ import annotations

import ast
import graphlib
import sys
from collections.abc import Set
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent

ROOMS: dict[str, set[str]] = {
    "metrics": set(),
    "ledger": set(),
    "settings": set(),
    "serving": {"settings"},
    "proxy": {"ledger", "settings", "metrics", "serving"},
    "exporter": {"ledger", "settings", "metrics", "serving"},
    "collector": {"ledger", "settings", "metrics", "serving"},
    "console": {"ledger", "settings", "serving"},
    "prometheus": {"metrics", "settings"},
    "dashboards": {"prometheus", "metrics", "settings"},
    "provisioning": {"prometheus", "settings"},
    "runbooks": {"prometheus", "settings"},
    "simulator": {"ledger", "settings", "metrics"},
    "run": {"settings"},
}
"""What each room may import of this repository: a room with all its modules, or one module."""

ORDER: dict[str, tuple[str, ...]] = {
    "proxy": ("relay", "websocket", "accounts", "routing", "observers", "metering", "http"),
    "ledger": ("cli", "upkeep", "reader", "gateways", "accounts", "requests", "pricing", "quota"),
    "ledger/requests": ("totals", "days", "sums"),
    "simulator": ("provider", "history"),
    "collector": ("importing", "transport", "decoding"),
    "dashboards": ("delivery", "preview", "pages", "panels", "kit", "queries"),
}
"""The folders inside the big rooms, and inside big folders: each may import those after it."""

UPWARD: set[tuple[str, str]] = {
    ("proxy/routing/attempts.py", "relay"),  # who asks is known by its key
    ("proxy/routing/configured.py", "relay"),
    ("proxy/websocket/gate.py", "relay"),  # a turn is admitted as a request is
    ("proxy/routing/candidate.py", "accounts"),
    ("proxy/routing/router.py", "accounts"),
}
"""Imports against that order that are still there: none may be added."""

PROGRAMS: dict[str, set[str]] = {"ledger/__main__.py": {"settings"}}
"""What single modules may import besides: a command reads the configuration, the foundation itself must
not know that there is one."""

LIBRARIES: dict[str, set[str]] = {
    "metrics": set(),
    "ledger": {"sqlalchemy", "alembic", "genai_prices", "msgspec", "numpy", "pyarrow"},
    "settings": {"pydantic"},
    "serving": {"aiohttp"},
    "prometheus": {"promql_parser", "yaml", "jinja2", "aiohttp", "prometheus_client"},
    "provisioning": set(),
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


@cache
def parsed(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


@cache
def imports(path: Path) -> set[str]:
    """Every module that a file imports, `from a import b` as both `a` and `a.b`."""
    found: set[str] = set()
    for node in ast.walk(parsed(path)):
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


@pytest.mark.parametrize("room", sorted(ROOMS))
def test_a_room_imports_only_what_it_may(room: str) -> None:
    found = [
        f"{path.relative_to(ROOT)}: {complaint}"
        for path in sorted((ROOT / room).rglob("*.py"))
        for complaint in complaints(
            room, imports(path), PROGRAMS.get(path.relative_to(ROOT).as_posix(), frozenset())
        )
    ]
    assert found == []


@pytest.mark.parametrize("room", sorted(ORDER))
def test_a_folder_imports_only_folders_below_it(room: str) -> None:
    order = ORDER[room]
    package = room.replace("/", ".") + "."
    upward = {
        (path.relative_to(ROOT).as_posix(), other)
        for folder in order
        for path in (ROOT / room / folder).rglob("*.py")
        for name in imports(path)
        if name.startswith(package)
        for other in name.removeprefix(package).split(".")[:1]
        if other in order and order.index(other) < order.index(folder)
    }
    assert upward == {entry for entry in UPWARD if entry[0].startswith(f"{room}/")}


def test_no_module_is_imported_while_it_is_imported() -> None:
    """Imports at the top of modules run in no circle; those within functions run later."""
    paths = {
        path.relative_to(ROOT).with_suffix("").as_posix().replace("/", "."): path
        for room in ROOMS
        for path in (ROOT / room).rglob("*.py")
    }
    circle = graphlib.TopologicalSorter(
        {
            name: {f"{module}.{one.name}" for module, one in at_the_top(path)} & paths.keys()
            | {module for module, _ in at_the_top(path)} & paths.keys()
            for name, path in paths.items()
        }
    )
    circle.prepare()


def at_the_top(path: Path) -> list[tuple[str, ast.alias]]:
    """What a module takes from others as it is imported, with the name of the other."""
    body = parsed(path).body
    return [
        (node.module or "", alias)
        for node in body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    ]


@pytest.mark.parametrize(
    ("room", "name"),
    [
        ("ledger", "proxy.server"),
        ("ledger", "aiohttp"),
        ("ledger", "settings.load"),
        ("metrics", "settings.model"),
        ("proxy", "exporter.app"),
        ("exporter", "proxy.server"),
        ("collector", "proxy.metering.usage"),
        ("prometheus", "proxy.server"),
        ("prometheus", "grafanalib.core"),
        ("dashboards", "ledger.requests.queries"),
        ("console", "metrics.proxy"),
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
