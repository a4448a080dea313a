"""Private names of libraries: where they are used, and that they are there. A minor version may move them."""

from __future__ import annotations

import ast
from pathlib import Path
from typing import Any

import aiohttp
import prometheus_client.values as library
import pytest
from aiohttp import web
from aiohttp.client_proto import ResponseHandler
from aiohttp.http_writer import StreamWriter
from aiohttp.streams import StreamReader
from prometheus_client import CollectorRegistry, Histogram
from prometheus_client.mmap_dict import MmapedDict

from proxy.observers.registry import ReservedFile

ROOT = Path(__file__).parents[2]
ROOMS = ("serving", "proxy", "exporter", "collector", "console", "metrics", "run", "simulator", "bench")

FLOW = {"_drain_helper", "_reading_paused"}
READER = {"_buffer"}
SERVER = {
    *("_current_request", "_manager", "_messages", "_payload_parser", "_request_count"),
    *("_request_in_progress", "_task_handler", "_upgraded"),
    *("_buffer_paused", "_force_close", "_handle_request", "_keepalive", "_keepalive_handle"),
    *("_keepalive_timeout", "_lingering_time", "_make_error_handler", "_next_keepalive_close_time"),
    *("_parser", "_process_keepalive", "_request_factory", "_request_handler"),
    *("_resume_reading_if_drained", "_waiter"),
}
CLIENT = {
    *("_buffer", "_drop_timeout", "_on_read_timeout", "_payload", "_read_timeout", "_read_timeout_handle"),
    "_reschedule_timeout",
}
MAKER = {"_connections", "_kwargs", "_loop"}
RESPONSE = {"_eof_sent", "_keep_alive", "_must_be_empty_body", "_payload_writer", "_req", "_start"}
WRITER = {"_headers_buf", "_headers_written"}
HISTOGRAM = {"_buckets", "_sum", "_upper_bounds"}
FILE = {"_capacity", "_f", "_init_value", "_used"}

PLACES = {
    "serving/connection.py": FLOW | READER | SERVER | MAKER | {"_eof_sent", "_make_server"},
    "proxy/http/wire.py": {*CLIENT, "_factory", "_reading_paused"},
    "proxy/http/response_head.py": RESPONSE | WRITER,
    "proxy/observers/registry.py": HISTOGRAM | FILE,
}
"""The only modules that may use such names, and which."""


OURS_TOO = {
    *("_buffer", "_connections", "_kwargs", "_loop", "_messages", "_parser", "_payload", "_start", "_sum"),
}
"""Names that our own classes have elsewhere, too."""


def names_in(path: Path) -> set[str]:
    nodes = list(ast.walk(ast.parse(path.read_text(encoding="utf-8"))))
    return {node.attr for node in nodes if isinstance(node, ast.Attribute)} | {
        node.name for node in nodes if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    }


@pytest.mark.slow
def test_they_are_used_in_four_modules_alone() -> None:
    private = set().union(*PLACES.values()) - OURS_TOO
    found = {
        path.relative_to(ROOT).as_posix(): used
        for room in ROOMS
        for path in sorted((ROOT / room).rglob("*.py"))
        if (used := names_in(path) & private)
    }
    assert found == {place: names - OURS_TOO for place, names in PLACES.items()}


async def test_aiohttps_are_there() -> None:
    server = web.Server(lambda request: web.Response(), access_log=None)  # type: ignore[arg-type, return-value]
    handler = server()
    for name in SERVER | FLOW:
        assert hasattr(handler, name), name
    client = ResponseHandler(server._loop)
    for name in READER:
        assert hasattr(StreamReader(client, 1), name), name
    for name in CLIENT | FLOW:
        assert hasattr(client, name), name
    assert set(vars(server)) >= MAKER
    assert hasattr(web.AppRunner, "_make_server")
    writer = StreamWriter(client, server._loop)
    assert (writer._headers_buf, writer._headers_written) == (None, False)
    for name in RESPONSE:
        assert hasattr(web.StreamResponse(), name), name
    connector = aiohttp.TCPConnector()
    assert isinstance(connector._factory(), ResponseHandler)
    await connector.close()


def test_prometheus_clients_are_there() -> None:
    histogram = Histogram("seconds", "Some.", buckets=(1, 2), registry=CollectorRegistry())
    histogram.observe(1.5)
    buckets: list[Any] = histogram._buckets
    assert list(histogram._upper_bounds) == [1.0, 2.0, float("inf")]
    assert [bucket.get() for bucket in buckets] == [0.0, 1.0, 0.0]
    assert histogram._sum.get() == pytest.approx(1.5)


def test_its_files_are(tmp_path: Path) -> None:
    file = MmapedDict(str(tmp_path / "counter.db"))  # type: ignore[no-untyped-call]
    for name in FILE:
        assert hasattr(file, name), name
    file.close()  # type: ignore[no-untyped-call]
    assert library.MmapedDict is ReservedFile  # type: ignore[attr-defined]
