"""The main job: proxy, exporter and page on one ledger, and a collector where a gateway is configured."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from run import ports
from run.crew import LIMITS, Limits, together
from run.program import Program
from run.terminal import say
from settings.model import Settings, split_address


async def up(settings: Settings, config: Path | None, environ: Mapping[str, str]) -> None:
    """Run all services until the proxy ends or this task is cancelled; another one that ends is started
    again.

    Raises: RunError.
    """
    ports.check({f"{table}.listen_addr": address for _, table, address in services(settings)})
    async with together(environ, limits(settings)) as crew:
        for program in programs(settings, config):
            await crew.add(program)
        say(guide(facts(settings)))
        await crew.watch()


def services(settings: Settings) -> tuple[tuple[str, str, str], ...]:
    """What runs, in the order to start: the room, its table of the file, where it listens."""
    found = (
        ("proxy", "server", settings.server.listen_addr),
        ("exporter", "exporter", settings.exporter.listen_addr),
        ("console", "console", settings.console.listen_addr),
    )
    if not settings.collector.gateways:
        return found
    return (*found, ("collector", "collector", settings.collector.listen_addr))


def limits(settings: Settings) -> Limits:
    """The proxy lets open requests finish, and then stores what it has metered: both take their time."""
    return replace(LIMITS, stop=LIMITS.stop + settings.server.shutdown_timeout_seconds)


def programs(settings: Settings, config: Path | None, logs: Path | None = None) -> tuple[Program, ...]:
    """The services, in the order to start: the proxy makes the ledger that the others use.

    Args:
        config: the file that all read; None leaves the choice to them.
        logs: the folder for their output; None leaves it on the terminal.
    """
    arguments = () if config is None else ("--config", str(config))
    return tuple(
        Program(
            name,
            (sys.executable, "-m", name, *arguments),
            ready_url=local_url(address) + "/healthz",
            log=logs and logs / f"{name}.log",
            restarted=name != "proxy",
        )
        for name, _, address in services(settings)
    )


def local_url(address: str) -> str:
    """How this machine reaches a server that listens on HOST:PORT."""
    host, port = split_address(address)
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def facts(settings: Settings) -> dict[str, str]:
    """What a person has to know once it runs: a word -> what it stands for."""
    urls = {name: local_url(address) for name, _, address in services(settings)}
    proxy, metered = urls["proxy"], [url for name, url in urls.items() if name != "console"]
    storage = settings.storage
    return {
        "page": f"{settings.console.address}/",
        "client": f"export OPENAI_BASE_URL={proxy}{settings.server.public_base_path}",
        "upstream": settings.server.upstream_base_url,
        "metrics": " and ".join(f"{url}/metrics" for url in metered),
        # A database URL may carry a password, so it is named and not shown.
        "ledger": "in storage.database_url"
        if storage.database_url
        else str(storage.database_path.absolute()),
    }


def guide(facts: Mapping[str, str]) -> str:
    """What to do now that it runs, for a person to read."""
    lines = (f"  {word:<11}{what}" for word, what in {**facts, "stop": "Ctrl-C"}.items())
    return "\n".join(["Quotascope is running.", *lines])
