"""What the proxy costs: direct, nginx, a bare aiohttp pass-through, Quotascope, LiteLLM where installed."""

from __future__ import annotations

import shutil
import statistics
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from bench.scenes.configured import routed
from bench.scenes.load import Load, wrk
from bench.scenes.processes import Program, free_port, python, start
from tests.support.fleet.accounts import ProviderAccount
from tests.support.fleet.twenty import tables

UNARY = '{"model":"gpt-5.5","messages":[{"role":"user","content":"hello"}]}'
STREAM = '{"model":"gpt-5.5","stream":true,"messages":[{"role":"user","content":"hello"}]}'
PATH = "/v1/chat/completions"
LOAD_CPU, SUBJECT_CPU = 0, 1


@dataclass(frozen=True, slots=True)
class Round:
    load: Load
    cpu_per_thousand: float
    rss: float


@dataclass(frozen=True, slots=True)
class Row:
    """Medians over the rounds; `ratio` is against the bare pass-through, round by round."""

    name: str
    per_second: float
    ratio: float
    p50: float
    p99: float
    cpu_per_thousand: float
    cpu_ratio: float
    rss: float
    failed: int


def upstream(folder: Path, *more: str) -> Program:
    port = free_port()
    command = python("-m", "simulator", "upstream", "--fixed", "--listen", f"127.0.0.1:{port}", *more)
    return start("direct", command, port, cpu=LOAD_CPU)


def nginx(folder: Path, origin: str) -> Program:
    port = free_port()
    config = folder / "nginx.conf"
    config.write_text(
        f"daemon off; worker_processes 1; pid {folder}/nginx.pid; error_log /dev/null;"
        "events { worker_connections 4096; }"
        f"http {{ access_log off; client_body_temp_path {folder}; proxy_temp_path {folder};"
        f"fastcgi_temp_path {folder}; uwsgi_temp_path {folder}; scgi_temp_path {folder};"
        f"upstream u {{ server {origin.removeprefix('http://')}; keepalive 256; }}"
        f"server {{ listen 127.0.0.1:{port}; location / {{ proxy_pass http://u; proxy_buffering off;"
        'proxy_http_version 1.1; proxy_set_header Connection ""; } } }'
    )
    return start("nginx", ["nginx", "-c", str(config), "-p", str(folder)], port, cpu=SUBJECT_CPU)


def bare(folder: Path, origin: str, *more: str) -> Program:
    port = free_port()
    command = python("-m", "bench.scenes.passthrough", "--port", str(port), "--upstream", origin, *more)
    return start("aiohttp, bare", command, port, cpu=SUBJECT_CPU)


def quotascope(folder: Path, origin: str, checkout: Path | None = None) -> Program:
    """The proxy of this checkout, or of another one."""
    port = free_port()
    name = "Quotascope" if checkout is None else f"Quotascope, {checkout.name}"
    env = {
        "CODEX_USAGE_LISTEN_ADDR": f"127.0.0.1:{port}",
        "CODEX_USAGE_UPSTREAM_BASE_URL": origin,
        "CODEX_USAGE_DB_PATH": str(folder / f"{port}.db"),
        "PYTHONPATH": str(checkout or Path.cwd()),
    }
    return start(name, python("-m", "proxy"), port, env=env, cpu=SUBJECT_CPU, cwd=folder)


def twenty_accounts(folder: Path, origin: str) -> Program:
    """The same proxy, which chooses one of twenty accounts for each request."""
    own = folder / "twenty"
    own.mkdir()
    plans = ("pro", "plus", "team", "free")
    accounts = [ProviderAccount(f"account-{n}", plans[n % len(plans)]) for n in range(20)]
    return routed("Quotascope, 20 accounts", own, origin, tables(accounts, own, origin), SUBJECT_CPU)


def litellm(folder: Path, origin: str) -> Program:
    port = free_port()
    config = folder / "litellm.yaml"
    config.write_text(
        "model_list:\n- model_name: gpt-5.5\n  litellm_params:\n"
        f"    model: openai/gpt-5.5\n    api_base: {origin}/v1\n    api_key: sk-bench\n"
    )
    command = [str(shutil.which("litellm")), "--config", str(config), "--port", str(port)]
    env = {
        "LITELLM_LOCAL_MODEL_COST_MAP": "True",  # nothing is fetched
        "LITELLM_DANGEROUSLY_PERMIT_WEAK_OR_UNSET_MASTER_KEY": "true",  # it serves the loopback for a minute
    }
    return start("LiteLLM", command, port, env=env, cpu=SUBJECT_CPU)


Make = Callable[[Path, str], Program]


def subjects(against: Path | None) -> list[Make]:
    """The programs that can be measured here."""
    found: list[Make] = [bare, *ours(against), twenty_accounts]
    if shutil.which("nginx"):
        found.insert(0, nginx)
    if shutil.which("litellm"):
        found.append(litellm)
    return found


def ours(against: Path | None) -> list[Make]:
    """The proxy, and that of another checkout."""
    return [quotascope] if against is None else [quotascope, partial(quotascope, checkout=against)]


