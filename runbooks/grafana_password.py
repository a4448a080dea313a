"""`python -m runbooks reset-grafana-password`: a new admin password for the Grafana in a container.

Grafana's own program writes it into the database in the volume; dashboards and users stay as they are. The
password goes through standard input all the way, so that no list of processes shows it.
"""

from __future__ import annotations

import argparse
import getpass
import subprocess
from collections.abc import Sequence
from typing import TextIO

from runbooks.errors import ContainerError
from settings.arguments import OneLineParser

CONTAINER = "codex-lb-grafana-1"
TIMEOUT_SECONDS = 60

RESET = ("admin", "reset-admin-password", "--password-from-stdin")
SPELLINGS = (("grafana", "cli", *RESET), ("grafana-cli", *RESET))
"""Grafana 10 and later; Grafana 9 and before."""

NO_SUCH_PROGRAM = (126, 127)
"""What `docker exec` answers where the container has no such program."""

EPILOG = """\
examples:
  python -m runbooks reset-grafana-password
  printf %s "$NEW_PASSWORD" | python -m runbooks reset-grafana-password --container my-grafana

exit codes: 0 reset; 2 no password, no such container, or Grafana refuses
"""


def add(commands: argparse._SubParsersAction[OneLineParser]) -> None:
    parser = commands.add_parser(
        "reset-grafana-password",
        help="give Grafana's admin a new password",
        description=__doc__,
        epilog=EPILOG,
    )
    parser.add_argument("--container", metavar="NAME", default=CONTAINER, help=f"default: {CONTAINER}")
    parser.add_argument("--docker", metavar="PROGRAM", default="docker", help="default: docker; or podman")


def run(arguments: argparse.Namespace, stdin: TextIO) -> int:
    """Reset the password; returns the exit code.

    Raises: ContainerError.
    """
    running = containers(arguments.docker)
    if arguments.container not in running:
        raise ContainerError(f"no container {arguments.container} is running. {_advice(running)}")
    reset(arguments.docker, arguments.container, read_password(stdin), running)
    print(f"the password of admin in {arguments.container} is reset: log in with the new one")
    return 0


def containers(docker: str) -> list[str]:
    """Names of the running containers.

    Raises: ContainerError.
    """
    done = _run([docker, "ps", "--format", "{{.Names}}"])
    if done.returncode:
        raise ContainerError(f"{docker} ps fails: {_said(done)}; is the daemon running, and may you use it?")
    return sorted(done.stdout.split())


def read_password(stdin: TextIO) -> str:
    """From a prompt, twice; or the first line of what is not a terminal.

    Raises: ContainerError where it is empty, or the two differ.
    """
    if stdin.isatty():
        try:
            password = getpass.getpass("New password of admin: ")
            again = getpass.getpass("Once more: ")
        except EOFError:
            password = again = ""
        if password != again:
            raise ContainerError("the two passwords differ; nothing was changed")
    else:
        password = stdin.readline().rstrip("\r\n")
    if not password:
        raise ContainerError("the password is empty; nothing was changed")
    return password


def reset(docker: str, container: str, password: str, running: Sequence[str]) -> None:
    """Let Grafana's own program set it, whichever way this version spells it.

    Raises: ContainerError.
    """
    for spelling in SPELLINGS:
        done = _run([docker, "exec", "-i", container, *spelling], f"{password}\n")
        if done.returncode == 0:
            return
        if done.returncode not in NO_SUCH_PROGRAM:
            advice = "" if container in running else f" {_advice(running)}"
            raise ContainerError(f"Grafana in {container} refuses: {_said(done)}.{advice}")
    raise ContainerError(f"{container} has neither grafana nor grafana-cli. {_advice(running)}")


def _advice(running: Sequence[str]) -> str:
    names = ", ".join(running) or "none"
    return f"Running: {names}. Start Grafana, or name its container: --container NAME"


def _run(command: Sequence[str], text: str = "") -> subprocess.CompletedProcess[str]:
    try:
        return subprocess.run(  # noqa: S603  (a list of arguments, no shell)
            command, input=text, capture_output=True, text=True, timeout=TIMEOUT_SECONDS, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        reason = getattr(error, "strerror", None) or error
        raise ContainerError(f"{command[0]} cannot be run: {reason}") from error


def _said(done: subprocess.CompletedProcess[str]) -> str:
    """What it says is wrong: what follows `Error:` where it says that among the lines of its log."""
    text = " ".join(f"{done.stdout} {done.stderr}".split())
    _, found, reason = text.rpartition("Error:")
    said = reason if found else " ".join((done.stderr or done.stdout).split())[-300:]
    return said.strip(" .\u2717")[:300] or f"exit code {done.returncode}"
