"""Commands that complain in one line, and end without a word when nobody reads them."""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from pathlib import Path

import pytest

from settings.arguments import end_with, number
from tests.support.ledgers import migrated

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("text", ["abc", "", "nan", "-1", "101", "1e999"])
def test_what_is_no_number_within_bounds_is_refused_in_plain_words(text: str) -> None:
    with pytest.raises(argparse.ArgumentTypeError, match="allowed: 0 to 100"):
        number(0, 100)(text)
    assert number(0, 100)("99.5") == 99.5


def test_what_is_wrong_with_an_option_names_no_function(capsys: pytest.CaptureFixture[str]) -> None:
    from console.terminal.status import main

    for option in ("--warn", "--crit", "--watch", "--stay"):
        with pytest.raises(SystemExit) as ended:
            main([option, "abc"], {})
        said = capsys.readouterr().err
        assert ended.value.code == 3 and f"{option}: 'abc': allowed: " in said, said


def test_a_command_whose_reader_has_enough_ends_without_a_word(tmp_path: Path) -> None:
    migrated(tmp_path / "usage.db").dispose()
    for words in (
        ("ledger", "prices", "list"),
        ("exporter", "--once"),
        ("provisioning", "build"),
        ("prometheus", "build"),
    ):
        unread, output = os.pipe()
        os.close(unread)
        done = subprocess.run(
            [sys.executable, "-m", *words],
            cwd=tmp_path,
            env={"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT)},
            stdout=output,
            stderr=subprocess.PIPE,
        )
        os.close(output)
        assert (done.returncode, done.stderr) == (141, b""), words


def test_ctrl_c_leaves_no_traceback() -> None:
    def asks() -> int:
        raise KeyboardInterrupt

    with pytest.raises(SystemExit) as ended:
        end_with(asks)
    assert ended.value.code == 130