def measure(program: Program, body: str, connections: int, seconds: int) -> Round:
    before = program.cpu_seconds()
    load = wrk(program.origin + PATH, body, connections=connections, seconds=seconds, cpu=LOAD_CPU)
    cpu = (program.cpu_seconds() - before) * 1000 / max(1, load.requests)
    return Round(load, cpu, program.rss_mib())


def compare(rounds: int, seconds: int, connections: int, against: Path | None = None) -> dict[str, list[Row]]:
    """All programs, unary and streams, in interleaved rounds.

    Args:
        against: another checkout of Quotascope, which is measured beside.
    """
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        provider = upstream(folder)
        programs = [provider]
        try:
            programs += [make(folder, provider.origin) for make in subjects(against)]
            tables = {}
            for kind, body in (("unary", UNARY), ("stream of 200 events", STREAM)):
                _warm(programs, body, connections)
                taken = [[measure(p, body, connections, seconds) for p in programs] for _ in range(rounds)]
                tables[kind] = _rows([p.name for p in programs], taken)
            return tables
        finally:
            for program in reversed(programs):
                program.end()


CONNECTIONS = (1, 8, 64, 256)


@dataclass(frozen=True, slots=True)
class Tail:
    """Latencies of one program at one number of connections, medians of the rounds in milliseconds; `ratio`
    is p99 against the bare pass-through's, round by round."""

    name: str
    connections: int
    p50: float
    p99: float
    p999: float
    ratio: float


def tails(rounds: int, seconds: int, against: Path | None = None) -> list[Tail]:
    """Latencies of unary requests from bare pass-through and proxy, at few and at many connections."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        programs = [upstream(folder)]
        try:
            compared = [make(folder, programs[0].origin) for make in (bare, *ours(against))]
            programs += compared
            found: list[Tail] = []
            for connections in CONNECTIONS:
                _warm(compared, UNARY, connections)
                taken = [
                    [measure(p, UNARY, connections, seconds).load for p in compared] for _ in range(rounds)
                ]
                found += [_tail(p.name, connections, i, taken) for i, p in enumerate(compared)]
            return found
        finally:
            for program in reversed(programs):
                program.end()


def _tail(name: str, connections: int, at: int, taken: list[list[Load]]) -> Tail:
    mine = [loads[at] for loads in taken]
    return Tail(
        name,
        connections,
        statistics.median(load.p50 for load in mine),
        statistics.median(load.p99 for load in mine),
        statistics.median(load.p999 for load in mine),
        statistics.median(load.p99 / loads[0].p99 for load, loads in zip(mine, taken, strict=True)),
    )


def tail_table(rows: list[Tail]) -> str:
    lines = [
        "### latency of unary requests",
        "",
        "| connections | | p50 ms | p99 ms | p99.9 ms | p99 x bare |",
        "|--:|---|--:|--:|--:|--:|",
    ]
    lines += [
        f"| {r.connections} | {r.name} | {r.p50:.2f} | {r.p99:.2f} | {r.p999:.2f} | {r.ratio:.2f} |"
        for r in rows
    ]
    return "\n".join(lines)


def _warm(programs: list[Program], body: str, connections: int) -> None:
    """Use each program for a second; then it has started its writer, which is for another core."""
    for program in programs:
        measure(program, body, connections, 1)
        if program.name.startswith("Quotascope"):
            program.move_children(LOAD_CPU)


def _rows(names: list[str], taken: list[list[Round]]) -> list[Row]:
    yard = names.index("aiohttp, bare")
    rows = []
    for i, name in enumerate(names):
        mine = [rounds[i] for rounds in taken]
        yards = [rounds[yard] for rounds in taken]
        pairs = list(zip(mine, yards, strict=True))
        rows.append(
            Row(
                name=name,
                per_second=statistics.median(r.load.per_second for r in mine),
                ratio=statistics.median(m.load.per_second / y.load.per_second for m, y in pairs),
                p50=statistics.median(r.load.p50 for r in mine),
                p99=statistics.median(r.load.p99 for r in mine),
                cpu_per_thousand=statistics.median(r.cpu_per_thousand for r in mine),
                cpu_ratio=statistics.median(
                    m.cpu_per_thousand / max(1e-9, y.cpu_per_thousand) for m, y in pairs
                ),
                rss=max(r.rss for r in mine),
                failed=sum(r.load.failed for r in mine),
            )
        )
    return rows


def table(title: str, rows: list[Row]) -> str:
    lines = [
        f"### {title}",
        "",
        "| | requests/s | x bare | p50 ms | p99 ms | CPU s / 1,000 | x bare | RSS MiB | failed |",
        "|---|--:|--:|--:|--:|--:|--:|--:|--:|",
    ]
    lines += [
        f"| {r.name} | {r.per_second:,.0f} | {r.ratio:.2f} | {r.p50:.1f} | {r.p99:.1f} | "
        f"{r.cpu_per_thousand:.3f} | {r.cpu_ratio:.2f} | {r.rss:.0f} | {r.failed} |"
        for r in rows
    ]
    return "\n".join(lines)
