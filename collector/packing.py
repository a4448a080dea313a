"""Events as the inbox keeps them: deflated, with a dictionary of what they all say. Pure."""

from __future__ import annotations

import zlib

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
