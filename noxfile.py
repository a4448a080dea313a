"""The front door: everything that one does here is a session. `nox --list` shows them."""

from __future__ import annotations

import functools
import json
import os
import shutil
import signal
import sys
from collections.abc import Callable
from ctypes.util import find_library
from pathlib import Path
from types import FrameType
from typing import NoReturn

import nox

nox.needs_version = ">=2025.2.9"
nox.options.sessions = ["lint", "types", "tests"]  # what CI runs
nox.options.reuse_venv = "yes"
nox.options.default_venv_backend = "virtualenv"

PROJECT = nox.project.load_toml("pyproject.toml")

PROGRAMS = {
    "prometheus": "prometheus",
    "promtool": "prometheus",
    "prometheus-alertmanager": "prometheus-alertmanager",
    "amtool": "prometheus-alertmanager",
    "docker-compose": "docker-compose",
    "initdb": "postgresql",
    "postgres": "postgresql",
    "npm": "npm",
    "tmux": "tmux",
    "chromium": "chromium",
}
"""Programs that the tests run, each with the Debian package that brings it."""

LIBRARIES = {"atomic": "libatomic1"}
"""The same for what they load: Playwright's own Node.js."""

HTMX = "2.0.11"
"""The library of the monitoring page; a copy lies in console/web/static."""

BENCHMARKS = "tests/proxy/routing/test_select.py"
"""The tests that measure; no other file has to be read for them."""

CHECKS = Path(".nox/checks")
"""The environment of types and tests: what both need is installed once."""

CODEX = "0.169.0"
"""The Codex CLI that is tried against the proxy; it comes from npm."""


@nox.session
def up(session: nox.Session) -> None:
    """Run the proxy, the exporter and the monitoring page until Ctrl-C."""
    _serve(session, "up")


@nox.session
def demo(session: nox.Session) -> None:
    """Run them against a simulated provider, with history and live traffic, until Ctrl-C."""
    _serve(session, "demo")


@nox.session
def accounts(session: nox.Session) -> None:
    """Add, list and change the accounts that requests are routed to; what follows -- says which and how."""
    _install(session)
    session.run("python", "-m", "ledger", "accounts", *session.posargs)


@nox.session
def top(session: nox.Session) -> None:
    """Show periods, usage windows and requests in this terminal as they come; q quits."""
    _install(session)
    session.run("python", "-m", "console", "top", *session.posargs)


@nox.session
def prices(session: nox.Session) -> None:
    """What newer price data would change (-- diff), and taking it (-- update)."""
    _install(session, "prices")
    session.install("--quiet", "--upgrade", *nox.project.dependency_groups(PROJECT, "prices"))
    session.run("python", "-m", "ledger", "prices", *session.posargs)


@nox.session
def lint(session: nox.Session) -> None:
    """Check style, layout, spelling and the words in use."""
    _install(session, "lint", project=False)
    session.run("ruff", "check")
    session.run("ruff", "format", "--check")
    session.run("codespell")
    # Phrases for which the field has a term; git grep finds none of them and returns 1.
    files = ("*.py", "*.md", "*.toml", ":!CHANGELOG.md")
    session.run("git", "grep", "-nwiEf", ".ci/paraphrases", "--", *files, external=True, success_codes=[1])


@nox.session(python=False)
def types(session: nox.Session) -> None:
    """Check types, strictly."""
    _check(session, "mypy", *_python_files())


@nox.session(python=False)
def tests(session: nox.Session) -> None:
    """Run the tests on all cores; what follows -- goes to one pytest instead."""
    _system_packages(session)
    _codex(session)
    if session.posargs:
        _check(session, "pytest", *session.posargs)
        return
    # What is measured is measured alone: beside other tests a median says little.
    _check(session, "pytest", "-m", "benchmark", "-q", BENCHMARKS)
    # Many tests wait for a process or a clock: one worker more than there are cores.
    workers = str((os.cpu_count() or 1) + 1)
    parallel = ("-n", workers, "--dist", "worksteal", "--benchmark-disable")
    _check(session, "pytest", "-m", "not benchmark", *parallel)


