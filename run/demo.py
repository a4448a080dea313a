"""The main job against a simulated provider: history in the ledger, live traffic, and a Prometheus."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from time import monotonic

from run import ports, scraper
from run.crew import complete, together
from run.demo_folder import DemoFolder, make_anew
from run.program import Program
from run.terminal import say
from run.up import facts, guide, limits, local_url, programs
from settings.load import ENVIRONMENT, load
from settings.model import Settings

SIMULATOR_PORT = 9999
PROMETHEUS_PORT = 9090

MAX_HISTORY_PER_DAY = 10_000
"""Requests; with more, one would wait too long for the first picture."""

ZONE = "Europe/Berlin"
"""Whose working hours history and live traffic follow."""

PURPOSES = {
    "history": "generating requests",
    "rules": "writing rules and alerts",
    "dashboards": "writing dashboards",
    "promtool": "loading the history into Prometheus",
    "backfill": "computing recording rules over the history",
}

HISTORY_INTERVAL_SECONDS = 120
"""From sample to sample: two of them within the shortest rate window, and half the wait of one a minute."""


@dataclass(frozen=True, slots=True)
class Demo:
    """What a demo is made of.

    Attributes:
        folder: where everything is written.
        proxy, exporter, console: HOST:PORT to listen on.
        simulator, prometheus: ports on loopback.
        binaries: the Prometheus to run; None for none.
        days: days of history before now.
        rate: requests per second, of history and live traffic, the mean of a week.
    """

    folder: DemoFolder
    proxy: str
    exporter: str
    console: str
    simulator: int
    prometheus: int
    binaries: scraper.Prometheus | None
    days: int
    rate: float


def plan(
    folder: DemoFolder, proxy: int, exporter: int, console: int, days: int, rate: float, path: str | None
) -> Demo:
    """Look for what is free and what is installed.

    Args:
        proxy, exporter, console: the ports that the caller wants.
        path: the PATH to find a Prometheus in.
    Raises: PlanError for a taken port.
    """
    proxy_address, exporter_address, console_address = (
        f"127.0.0.1:{port}" for port in (proxy, exporter, console)
    )
    ports.check(
        {
            "--proxy-port": proxy_address,
            "--exporter-port": exporter_address,
            "--console-port": console_address,
        }
    )
    return Demo(
        folder,
        proxy_address,
        exporter_address,
        console_address,
        simulator=ports.next_free(SIMULATOR_PORT),
        prometheus=ports.next_free(PROMETHEUS_PORT),
        binaries=scraper.find(path),
        days=days,
        rate=rate,
    )


async def demo(plan: Demo, environ: Mapping[str, str]) -> None:
    """Make the history, then run everything until one ends or this task is cancelled.

    Raises: RunError.
    """
    settings = make_folder(plan)
    # The demo has its own settings: the caller's ledger and key must not get in by the environment.
    environ = {name: value for name, value in environ.items() if name not in ENVIRONMENT}
    say(f"generating {plan.days} days of history in {plan.folder.root}; this takes one to three minutes")
    await _step_by_step(tuple(preparations(plan)), environ)
    plan.folder.history.unlink(missing_ok=True)  # a gigabyte that nobody reads again
    async with together(environ, limits(settings)) as crew:
        say("starting the services ...")
        for program in services(plan, settings):
            await crew.add(program)
        await _step_by_step(tuple(afterwards(plan)), environ)
        await crew.add(traffic(plan, settings))
        say(guide(facts(settings) | more_facts(plan)))
        await crew.watch()


async def _step_by_step(steps: Sequence[Program], environ: Mapping[str, str]) -> None:
    """Run programs one after the other, and say which and how long each took."""
    for number, step in enumerate(steps, start=1):
        began = monotonic()
        say(f"  {number}/{len(steps)}  {PURPOSES.get(step.name, step.name)} ...")
        await complete(step, environ)
        say(f"       done in {monotonic() - began:.0f} s")


def make_folder(plan: Demo) -> Settings:
    """Empty the folder, and write the configuration that all of the demo reads."""
    upstream = f"http://127.0.0.1:{plan.simulator}"
    make_anew(
        plan.folder,
        proxy=plan.proxy,
        exporter=plan.exporter,
        console=plan.console,
        prometheus=f"http://127.0.0.1:{plan.prometheus}",
        upstream=upstream,
    )
    return load(plan.folder.config, {})


def preparations(plan: Demo) -> Iterable[Program]:
    """What runs to its end before the services start."""
    folder = plan.folder
    history: tuple[object, ...] = ("--database", folder.database, "--days", plan.days)
    history += ("--requests-per-day", min(plan.rate * 86_400, MAX_HISTORY_PER_DAY))
    history += ("--zone", ZONE, "--fleet", folder.fleet, "--keys", folder.keys)
    if plan.binaries:
        history += ("--openmetrics", folder.history, "--interval", HISTORY_INTERVAL_SECONDS)
        history += ("--instances", plan.proxy, plan.exporter)
    yield _module(plan, "history", "simulator", "history", *history)
    yield _module(plan, "rules", "prometheus", "build", "--config", folder.config, "--out", folder.build)
    yield _module(plan, "dashboards", "dashboards", "build", "--out", folder.build)
    if plan.binaries:
        yield scraper.backfill(plan.binaries, folder.history, folder.tsdb, folder.logs)


def services(plan: Demo, settings: Settings) -> Iterable[Program]:
    """What runs until the demo ends, in the order to start."""
    folder, simulator = plan.folder, f"127.0.0.1:{plan.simulator}"
    words = ("upstream", "--listen", simulator, "--fleet", folder.fleet)
    upstream = _module(plan, "upstream", "simulator", *words)
    yield replace(upstream, ready_url=f"http://{simulator}/v1/models")
    yield from programs(settings, folder.config, folder.logs)
    if plan.binaries:
        config = folder.build / "prometheus" / "prometheus.yml"
        yield scraper.server(plan.binaries, config, folder.tsdb, plan.prometheus, folder.logs)


def afterwards(plan: Demo) -> Iterable[Program]:
    """What runs to its end once the services are up."""
    folder = plan.folder
    if plan.binaries:
        url, rules = f"http://127.0.0.1:{plan.prometheus}", folder.build / "prometheus/rules/recording.yml"
        yield scraper.record(plan.binaries, url, rules, plan.days, folder.tsdb, folder.logs)


def traffic(plan: Demo, settings: Settings) -> Program:
    """Callers that never end, as busy as they were in the history."""
    rhythm = ("--rate", plan.rate, "--rhythm", ZONE)
    base_url = local_url(plan.proxy) + settings.server.public_base_path
    return _module(plan, "traffic", "simulator", "traffic", "--base-url", base_url, *rhythm)


def more_facts(plan: Demo) -> dict[str, str]:
    """What a person has to know of a demo beyond what holds for every run."""
    taken = "" if plan.prometheus == PROMETHEUS_PORT else f" (port {PROMETHEUS_PORT} was taken)"
    return {
        "prometheus": f"http://127.0.0.1:{plan.prometheus}{taken}" if plan.binaries else scraper.INSTALL,
        "dashboards": str(plan.folder.build / "dashboards"),
        "logs": str(plan.folder.logs),
    }


def _module(plan: Demo, name: str, *words: object) -> Program:
    argv = (sys.executable, "-m", *(str(word) for word in words))
    return Program(name, argv, log=plan.folder.logs / f"{name}.log")
