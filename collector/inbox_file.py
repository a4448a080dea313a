"""The inbox's file: its tables, how it is opened, and how its items are packed."""

from __future__ import annotations

import os
import sqlite3
import zlib
from pathlib import Path

APPLICATION_ID = 0x51534349
"""Marks the file as ours."""

_SCHEMA = f"""
PRAGMA application_id = {APPLICATION_ID};
CREATE TABLE IF NOT EXISTS items (
    seq INTEGER PRIMARY KEY AUTOINCREMENT,
    gateway TEXT NOT NULL,
    channel TEXT NOT NULL,
    transport TEXT NOT NULL,
    received_at INTEGER NOT NULL,
    fingerprint INTEGER NOT NULL,
    twin INTEGER NOT NULL DEFAULT 0,
    state INTEGER NOT NULL DEFAULT 0,
    body BLOB NOT NULL
);
CREATE INDEX IF NOT EXISTS items_by_fingerprint ON items (fingerprint);
CREATE INDEX IF NOT EXISTS items_pending ON items (seq) WHERE state = 0;
CREATE INDEX IF NOT EXISTS items_undecodable ON items (seq) WHERE state = 2;
CREATE TABLE IF NOT EXISTS problems (seq INTEGER PRIMARY KEY, problem TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS gateways (
    name TEXT PRIMARY KEY,
    sound_at REAL,
    stopped_at REAL,
    draining INTEGER NOT NULL DEFAULT 0,
    blurred INTEGER NOT NULL DEFAULT 0,
    refused_at REAL,
    refusals INTEGER NOT NULL DEFAULT 0,
    counted INTEGER,
    last_event_at REAL,
    counted_events INTEGER
);
CREATE TABLE IF NOT EXISTS gaps (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    gateway TEXT NOT NULL,
    reason TEXT NOT NULL,
    began_at REAL NOT NULL,
    ended_at REAL,
    told INTEGER NOT NULL DEFAULT 0
);
CREATE TABLE IF NOT EXISTS sums (
    family TEXT NOT NULL,
    labels TEXT NOT NULL,
    value REAL NOT NULL,
    PRIMARY KEY (family, labels)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS facts (name TEXT PRIMARY KEY, value TEXT NOT NULL);
"""


def open_file(path: Path, busy_timeout_seconds: float) -> sqlite3.Connection:
    """Open it, and make what is missing. Raises: sqlite3.Error, OSError."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)  # what callers sent is nobody else's business
    os.close(descriptor)
    connection = sqlite3.connect(
        path, timeout=busy_timeout_seconds, isolation_level=None, check_same_thread=False
    )
    try:
        (number,) = connection.execute("PRAGMA application_id").fetchone()
        (tables,) = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
        if number != APPLICATION_ID and tables:
            raise sqlite3.DatabaseError("the file holds something else; give the inbox a file of its own")
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = FULL")  # a power cut, too, costs nothing that was popped
        connection.execute("PRAGMA journal_size_limit = 16777216")
        connection.executescript(_SCHEMA)
        there = {row[1] for row in connection.execute("PRAGMA table_info(gateways)")}
        if "counted_events" not in there:  # a file of before there was this column
            connection.execute("ALTER TABLE gateways ADD COLUMN counted_events INTEGER")
    except BaseException:
        connection.close()
        raise
    return connection


_FAMILIAR_1 = (
    b'{"refresh":true}{"error":{"message":"","type":"invalid_request_error","param":null,"code":"'
    b'"rate_limit_exceeded""usage_limit_reached""context canceled""unexpected EOF"'
    b'"auth_status":{"status":"error","status_message":"","disabled":false,"unavailable":true,'
    b'"next_retry_after":"2026-","quota":{"exceeded":true,"reason":"quota","next_recover_at":"'
    b'"timestamp":"2026-11-28T07:46:02.175914067Z","latency_ms":2200,"ttft_ms":192,"source":"...#",'
    b'"auth_index":"","access_token_sha256":"","client_ip":"127.0.0.1","x_forwarded_for":"",'
    b'"user_agent":"codex_cli_rs/openai-python/Anthropic/claude-cli/",'
    b'"tokens":{"input_tokens":0,"output_tokens":0,"reasoning_tokens":0,"cached_tokens":0,'
    b'"cache_read_tokens":0,"cache_read_tokens_present":true,"cache_creation_tokens":0,'
    b'"total_tokens":0},"failed":true,"failed":false,"generate":true,'
    b'"fail":{"status_code":429,"body":""},"fail":{"status_code":200,"body":""},'
    b'"response_headers":{"Cache-Control":["no-cache"],"Content-Length":[""],'
    b'"Content-Type":["application/json"],"Content-Type":["text/event-stream; charset=utf-8"],'
    b'"Date":["Sat, 28 Nov 2026 07:46:12 GMT"],"Server":["cloudflare"],"X-Request-Id":["req_"]},'
    b'"accounting_version":2,"token_breakdown":{"schema_version":2,"quality":"complete",'
    b'"total_tokens":0,"input":{"total_tokens":0,"uncached_tokens":0,"cache_read_tokens":0,'
    b'"cache_write_tokens":0},"output":{"total_tokens":0,"non_reasoning_tokens":0,'
    b'"reasoning_tokens":0},"unclassified_tokens":0},"provider":"openai-compatible-",'
    b'"provider":"gemini","provider":"claude","executor_type":"ClaudeExecutor","provider":"codex",'
    b'"executor_type":"CodexExecutor","executor_type":"OpenAICompatExecutor","model":"claude-",'
    b'"model":"gpt-5.5","alias":"gpt-5.5","endpoint":"POST /v1/messages",'
    b'"endpoint":"POST /v1/chat/completions","endpoint":"POST /v1/responses","auth_type":"oauth",'
    b'"auth_type":"apikey","api_key":"sk-...#","request_id":"","reasoning_effort":"high",'
    b'"reasoning_effort":"","service_tier":"priority","service_tier":"auto",'
    b'"response_service_tier":"default","stream":true}'
)
"""Never changed: what was packed with it needs it. A better one gets a number of its own."""

_DICTIONARIES = {1: _FAMILIAR_1}
_PLAIN, _NEWEST = 0, 1
_WINDOW = -13  # 8 KiB, without a header: an event is smaller, and a small state is quickly made
_LEVEL, _MEMORY = 4, 5


def pack(raw: bytes) -> bytes:
    """The first byte says how: 0, as it was, or the number of the dictionary."""
    squeeze = zlib.compressobj(_LEVEL, zlib.DEFLATED, _WINDOW, _MEMORY, zdict=_DICTIONARIES[_NEWEST])
    packed = squeeze.compress(raw) + squeeze.flush()
    if len(packed) >= len(raw):
        return bytes((_PLAIN,)) + raw
    return bytes((_NEWEST,)) + packed


def unpack(packed: bytes) -> bytes:
    """What `pack` was given. Raises: ValueError for what it never made."""
    kind = packed[0] if packed else _PLAIN
    if kind == _PLAIN:
        return packed[1:]
    if kind not in _DICTIONARIES:
        raise ValueError(f"packed by a newer version (kind {kind})")
    try:
        return _inflate(packed[1:], kind)
    except zlib.error as error:
        raise ValueError(f"damaged: {error}") from error


def _inflate(data: bytes, kind: int) -> bytes:
    loose = zlib.decompressobj(_WINDOW, zdict=_DICTIONARIES[kind])
    return loose.decompress(data) + loose.flush()
