"""A login's file is shared with Codex and with other processes: it is locked, and never left half written."""

from __future__ import annotations

import asyncio
import fcntl
import os
import subprocess
import sys
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

from proxy.accounts import auth_file as login_file
from proxy.accounts.auth_file import keep, locked, unwritable
from proxy.errors import TokenUnavailable

AsNobody = Callable[[], AbstractContextManager[None]]


@pytest.fixture
def login(tmp_path: Path) -> Path:
    path = tmp_path / "auth.json"
    path.write_text("old, and longer than what comes")
    return path


@pytest.mark.parametrize("mode", [0o600, 0o640])
def test_a_file_is_replaced_with_its_mode(login: Path, mode: int) -> None:
    login.chmod(mode)
    before = login.stat()
    with login.open() as reading:
        keep(login, "new")
        assert reading.read().startswith("old")  # who reads it meanwhile reads one or the other
    after = login.stat()
    assert login.read_text() == "new"
    assert (after.st_mode & 0o777, after.st_uid, after.st_gid) == (mode, before.st_uid, before.st_gid)
    assert after.st_ino != before.st_ino
    assert [path.name for path in login.parent.iterdir()] == ["auth.json"]


def test_the_file_behind_a_link_is_written(login: Path, tmp_path: Path) -> None:
    link = tmp_path / "link"
    link.symlink_to(login)
    keep(link, "new")
    assert link.is_symlink()
    assert login.read_text() == "new"


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may give files away")
def test_the_owner_stays_the_owner(login: Path) -> None:
    os.chown(login, 12_345, 12_346)
    keep(login, "new")
    assert (login.stat().st_uid, login.stat().st_gid) == (12_345, 12_346)


def test_what_a_killed_process_left_is_no_hindrance(login: Path) -> None:
    login.with_name(".auth.json.new").write_text("half")
    keep(login, "new")
    assert login.read_text() == "new"
    assert not login.with_name(".auth.json.new").exists()


def test_in_a_folder_of_others_the_file_is_written_in_place(theirs: Path, as_nobody: AsNobody) -> None:
    theirs.parent.chmod(0o555)
    with as_nobody():
        assert unwritable(theirs) is None
        keep(theirs, "new, and longer than before")
        assert theirs.read_text() == "new, and longer than before"
        keep(theirs, "short")
        assert theirs.read_text() == "short"


def test_a_file_that_only_its_mode_protects_is_replaced(theirs: Path, as_nobody: AsNobody) -> None:
    theirs.chmod(0o400)
    with as_nobody():
        assert unwritable(theirs) is None
        keep(theirs, "new")
        assert theirs.read_text() == "new"
    assert theirs.stat().st_mode & 0o777 == 0o400


def test_a_file_that_cannot_be_written_is_known_before(theirs: Path, as_nobody: AsNobody) -> None:
    theirs.chmod(0o444)
    theirs.parent.chmod(0o555)
    with as_nobody():
        assert unwritable(theirs) == "Permission denied"
        with pytest.raises(PermissionError):
            keep(theirs, "new")
    assert theirs.read_text() == "old"


def mounted(login: Path, options: str, code: str) -> str:
    """What a program says to which a file is mounted by itself, as containers do it; and that file's text."""
    source = login.with_name("outside")
    source.write_text("old")
    alone = ["unshare", "--mount", *([] if os.geteuid() == 0 else ["--map-root-user"]), "sh", "-c"]
    if subprocess.run([*alone, "mount -t tmpfs none /mnt"], capture_output=True).returncode != 0:
        pytest.skip("nothing may be mounted here, not even in a namespace of its own")
    script = f'mount --bind "$1" "$2" && mount -o remount,bind,{options} "$2" && exec "$3" -c "$4" "$2"'
    command = [*alone, script, "sh", str(source), str(login), sys.executable, code]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return f"{done.stdout.strip()} {source.read_text()}"


USE = "import sys; from pathlib import Path; from proxy.accounts.auth_file import keep, unwritable; "


def test_a_file_that_is_mounted_by_itself_is_written_in_place(login: Path) -> None:
    """It cannot be replaced: EBUSY."""
    said = mounted(login, "rw", USE + "p = Path(sys.argv[1]); print(unwritable(p)); keep(p, 'new')")
    assert said == "None new"
    assert not login.with_name(".auth.json.new").exists()


def test_a_file_that_is_mounted_to_be_read_alone_is_known_before(login: Path) -> None:
    code = USE + "p = Path(sys.argv[1]); print(unwritable(p))"
    code += "\ntry: keep(p, 'new')\nexcept OSError as error: print(error.errno)"
    assert mounted(login, "ro", code) == "Read-only file system\n30 old"


async def test_who_comes_second_waits(login: Path) -> None:
    done: list[str] = []

    async def use(name: str) -> None:
        async with locked("anna", login):
            done.append(name)
            await asyncio.sleep(0.1)
            done.append(name)

    await asyncio.gather(use("one"), use("two"))
    assert done in (["one", "one", "two", "two"], ["two", "two", "one", "one"])


async def test_a_process_that_never_lets_go_does_not_hold_up_this_one(
    login: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(login_file, "LOCK_SECONDS", 0.2)
    with login.with_name(".auth.json.lock").open("w") as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        with pytest.raises(TokenUnavailable, match=r"another process holds the lock") as caught:
            async with asyncio.timeout(20), locked("anna", login):
                pytest.fail("it was locked")
        assert caught.value.status == 0
    async with locked("anna", login):
        pass


async def test_where_no_lock_can_be_made_there_is_none(theirs: Path, as_nobody: AsNobody) -> None:
    theirs.parent.chmod(0o555)
    with as_nobody():
        async with locked("anna", theirs):
            assert not theirs.with_name(".auth.json.lock").exists()
