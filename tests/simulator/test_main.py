"""The commands as a person runs them."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from urllib.request import Request, urlopen

import pytest
from sqlalchemy import func, select

from ledger.pricing.table import price_book
from ledger.requests.queries import newest_request
from ledger.schema import accounts, request_logs, usage_history
from ledger.store import reader, sqlite_url
from simulator.__main__ import main

ROOT = Path(__file__).parents[2]


@contextmanager
def running(*arguments: str) -> Iterator[subprocess.Popen[str]]:
    """A command in a process of its own; it is killed where the block ends before it does."""
    command = [sys.executable, "-m", "simulator", *arguments]
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    with process:
        try:
            yield process
        finally:
            process.kill()


def origin(process: subprocess.Popen[str]) -> str:
    """Where a started provider listens: the address in the line that it prints."""
    assert process.stdout is not None
    return process.stdout.readline().split(";")[0].split()[-1]


def wait_until_it_handles(process: subprocess.Popen[str], number: signal.Signals) -> None:
    """Until then a signal ends it as it ends any program."""
    deadline, status = time.monotonic() + 30, Path("/proc", str(process.pid), "status")
    caught = 0
    while not caught >> (number - 1) & 1:
        assert time.monotonic() < deadline, "it never handles the signal"
        time.sleep(0.02)
        (line,) = [line for line in status.read_text().splitlines() if line.startswith("SigCgt:")]
        caught = int(line.split()[1], 16)


@pytest.mark.parametrize("extra", [["--speed", "1000"], ["--fixed"]])
@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM])
def test_upstream_answers_until_it_is_stopped(extra: list[str], how: signal.Signals) -> None:
    with running("upstream", "--listen", "127.0.0.1:0", *extra) as process:
        body = json.dumps({"model": "gpt-5.5", "messages": []}).encode()
        url = origin(process) + "/v1/chat/completions"
        with urlopen(Request(url, body, {"Content-Type": "application/json"}), timeout=10) as got:
            assert json.load(got)["usage"]["prompt_tokens"] > 0
        process.send_signal(how)
        _, errors = process.communicate(timeout=10)
    assert (process.returncode, errors) == (0, "")


def test_traffic_asks_an_upstream_and_tells_the_outcome() -> None:
    with running("upstream", "--listen", "127.0.0.1:0", "--fixed") as provider:
        asked = ["traffic", "--base-url", origin(provider) + "/v1", "--rate", "50", "--seconds", "1"]
        with running(*asked) as callers:
            told, errors = callers.communicate(timeout=20)
    assert (callers.returncode, errors) == (0, "")
    assert "answered, 0 refused" in told
    assert int(told.split()[0]) > 20


def test_traffic_ends_cleanly_when_interrupted() -> None:
    with (
        running("upstream", "--listen", "127.0.0.1:0", "--fixed") as provider,
        running("traffic", "--base-url", origin(provider) + "/v1", "--rate", "50") as callers,
    ):
        wait_until_it_handles(callers, signal.SIGTERM)
        with pytest.raises(subprocess.TimeoutExpired):
            callers.wait(timeout=0.5)
        callers.send_signal(signal.SIGTERM)
        told, errors = callers.communicate(timeout=20)
    assert (callers.returncode, errors) == (0, "")
    assert " 0 failed" in told


def test_traffic_says_when_nobody_answers(
    free_port: Callable[[], int], capsys: pytest.CaptureFixture[str]
) -> None:
    url = f"http://127.0.0.1:{free_port()}/v1"
    assert main(["traffic", "--base-url", url, "--rate", "50", "--seconds", "0.3"]) == 1
    assert f"nothing answers at {url}: Cannot connect" in capsys.readouterr().err


@pytest.mark.slow
def test_history_fills_a_ledger_and_a_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    database, samples = tmp_path / "usage.db", tmp_path / "samples.txt"
    asked = ["history", "--database", str(database), "--openmetrics", str(samples), "--days", "2"]
    assert (
        main([*asked, "--until", "2026-09-02T18:00", "--requests-per-day", "300", "--interval", "600"]) == 0
    )
    told = capsys.readouterr().out
    assert "from 2026-09-01 00:00 to 2026-09-02 18:00 UTC" in told
    engine = reader(sqlite_url(database))
    with engine.connect() as connection:
        stored = connection.execute(select(func.count()).select_from(request_logs)).scalar()
        assert told.startswith(f"{stored} requests")
        assert connection.execute(select(func.count()).select_from(usage_history)).scalar()
        assert connection.execute(select(func.count()).select_from(accounts)).scalar() == 6
        newest = newest_request(connection)
        assert newest is not None
        assert datetime(2026, 9, 2, 12, tzinfo=UTC) < newest < datetime(2026, 9, 2, 18, tzinfo=UTC)
        assert price_book(connection).find("gpt-5.5", newest) is not None
    engine.dispose()
    text = samples.read_text()
    assert text.endswith("# EOF\n")
    for family, job, port in (
        ("codex_lb_lb_select_total", "proxy", 8787),
        ("codex_lb_secondary_used_percent", "exporter", 8789),
        ("up", "exporter", 8789),
    ):
        assert f'\n{family}{{instance="127.0.0.1:{port}",job="quotascope-{job}"' in text
    assert text.count("# EOF") == 1
    assert text.count("\ncodex_lb_request_log_buffer_dropped_total{") == 1 + 42 * 6


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "the following arguments are required: COMMAND"),
        (["nothing"], "invalid choice: 'nothing'"),
        (["upstream", "--listen", "9999"], "'9999' is not an address; allowed: HOST:PORT"),
        (["upstream", "--listen", "127.0.0.1:99999"], "is not an address"),
        (["upstream", "--speed", "0"], "'0' is not a number above 0"),
        (["upstream", "--speed", "nan"], "'nan' is not a number above 0"),
        (["upstream", "--events-per-write", "-3"], "'-3' is not a whole number above 0"),
        (["traffic", "--base-url", "localhost:8787"], "is not a URL; allowed: one like http://"),
        (["traffic", "--base-url", "http://["], "is not a URL; allowed: one like http://"),
        (["traffic", "--rate", "often"], "'often' is not a number above 0"),
        (["history", "--days", "1.5"], "'1.5' is not a whole number above 0"),
        (["history", "--until", "yesterday"], "'yesterday' is not a time"),
    ],
)
def test_bad_input_is_one_line(
    arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    told = capsys.readouterr().err
    assert ended.value.code == 2
    assert message in told
    assert told.count("\n") == 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["history"], "say where to write"),
        (
            ["history", "--openmetrics", "/nowhere/at/all", "--days", "1"],
            "cannot write /nowhere/at/all: No such",
        ),
        (["history", "--database", "/nowhere/at/all.db"], "cannot open the ledger /nowhere/at/all.db"),
        (["history", "--database", "mysql://x/y"], "scheme 'mysql' is not supported"),
        (["history", "--database", "x.db", "--zone", "Mars"], "time zone 'Mars' is not known"),
        (["history", "--database", "x.db", "--days", "99999999"], "a history of 99999999 days"),
        (["history", "--database", "x.db", "--requests-per-day", "1e12"], "requests_per_day = 1e+12"),
        (["traffic", "--rhythm", "Mars"], "time zone 'Mars' is not known"),
        (["traffic", "--rate", "1e9"], "at most 10000 requests/s"),
    ],
)
@pytest.mark.slow
def test_what_goes_wrong_is_one_line(
    arguments: list[str],
    message: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(arguments) == 2
    told = capsys.readouterr().err
    assert message in told
    assert told.count("\n") == 1


def test_a_taken_port_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    with running("upstream", "--listen", "127.0.0.1:0", "--fixed") as process:
        where = origin(process).removeprefix("http://")
        assert main(["upstream", "--listen", where]) == 2
    assert f"cannot listen on {where}: " in capsys.readouterr().err


@pytest.mark.parametrize("command", [[], ["upstream"], ["traffic"], ["history"]])
def test_help_is_there(command: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main([*command, "--help"])
    assert ended.value.code == 0
    assert "usage: python -m simulator" in capsys.readouterr().out
