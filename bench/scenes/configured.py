"""The proxy with accounts, as a program."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bench.scenes.processes import Program, free_port, python, start


def routed(
    name: str,
    folder: Path,
    origin: str,
    accounts: Mapping[str, Mapping[str, Any]],
    cpu: int,
    **routing: object,
) -> Program:
    """Start it.

    Args:
        folder: its own, for configuration and ledger.
        origin: of the provider.
        accounts: what the configuration says of each.
        routing: keys of `[routing]`.
    """
    port = free_port()
    tables: dict[str, Mapping[str, Any]] = {
        "server": {"listen_addr": f"127.0.0.1:{port}", "upstream_base_url": origin},
        "storage": {"database_path": str(folder / "usage.db")},
        "routing": {"poll_seconds": 0.0, **routing},
        **{f"accounts.{account}": described for account, described in accounts.items()},
    }
    config = folder / "proxy.toml"
    config.write_text("\n".join(_lines(tables)), encoding="utf-8")
    return start(name, python("-m", "proxy", "--config", str(config)), port, cpu=cpu, cwd=folder)


def _lines(tables: Mapping[str, Mapping[str, Any]]) -> list[str]:
    lines = []
    for table, values in tables.items():
        lines += [f"[{table}]", *(f"{key} = {json.dumps(value)}" for key, value in values.items())]
    return lines
