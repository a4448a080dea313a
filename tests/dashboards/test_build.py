from __future__ import annotations

import ast
import json
import subprocess
import sys
from pathlib import Path

import pytest

from dashboards.build import dashboards, text, write
from dashboards.errors import OutputError
from prometheus.config import RuleConfig

ROOT = Path(__file__).parent.parent.parent
NAMES = ("overview", "accounts", "routing", "api-keys", "tokens", "activity", "pipeline")


def test_one_file_for_each_dashboard(tmp_path: Path) -> None:
    paths = write(dashboards(RuleConfig()), tmp_path)
    assert [path.relative_to(tmp_path).as_posix() for path in paths] == [
        f"dashboards/{name}.json" for name in NAMES
    ]
    content = paths[0].read_text(encoding="utf-8")
    assert content.endswith("}\n")
    assert json.loads(content) == dashboards(RuleConfig())["overview"]


def test_keys_are_sorted() -> None:
    content = text(dashboards(RuleConfig())["overview"])
    assert content == json.dumps(json.loads(content), indent=2, sort_keys=True, ensure_ascii=False) + "\n"


def test_another_process_writes_the_same_bytes(tmp_path: Path) -> None:
    """Whatever the order in which its sets are."""
    here = write(dashboards(RuleConfig()), tmp_path / "here")
    for seed in ("1", "2"):
        command = [sys.executable, "-m", "dashboards", "build", "--out", str(tmp_path / seed)]
        subprocess.run(command, cwd=ROOT, env={"PYTHONHASHSEED": seed}, check=True, capture_output=True)
        for path in here:
            assert (tmp_path / seed / "dashboards" / path.name).read_bytes() == path.read_bytes()


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "dashboards").write_text("in the way")
    with pytest.raises(OutputError, match="dashboards: cannot be written: "):
        write(dashboards(RuleConfig()), tmp_path)


def test_grafanalib_stays_behind_four_modules() -> None:
    users = {
        path.name
        for path in (ROOT / "dashboards").rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("grafanalib")
    }
    assert users == {"frame.py", "panels.py", "parts.py", "tables.py"}