@nox.session(python=False)
def unit(session: nox.Session) -> None:
    """Run the tests without sockets and processes, in seconds; what follows -- goes to pytest."""
    # What is skipped in the middle leaves its sockets to the garbage collector.
    quiet = ("--unit", "--benchmark-disable", "-W", "ignore::pytest.PytestUnraisableExceptionWarning")
    _check(session, "pytest", "-q", *quiet, *(session.posargs or ("-n", "auto")))


@nox.session(python=False)
def coverage(session: nox.Session) -> None:
    """Run the tests and print which lines none of them reaches; what follows -- goes to pytest."""
    _system_packages(session)
    report = ("--cov", "--cov-report=term-missing:skip-covered")
    _check(session, "pytest", *report, *(session.posargs or ("-n", "auto", "--benchmark-disable")))


@nox.session
def build(session: nox.Session) -> None:
    """Write everything that Prometheus and Grafana read into build/."""
    _install(session)
    for room in ("prometheus", "dashboards", "provisioning"):
        session.run("python", "-m", room, "build")


@nox.session(name="build-dashboards")
def build_dashboards(session: nox.Session) -> None:
    """Write the dashboards alone into build/dashboards/."""
    _install(session)
    session.run("python", "-m", "dashboards", "build", *session.posargs)


@nox.session(name="diff-dashboards")
def diff_dashboards(session: nox.Session) -> None:
    """Say what a deployment would change in the Grafana at GRAFANA_URL; fails where something would."""
    _install(session)
    session.run("python", "-m", "dashboards", "diff", *session.posargs)


@nox.session(name="deploy-dashboards")
def deploy_dashboards(session: nox.Session) -> None:
    """Make the Grafana at GRAFANA_URL show the dashboards, with the token GRAFANA_TOKEN."""
    _install(session)
    session.run("python", "-m", "dashboards", "deploy", *session.posargs)


@nox.session(name="preview-dashboards")
def preview_dashboards(session: nox.Session) -> None:
    """Draw each dashboard, from a Prometheus with invented history; what follows -- names another one."""
    _install(session, "preview")
    preview = ("python", "-m", "dashboards", "preview")
    if session.posargs:
        session.run(*preview, *session.posargs)
        return
    asked = ("--prometheus", "{prometheus}", "--now", "{now}", "--out", "build/previews")
    session.run("python", "-m", "tests.support.seeded", "--", *preview, *asked)


@nox.session(name="lint-promql")
def lint_promql(session: nox.Session) -> None:
    """Build everything, and check every query in it; what follows -- goes to the linter."""
    build(session)
    session.run("python", "-m", "prometheus", "lint", *session.posargs)


@nox.session(name="cleanup-series")
def cleanup_series(session: nox.Session) -> None:
    """Remove series from Prometheus' history; what follows -- says which."""
    _install(session)
    session.run("python", "-m", "runbooks", "cleanup-series", *session.posargs)


@nox.session(name="reset-grafana-password")
def reset_grafana_password(session: nox.Session) -> None:
    """Give Grafana's admin a new password; what follows -- says in which container."""
    _install(session)
    session.run("python", "-m", "runbooks", "reset-grafana-password", *session.posargs)


@nox.session(name="vendor-htmx")
def vendor_htmx(session: nox.Session) -> None:
    """Copy the page's one library from npm once more; git then shows whether anything has changed."""
    folder = Path(session.create_tmp())
    session.run(
        "npm", "pack", "--silent", f"htmx.org@{HTMX}", "--pack-destination", str(folder), external=True
    )
    shutil.unpack_archive(folder / f"htmx.org-{HTMX}.tgz", folder, filter="data")
    for source, copy in (("dist/htmx.min.js", "htmx.min.js"), ("LICENSE", "htmx.LICENSE")):
        shutil.copyfile(folder / "package" / source, Path("console/web/static", copy))


