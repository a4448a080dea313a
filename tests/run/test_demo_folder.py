from __future__ import annotations

from pathlib import Path

import pytest

from run.demo_folder import DemoFolder, make_anew
from run.errors import PlanError
from settings.load import load


def make(root: Path) -> DemoFolder:
    folder = DemoFolder(root)
    make_anew(
        folder,
        proxy="127.0.0.1:1",
        exporter="127.0.0.1:2",
        console="127.0.0.1:4",
        prometheus="http://127.0.0.1:5",
        upstream="http://127.0.0.1:3",
    )
    return folder


@pytest.mark.parametrize("name", ["new/demo", 'it\'s "quoted"', "ünïcode \\ back"])
def test_the_configuration_says_what_was_asked_for(tmp_path: Path, name: str) -> None:
    folder = make(tmp_path / name)
    settings = load(folder.config, {})
    assert settings.server.listen_addr == "127.0.0.1:1"
    assert settings.exporter.listen_addr == "127.0.0.1:2"
    assert settings.server.upstream_base_url == "http://127.0.0.1:3"
    assert settings.storage.database_path == folder.database
    assert folder.logs.is_dir()


def test_everything_lies_below_the_folder(tmp_path: Path) -> None:
    folder = DemoFolder(tmp_path)
    parts = (folder.config, folder.database, folder.history, folder.tsdb, folder.build, folder.logs)
    assert {part.parent for part in parts} == {tmp_path}
    assert len(set(parts)) == len(parts)


def test_a_second_demo_starts_anew(tmp_path: Path) -> None:
    folder = make(tmp_path / "demo")
    folder.database.write_text("old")
    make(tmp_path / "demo")
    assert not folder.database.exists()


def test_an_empty_folder_may_be_used(tmp_path: Path) -> None:
    assert make(tmp_path).config.exists()


@pytest.mark.parametrize("name", ["usage.db", "codex-usage.toml", ".hidden"])
def test_a_folder_with_anything_else_is_left_alone(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text("[server]\n")
    with pytest.raises(PlanError, match="holds other files; name an empty folder or a new one"):
        make(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == [name]


def test_a_file_is_no_folder(tmp_path: Path) -> None:
    (tmp_path / "demo").write_text("")
    with pytest.raises(PlanError, match="demo holds other files"):
        make(tmp_path / "demo")
