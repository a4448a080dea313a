from __future__ import annotations

import signal
import socket
import sqlite3
import subprocess
import urllib.error
import urllib.request
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import pytest

from exporter.__main__ import main

Start = Callable[..., "subprocess.Popen[str]"]
ANYWHERE = '[exporter]\nlisten_addr = "127.0.0.1:0"\n'


def address(process: subprocess.Popen[str]) -> str:
    """Where the exporter says that it listens."""
    assert process.stdout is not None
    line = process.stdout.readline()
    assert line.startswith("exporter: http://127.0.0.1:"), line
    return line.split()[-1].removesuffix("/metrics")


def get(url: str, headers: dict[str, str] | None = None) -> tuple[int, str]:
    try:
        with urllib.request.urlopen(urllib.request.Request(url, headers=headers or {}), timeout=10) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read().decode()


def ended(process: subprocess.Popen[str]) -> tuple[int, str, str]:
    """Exit code, standard output and standard error."""
    out, err = process.communicate(timeout=20)
    return process.returncode, out, err


class TestRunning:
    @pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
    def test_a_signal_ends_it_cleanly(self, start: Start, number: signal.Signals) -> None:
        process = start(ANYWHERE)
        assert get(address(process) + "/healthz") == (200, "ok\n")
        process.send_signal(number)
        assert ended(process) == (0, "", "")

    def test_it_starts_before_its_ledger_and_finds_it_later(
        self, start: Start, tmp_path: Path, usage_db: Path
    ) -> None:
        process = start(ANYWHERE + f'[storage]\ndatabase_path = "{tmp_path / "later.db"}"')
        base = address(process)
        assert get(base + "/readyz")[0] == 503
        assert 'codex_lb_exporter_collector_success{collector="spend"} 0.0' in get(base + "/metrics")[1]
        usage_db.rename(tmp_path / "later.db")
        assert get(base + "/readyz") == (200, "ready\n")
        assert 'codex_lb_proxy_account_cost_usd_7d{account_id="one"}' in get(base + "/metrics")[1]

    def test_a_locked_ledger_costs_no_health_check_its_answer(self, start: Start, usage_db: Path) -> None:
        base = address(start(ANYWHERE + f'[storage]\ndatabase_path = "{usage_db}"'))
        with closing(sqlite3.connect(usage_db, isolation_level=None)) as other, ThreadPoolExecutor() as pool:
            other.execute("PRAGMA journal_mode=DELETE")
            other.execute("BEGIN EXCLUSIVE")
            scrape = pool.submit(get, base + "/metrics")
            assert get(base + "/healthz") == (200, "ok\n")
            assert not scrape.done()
            status, text = scrape.result()
        successes = [line[-3:] for line in text.splitlines() if "collector_success{" in line]
        assert (status, successes) == (200, ["0.0"] * 4)
        assert get(base + "/readyz") == (200, "ready\n")

    def test_a_variable_goes_before_the_file(self, start: Start, usage_db: Path) -> None:
        config = ANYWHERE + '[storage]\ndatabase_path = "elsewhere.db"'
        base = address(start(config, CODEX_USAGE_DB_PATH=str(usage_db)))
        assert get(base + "/readyz") == (200, "ready\n")

    def test_a_database_url_goes_before_the_path(self, start: Start, usage_db: Path) -> None:
        base = address(start(ANYWHERE + f'[storage]\ndatabase_url = "sqlite:///{usage_db}"'))
        assert get(base + "/readyz") == (200, "ready\n")

    def test_the_token_of_the_file_is_asked_for(self, start: Start, usage_db: Path) -> None:
        config = f'[storage]\ndatabase_path = "{usage_db}"\n[metrics]\ntoken = "correct-horse"'
        base = address(start(ANYWHERE + config))
        assert get(base + "/metrics")[0] == 401
        assert get(base + "/metrics", {"Authorization": "Bearer correct-horse"})[0] == 200

    @pytest.mark.parametrize(("mode", "shown"), [("email", True), ("account_id", False)])
    def test_the_mode_of_the_file_decides_who_is_shown(
        self, start: Start, usage_db: Path, mode: str, shown: bool
    ) -> None:
        config = f'[storage]\ndatabase_path = "{usage_db}"\n[metrics]\naccount_identity_mode = "{mode}"'
        text = get(address(start(ANYWHERE + config)) + "/metrics")[1]
        assert ("@" in text) is shown

    @pytest.mark.parametrize("mode", ["email", "account_id"])
    def test_no_address_is_logged(self, start: Start, usage_db: Path, mode: str) -> None:
        with closing(sqlite3.connect(usage_db)) as store:
            store.execute("ALTER TABLE prices RENAME TO [anna@example.com]")
            store.execute("CREATE VIEW prices AS SELECT * FROM [bert@example.com]")
            store.commit()
        config = f'[storage]\ndatabase_path = "{usage_db}"\n[metrics]\naccount_identity_mode = "{mode}"'
        logged = ended(start(config, "--once"))[2]
        assert "spend failed: cannot read the ledger" in logged
        assert "@" not in logged