@nox.session
def bench(session: nox.Session) -> None:
    """Measure side by side in one run; what follows -- says what."""
    _install(session, "preview")
    session.run("python", "-m", "bench", *session.posargs)


def _install(session: nox.Session, *groups: str, project: bool = True) -> None:
    """Bring the environment to what pyproject.toml says, or leave it alone when it is already there."""
    _bring(Path(session.virtualenv.location), _wanted(*groups, project=project), session.install)


def _check(session: nox.Session, module: str, *arguments: str) -> None:
    """Run a module in the environment of the checks, which is made when it is not there."""
    programs = CHECKS.absolute() / "bin"
    python = str(programs / "python")
    environ = {
        "PATH": os.pathsep.join((str(programs), os.environ["PATH"])),
        "PYTHONDONTWRITEBYTECODE": "",  # tests start hundreds of programs: what is compiled is kept
    }
    run = functools.partial(session.run, external=True, env=environ)
    if not Path(python).exists():
        run(sys.executable, "-m", "virtualenv", "--quiet", str(CHECKS))
    _bring(CHECKS, _wanted("types"), functools.partial(run, python, "-m", "pip", "install", "--quiet"))
    run(python, "-m", module, *arguments)


def _wanted(*groups: str, project: bool = True) -> list[str]:
    dependencies = PROJECT["project"]["dependencies"] if project else ()
    return [*dependencies, *nox.project.dependency_groups(PROJECT, *groups)]


def _bring(environment: Path, wanted: list[str], install: Callable[..., object]) -> None:
    """Install into an environment, unless that was done with the same list."""
    stamp, text = environment / "installed.txt", "\n".join(wanted)
    if not stamp.exists() or stamp.read_text(encoding="utf-8") != text:
        install(*wanted)
        stamp.write_text(text, encoding="utf-8")


def _python_files() -> list[str]:
    """The folders with Python in them, and this file."""
    folders = {path.parts[0] for path in Path().glob("[!.]*/*.py")}
    return [*sorted(folders - {"build"}), "noxfile.py"]


def _serve(session: nox.Session, command: str) -> None:
    """Run a command that ends by a signal.

    A Ctrl-C reaches it as well as us, a SIGTERM reaches us alone. Either way it then gets a SIGTERM, of
    which it makes nothing new if it is ending already, and all the time that it asks for.
    """
    _install(session)
    signal.signal(signal.SIGTERM, _interrupt)
    arguments = ("python", "-m", "run", command, *session.posargs)
    session.run(*arguments, interrupt_timeout=0.3, terminate_timeout=None)


def _interrupt(_number: int, _frame: FrameType | None) -> NoReturn:
    raise KeyboardInterrupt


def _system_packages(session: nox.Session) -> None:
    """Install the programs that the tests run, where that is possible; else say what to install."""
    path = os.pathsep.join([os.environ["PATH"], *map(str, Path("/usr/lib/postgresql").glob("*/bin"))])
    packages = {package for name, package in PROGRAMS.items() if shutil.which(name, path=path) is None}
    packages |= {package for name, package in LIBRARIES.items() if find_library(name) is None}
    if packages:
        session.run(".ci/packages", *sorted(packages), external=True, success_codes=_tolerated())


def _codex(session: nox.Session) -> None:
    """Install the Codex CLI into .nox/codex, unless it is there."""
    package = Path(".nox/codex/node_modules/@openai/codex/package.json")
    if package.exists() and json.loads(package.read_text(encoding="utf-8"))["version"] == CODEX:
        return
    if shutil.which("npm"):
        arguments = ("npm", "install", "--silent", "--no-audit", "--no-fund", "--prefix", ".nox/codex")
        session.run(*arguments, f"@openai/codex@{CODEX}", external=True, success_codes=_tolerated())


def _tolerated() -> range:
    """What may come back from an installation: in CI only success, else the tests that need it skip."""
    return range(1) if os.environ.get("CI") == "true" else range(256)
