"""The reset, with a docker on the PATH that knows one container and writes down what it is asked."""

from __future__ import annotations

import os
import pty
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

DOCKER = """\
#!/bin/sh
# No engine is at hand where these tests run: this is the part of one that the reset talks to.
echo "$@" >> {log}
case "$1" in
  ps) printf '%s\\n' {names} ;;
  exec)
    [ "$4" = "{program}" ] || {{ echo "OCI runtime exec failed: \\"$4\\": not found" >&2; exit 127; }}
    read -r password
    [ "${{#password}}" -ge 4 ] || {{ echo "INFO Config loaded from defaults.ini" >&2
        printf 'Error: \\342\\234\\227 new password is too short\\n\\n' >&2; exit 1; }}
    printf %s "$password" > {received} ;;
esac
"""


@dataclass
class Docker:
    """The folder of the program, and what came of it."""

    folder: Path

    @property
    def received(self) -> str:
        file = self.folder / "received"
        return file.read_text() if file.exists() else ""

    @property
    def asked(self) -> list[str]:
        return (self.folder / "log").read_text().splitlines()

    def environ(self) -> dict[str, str]:
        return {"PATH": f"{self.folder}:{os.environ['PATH']}", "PYTHONPATH": str(ROOT)}

    def reset(self, *options: str, password: str = "new-Pass word") -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "runbooks", "reset-grafana-password", *options],
            input=f"{password}\n",
            capture_output=True,
            text=True,
            timeout=30,
            env=self.environ(),
            check=False,
        )


@pytest.fixture
def docker(tmp_path: Path) -> Callable[..., Docker]:
    def make(program: str = "grafana", names: str = "codex-lb-grafana-1 codex-lb-prometheus-1") -> Docker:
        script = tmp_path / "docker"
        paths = {"log": tmp_path / "log", "received": tmp_path / "received"}
        script.write_text(DOCKER.format(program=program, names=names, **paths))
        script.chmod(0o755)
        return Docker(tmp_path)

    return make


@pytest.mark.parametrize("program", ["grafana", "grafana-cli"])
def test_both_spellings_are_tried(docker: Callable[..., Docker], program: str) -> None:
    running = docker(program)
    result = running.reset()
    assert (result.returncode, result.stderr) == (0, "")
    assert running.received == "new-Pass word"
    assert running.asked[1].startswith("exec -i codex-lb-grafana-1 grafana cli admin reset-admin-password")


def test_the_password_is_never_an_argument(docker: Callable[..., Docker]) -> None:
    running = docker()
    result = running.reset()
    assert "new-Pass word" not in "".join((*running.asked, result.stdout, result.stderr))


def test_a_wrong_container_is_answered_with_those_that_run(docker: Callable[..., Docker]) -> None:
    running = docker(names="codex-lb-prometheus-1 my-grafana")
    result = running.reset()
    assert result.returncode == 2
    assert result.stderr == (
        "runbooks: no container codex-lb-grafana-1 is running. Running: codex-lb-prometheus-1, my-grafana. "
        "Start Grafana, or name its container: --container NAME\n"
    )
    assert running.received == ""
    assert running.reset("--container", "my-grafana").returncode == 0


@pytest.mark.parametrize(("password", "said"), [("", "the password is empty"), ("abc", "too short")])
def test_a_password_that_will_not_do(docker: Callable[..., Docker], password: str, said: str) -> None:
    running = docker()
    result = running.reset(password=password)
    assert result.returncode == 2
    assert said in result.stderr
    assert "Config loaded" not in result.stderr and "--container" not in result.stderr
    assert running.received == ""


def test_neither_spelling(docker: Callable[..., Docker]) -> None:
    result = docker("something-else").reset()
    assert result.returncode == 2
    assert "neither grafana nor grafana-cli" in result.stderr


def test_no_docker_at_all() -> None:
    result = Docker(Path("/nowhere")).reset("--docker", "/nowhere/docker")
    assert (result.returncode, result.stderr) == (
        2,
        "runbooks: /nowhere/docker cannot be run: No such file or directory\n",
    )


@pytest.mark.parametrize(("again", "code", "received"), [("secret-1", 0, "secret-1"), ("secret-2", 2, "")])
def test_a_person_is_asked_twice_and_nothing_is_echoed(
    docker: Callable[..., Docker], again: str, code: int, received: str
) -> None:
    running = docker()
    pid, terminal = pty.fork()
    if pid == 0:  # the child talks to a terminal of its own
        os.execve(
            sys.executable, [sys.executable, "-m", "runbooks", "reset-grafana-password"], running.environ()
        )
    shown = ""
    for prompt, typed in (("New password of admin: ", "secret-1"), ("Once more: ", again)):
        while prompt not in shown:
            shown += os.read(terminal, 1024).decode()
        os.write(terminal, f"{typed}\n".encode())
    try:
        while chunk := os.read(terminal, 1024):
            shown += chunk.decode()
    except OSError:  # the terminal of a child that has ended
        pass
    _, status = os.waitpid(pid, 0)
    os.close(terminal)
    assert os.waitstatus_to_exitcode(status) == code
    assert running.received == received
    assert "secret" not in shown
