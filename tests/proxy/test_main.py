"""`python -m proxy` with bad input: one clear line, exit code 2, nothing started."""

from __future__ import annotations

import os
import re
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from proxy.__main__ import main
from settings.load import ENVIRONMENT

Refused = Callable[[str], str]


@pytest.fixture
def refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Refused:
    """Starts with a configuration that cannot work; returns the one line that tells why."""
    for name in ENVIRONMENT:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)

    def start(config: str) -> str:
        (tmp_path / "proxy.toml").write_text(config)
        assert main(["--config", "proxy.toml"]) == 2
        told = capsys.readouterr()
        assert told.out == ""
        (line,) = told.err.splitlines()
        assert line.startswith("proxy: ")
        return line

    return start


LISTEN = '[server]\nlisten_addr = "127.0.0.1:0"\n'


@pytest.mark.parametrize(
    ("config", "told"),
    [
        ("[server\n", "proxy.toml: not valid TOML"),
        (
            "[server]\nlisten = 1\n",
            "server.listen: unknown key; did you mean listen_addr\\? allowed here: .*listen_addr",
        ),
        ('[server]\nlisten_addr = "8787"\n', "server.listen_addr = '8787': allowed: HOST:PORT"),
        ("[server]\nidle_timeout_seconds = 0\n", "server.idle_timeout_seconds = 0: allowed: more than 0"),
        ("[storage]\nbuffer_size = 'many'\n", "storage.buffer_size = 'many': allowed: a whole number"),
        ("[pricing.models.gpt-x]\nprompt_per_1m = 1\n", "completion_per_1m: missing"),
        ("[pricing.models.x]\nprompt_per_1m = 0.0000025\ncompletion_per_1m = 1\n", "implausible"),
        (LISTEN + "[storage]\ndatabase_path = '.'\n", "cannot open the ledger .: unable to open"),
        (
            LISTEN + "[storage]\ndatabase_path = 'missing/usage.db'\n",
            "cannot open the ledger missing/usage.db",
        ),
        (LISTEN + "[storage]\ndatabase_path = 'proxy.toml'\n", "proxy.toml: file is not a database"),
        (LISTEN + "[storage]\ndatabase_path = 'proxy.toml/usage.db'\n", "cannot open the ledger proxy.toml/"),
        (LISTEN + "[storage]\ndatabase_url = 'mysql://root:secret@db/x'\n", "'mysql' is not supported"),
        ('[server]\nlisten_addr = "203.0.113.1:80"\n', "reachable from outside; set metrics.token"),
        ("[server]\nrequest_log_path = 'missing/log'\n", "request_log_path missing/log: No such file"),
    ],
)
def test_bad_input_is_told_in_one_line(refused: Refused, config: str, told: str) -> None:
    line = refused(config)
    assert re.search(told, line), line
    assert "secret" not in line


def test_a_taken_port(refused: Refused) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        line = refused(f'[server]\nlisten_addr = "127.0.0.1:{port}"\n')
    text = "Address already in use; an older proxy may still run"
    assert line == f"proxy: cannot listen on 127.0.0.1:{port}: {text}"


def test_an_address_of_somebody_else(refused: Refused) -> None:
    line = refused('[server]\nlisten_addr = "203.0.113.1:8787"\n[metrics]\npublic = true\n')
    assert "cannot listen on 203.0.113.1:8787" in line


def test_a_configuration_that_is_not_there(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--config", "missing.toml"]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("proxy: missing.toml: no such file")


def test_the_exit_code_of_the_program(tmp_path: Path) -> None:
    (tmp_path / "proxy.toml").write_text("[server]\nlisten = 1\n")
    root = str(Path(__file__).parents[2])
    ran = subprocess.run(
        [sys.executable, "-m", "proxy", "--config", "proxy.toml"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": root},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert (ran.returncode, ran.stdout) == (2, "")
    assert ran.stderr.count("\n") == 1


def test_help_tells_what_to_do(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["--help"])
    assert ended.value.code == 0
    text = " ".join(capsys.readouterr().out.split())
    assert "--config FILE" in text
    assert "export OPENAI_BASE_URL=http://127.0.0.1:8787/v1" in text
    assert "Exit codes: 0 stopped, 1 the ledger is currently unavailable, 2 bad input" in text
