"""Scripts are values: what cannot be is refused when it is written down."""

from __future__ import annotations

import pytest

from simulator.errors import ScriptError
from simulator.provider.script import Script


def test_a_script_needs_an_answer() -> None:
    with pytest.raises(ScriptError, match="at least one answer"):
        Script(())
