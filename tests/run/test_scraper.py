from __future__ import annotations

import json
import time
import urllib.parse
import urllib.request
from collections.abc import Callable, Mapping
from pathlib import Path

from run import scraper
from run.crew import complete, together


def value_at(port: int, metric: str, time: int) -> str:
    """What a Prometheus answers for a metric at a time in Unix seconds."""
    query = urllib.parse.urlencode({"query": metric, "time": time})
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/api/v1/query?{query}", timeout=10) as response:
        (series,) = json.load(response)["data"]["result"]
    return str(series["value"][1])


def test_both_programs_are_needed(tmp_path: Path) -> None:
    (tmp_path / "prometheus").write_text("#!/bin/sh\n")
    (tmp_path / "prometheus").chmod(0o755)
    assert scraper.find(str(tmp_path)) is None
    (tmp_path / "promtool").symlink_to(tmp_path / "prometheus")
    assert scraper.find(str(tmp_path)) == scraper.Prometheus(
        str(tmp_path / "prometheus"), str(tmp_path / "promtool")
    )


async def test_a_server_keeps_what_was_backfilled(
    tmp_path: Path,
    binary: Callable[[str], str],
    free_port: Callable[[], int],
    environ: Mapping[str, str],
) -> None:
    binaries = scraper.Prometheus(binary("prometheus"), binary("promtool"))
    twenty_days_ago = int(time.time()) - 20 * 86_400
    history, config, port = tmp_path / "history.om", tmp_path / "prometheus.yml", free_port()
    # A server drops what is too old as seen from its newest block.
    history.write_text(
        f"# TYPE past gauge\npast 7 {twenty_days_ago}\npast 8 {int(time.time()) - 86_400}\n# EOF\n"
    )
    config.write_text("scrape_configs: []\n")
    await complete(scraper.backfill(binaries, history, tmp_path / "tsdb", tmp_path), environ)
    async with together(environ) as crew:
        await crew.add(scraper.server(binaries, config, tmp_path / "tsdb", port, tmp_path))
        assert value_at(port, "past", twenty_days_ago) == "7"
