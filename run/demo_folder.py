"""The folder of a demo: everything that it writes lies in here, and is recreated at each start."""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass
from pathlib import Path

from run.errors import PlanError

HEADER = "# Written by `python -m run demo` at each start; changes in here are lost."
CONFIG = f"""\
{HEADER}
[server]
listen_addr = %(proxy)s
upstream_base_url = %(upstream)s

[exporter]
listen_addr = %(exporter)s

[console]
listen_addr = %(console)s
prometheus_url = %(prometheus)s

[storage]
database_path = %(database)s
"""


@dataclass(frozen=True, slots=True)
class DemoFolder:
    """Where the parts of a demo lie below `root`, an absolute path."""

    root: Path

    @property
    def config(self) -> Path:
        return self.root / "codex-usage.toml"

    @property
    def database(self) -> Path:
        return self.root / "usage.db"

    @property
    def history(self) -> Path:
        return self.root / "history.om"

    @property
    def tsdb(self) -> Path:
        return self.root / "tsdb"

    @property
    def build(self) -> Path:
        return self.root / "build"

    @property
    def fleet(self) -> Path:
        """Where the accounts' quota ends with the history."""
        return self.root / "fleet.json"

    @property
    def keys(self) -> Path:
        return self.root / "keys"

    @property
    def logs(self) -> Path:
        return self.root / "log"


def make_anew(
    folder: DemoFolder, *, proxy: str, exporter: str, console: str, prometheus: str, upstream: str
) -> None:
    """Empty the folder and write the configuration.

    Args:
        proxy, exporter, console: HOST:PORT to listen on.
        prometheus: the base URL of the one that scrapes them.
        upstream: the base URL of the simulated provider.
    Raises: PlanError, with nothing removed, when the folder holds anything that no demo has written.
    """
    if folder.root.exists() and not _is_ours(folder):
        raise PlanError(f"{folder.root} holds other files; name an empty folder or a new one with --folder")
    try:
        if folder.root.exists():
            shutil.rmtree(folder.root)
        folder.logs.mkdir(parents=True)
        values = {
            "proxy": proxy,
            "upstream": upstream,
            "exporter": exporter,
            "console": console,
            "prometheus": prometheus,
            "database": str(folder.database),
        }
        # A JSON string is a TOML string too, whatever characters a path has.
        text = CONFIG % {key: json.dumps(value) for key, value in values.items()}
        folder.config.write_text(text, encoding="utf-8")
    except OSError as error:
        raise PlanError(f"{folder.root} cannot be created: {error.strerror}") from error


def _is_ours(folder: DemoFolder) -> bool:
    if not folder.root.is_dir():
        return False
    if not any(folder.root.iterdir()):
        return True
    return folder.config.is_file() and folder.config.read_text(encoding="utf-8").startswith(HEADER)
