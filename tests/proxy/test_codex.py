"""The real Codex CLI through the proxy: its turn is counted, with its tokens and its session."""

from __future__ import annotations

import asyncio
import os
import shutil
from pathlib import Path
from typing import Any

import pytest

from ledger.values import Usage
from simulator.script import Answer, script
from simulator.upstream import serve

INSTALLED = Path(__file__).parents[2] / ".nox/codex/node_modules/.bin"
CONFIG = """
model = "gpt-5.4"
model_provider = "quotascope"
check_for_update_on_startup = false
[analytics]
enabled = false
[model_providers.quotascope]
name = "Quotascope"
base_url = "{base_url}"
env_key = "QUOTASCOPE_TEST_KEY"
wire_api = "responses"
"""


@pytest.fixture(scope="session")
def codex() -> str:
    """The CLI, as the nox session installs it with npm, or as it is found on the PATH."""
    path = shutil.which("codex", path=os.pathsep.join([str(INSTALLED), os.environ["PATH"]]))
    if path is None:
        reason = f"codex is not installed: npm install --prefix {INSTALLED.parents[1]} @openai/codex"
        if os.environ.get("CI") == "true":
            pytest.fail(reason)
        pytest.skip(reason)
    return path


async def test_a_turn_of_codex_is_counted(start_proxy: Any, codex: str, tmp_path: Path) -> None:
    home, work = tmp_path / "home", tmp_path / "work"
    home.mkdir()
    work.mkdir()
    async with serve(script(Answer(usage=Usage(1234, 56, 1000, 20), word="brave "))) as upstream:
        proxy = await start_proxy(upstream.base_url)
        (home / "config.toml").write_text(CONFIG.format(base_url=proxy.base_url), encoding="utf-8")
        process = await asyncio.create_subprocess_exec(
            *(codex, "exec", "--skip-git-repo-check", "say something"),
            cwd=work,
            env={
                **os.environ,
                "CODEX_HOME": str(home),
                "QUOTASCOPE_TEST_KEY": "sk-codex-0123456789abcd",
                # Whatever it would look up elsewhere ends at a closed port of this host.
                "HTTP_PROXY": "http://127.0.0.1:9",
                "HTTPS_PROXY": "http://127.0.0.1:9",
                "NO_PROXY": "127.0.0.1",
            },
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        output, _ = await asyncio.wait_for(process.communicate(), 60)
        text = output.decode()
        rows = [row for row in proxy.rows() if row["request_kind"] == "normal"]
    assert process.returncode == 0, text
    assert "brave brave" in text
    (row,) = rows
    counts = ("input_tokens", "output_tokens", "cached_input_tokens", "reasoning_tokens")
    assert tuple(row[name] for name in counts) == (1234, 56, 1000, 20)
    assert (row["api"], row["status"], row["end_reason"]) == ("responses", "success", "done")
    assert f"session id: {row['session_id']}" in text
    assert row["api_key_id"] == "sk-c...abcd"
    assert row["user_agent"].startswith("codex")
