"""The real program in a real terminal: it starts, scrolls, follows the size, and leaves all as it was."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time

from tests.console.conftest import ROOT, Books
from tests.console.terminal.conftest import Tmux

MODES = "#{alternate_on} #{cursor_flag} #{mouse_any_flag} #{keypad_flag} #{pane_current_command}"
COLOUR = re.compile(r"\x1b\[(?:[\d;]*;)?(?:3[0-8]|4[0-8]|9[0-7]|10[0-7])[;m]")


def left_as_it_was(tmux: Tmux, before: str) -> None:
    """The other screen and the mouse are not in use any more, the cursor and the shell are back."""
    deadline = time.monotonic() + 30
    while (now := tmux("display-message", "-p", MODES)) != before:
        assert time.monotonic() < deadline, now
        time.sleep(0.05)


def test_the_real_program_in_tmux(books: Books, tmux: Tmux) -> None:
    books.add(150, model="gpt-5.4")
    before = tmux("display-message", "-p", MODES)
    tmux.keys(f"export CODEX_USAGE_DB_PATH={books.path}; clear; stty -g", "Enter")
    modes = tmux.until(":").split()[0]
    tmux.keys("python -m console top", "Enter")
    shown = tmux.until("12 months", "1/100", "gpt-5.4")
    assert len(shown.splitlines()) == 24
    tmux.keys("Down", "Down", "j", "k")
    tmux.until("3/100")
    tmux.keys("End")
    tmux.until("100/150")
    tmux("resize-window", "-x", "160", "-y", "50")
    tmux.until("FAILURE", "PROJECT")
    tmux("resize-window", "-x", "80", "-y", "24")
    tmux.until("100/150")
    tmux.keys("2")
    tmux.until("per", "SINCE")
    tmux.keys("q")
    left_as_it_was(tmux, before)
    tmux.keys("stty -g; echo done $?", "Enter")
    after = tmux.until("done 0")
    assert modes in after.replace("\n", "")
    assert "Quotascope" not in after  # the screen of before is back


def test_without_a_terminal_it_says_what_to_use(books: Books) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "console", "top"],
        cwd=ROOT,
        env={"PATH": os.environ["PATH"], "CODEX_USAGE_DB_PATH": str(books.path)},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "top: not a terminal; use python -m console status to print once\n"


def test_ctrl_c_and_no_colour(books: Books, tmux: Tmux) -> None:
    books.fail(3)
    before = tmux("display-message", "-p", MODES)
    tmux.keys(f"CODEX_USAGE_DB_PATH={books.path} NO_COLOR=1 python -m console top --ascii", "Enter")
    shown = tmux.until("12 months", "!429")
    assert shown.isascii()
    assert not COLOUR.search(tmux("capture-pane", "-p", "-e"))
    tmux.keys("C-c")
    left_as_it_was(tmux, before)
