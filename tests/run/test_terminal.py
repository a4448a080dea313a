from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_a_reader_who_left_stops_nothing() -> None:
    reader, writer = os.pipe()
    os.close(reader)
    source = "import sys\nfrom run.terminal import say\nsay('one')\nsay('two')\nsys.exit(3)"
    done = subprocess.run(
        [sys.executable, "-c", source], cwd=ROOT, stdout=writer, stderr=subprocess.PIPE, check=False
    )
    os.close(writer)
    assert (done.returncode, done.stderr) == (3, b"")


def test_text_is_there_at_once() -> None:
    source = "import os\nfrom run.terminal import say\nsay('now')\nos._exit(0)"
    done = subprocess.run([sys.executable, "-c", source], cwd=ROOT, capture_output=True, check=False)
    assert done.stdout == b"now\n"