class TestOnce:
    def test_it_prints_one_scrape(self, start: Start, usage_db: Path) -> None:
        code, out, err = ended(start(f'[storage]\ndatabase_path = "{usage_db}"', "--once"))
        assert (code, err) == (0, "")
        assert 'codex_lb_accounts_total{status="active"} 2.0\n' in out

    def test_a_failing_collector_is_exit_code_1(self, start: Start, tmp_path: Path) -> None:
        code, out, err = ended(start("", "--once"))
        assert code == 1
        assert 'codex_lb_exporter_collector_success{collector="accounts"} 0.0\n' in out
        assert err.count("\n") == 1
        assert "accounts, windows, spend, freshness failed: " in err
        assert "cannot read the ledger usage.db: unable to open database file" in err
        assert not (tmp_path / "usage.db").exists()


class TestBadInput:
    @pytest.mark.parametrize(
        ("config", "says"),
        [
            ('[exporter]\nlisten_adr = "127.0.0.1:0"', "exporter.listen_adr: unknown key"),
            ('[exporter]\nlisten_addr = "8789"', "exporter.listen_addr = '8789': allowed: HOST:PORT"),
            ('[exporter]\nlisten_addr = "0.0.0.0:8789"', "is reachable from outside; set metrics.token"),
            ('[storage]\ndatabase_url = "mysql://host/usage"', "scheme 'mysql' is not supported"),
            ('[storage]\ndatabase_url = "postgresql://me:secret@host:x/usage"', "is not a database URL"),
            (
                "[quota.capacity]\n"
                "plus = { primary_credits = 1, secondary_credits = 2 }\n"
                "PLUS = { primary_credits = 3, secondary_credits = 4 }",
                "quota.capacity 'plus' and 'PLUS' are one plan; give its credits once",
            ),
            ('[metrics]\naccount_identity_mode = "phone"', "account_identity_mode = 'phone'"),
            ("[storage", "not valid TOML"),
        ],
    )
    def test_it_is_one_line_and_exit_code_2(
        self, tmp_path: Path, capsys: pytest.CaptureFixture[str], config: str, says: str
    ) -> None:
        file = tmp_path / "codex-usage.toml"
        file.write_text(config)
        assert main(["--config", str(file), "--once"], {}) == 2
        out, err = capsys.readouterr()
        assert out == ""
        assert err.startswith("exporter: ")
        assert says in err
        assert err.count("\n") == 1
        assert "secret" not in err

    def test_a_file_that_is_not_there_is_named(self, capsys: pytest.CaptureFixture[str]) -> None:
        assert main(["--config", "/nowhere/codex-usage.toml", "--once"], {}) == 2
        assert capsys.readouterr().err.startswith("exporter: /nowhere/codex-usage.toml: no such file")

    def test_an_unknown_argument_is_exit_code_2(self, capsys: pytest.CaptureFixture[str]) -> None:
        with pytest.raises(SystemExit) as caught:
            main(["--twice"], {})
        assert caught.value.code == 2
        assert "unrecognized arguments: --twice" in capsys.readouterr().err

    def test_a_taken_port_is_named(self, start: Start) -> None:
        with socket.create_server(("127.0.0.1", 0)) as taken:
            port = taken.getsockname()[1]
            code, out, err = ended(start(f'[exporter]\nlisten_addr = "127.0.0.1:{port}"'))
        assert (code, out) == (2, "")
        assert err == (
            f"exporter: exporter.listen_addr: cannot listen on 127.0.0.1:{port}: Address already in use\n"
        )


def test_help_says_what_to_do(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(["--help"], {})
    assert caught.value.code == 0
    out = capsys.readouterr().out
    for needed in ("--config FILE", "/readyz", "[exporter] listen_addr", "exit codes", "python -m exporter"):
        assert needed in out
