"""The view `request_logs` as revision 0010 makes it: what was in the table of that name, from short rows."""

from __future__ import annotations

# Each column with its source
COLUMNS = {
    "id": "r.id",
    "event_id": "{event_id}",
    "account_id": "c.account_id",
    "api_key_id": "c.api_key_id",
    "request_id": "{request_id}",
    "upstream_request_id": "r.upstream_request_id",
    "requested_at": "{at}",
    "model": "k.model",
    "api": "k.api",
    "input_tokens": "r.input_tokens",
    "output_tokens": "r.output_tokens",
    "cached_input_tokens": "r.cached_input_tokens",
    "reasoning_tokens": "r.reasoning_tokens",
    "reasoning_effort": "d.reasoning_effort",
    "service_tier": "k.service_tier",
    "latency_ms": "r.latency_ms",
    "latency_first_token_ms": "r.latency_first_token_ms",
    "status": "k.status",
    "http_status": "k.http_status",
    "error_code": "k.error_code",
    "error_message": "r.error_message",
    "end_reason": "d.end_reason",
    "session_id": "s.session_id",
    "user_agent": "d.user_agent",
    "request_kind": "d.request_kind",
    "deleted_at": "{deleted_at}",
    "instance_id": "c.instance_id",
    "source": "c.source",
    "gateway": "c.gateway",
    "provider": "k.provider",
    "requested_model": "k.requested_model",
    "requested_service_tier": "k.requested_service_tier",
    "project": "c.project",
    "trace_id": "{trace_id}",
    "response_id": "r.response_id",
    "auth_index": "c.auth_index",
    "route": "d.route",
    "error_class": "k.error_class",
    "provider_cost_usd": "r.provider_cost_usd",
    "login": "k.login",
    "streamed": "k.streamed",
    "cache_write_tokens": "r.cache_write_tokens",
    "cache_write_1h_tokens": "r.cache_write_1h_tokens",
    "audio_input_tokens": "r.audio_input_tokens",
    "audio_output_tokens": "r.audio_output_tokens",
    "image_input_tokens": "r.image_input_tokens",
    "image_output_tokens": "r.image_output_tokens",
    "extra_units": "r.extra_units",
}
TABLES = """
FROM request_rows AS r
LEFT JOIN request_callers AS c ON c.id = r.caller_id
LEFT JOIN request_kinds AS k ON k.id = r.kind_id
LEFT JOIN request_details AS d ON d.id = r.detail_id
LEFT JOIN request_sessions AS s ON s.id = r.session_number
"""
EVENT_LOG_VIEW = """
CREATE VIEW event_log AS
SELECT requested_at AS timestamp,
       model,
       NULL AS title,
       NULL AS summary,
       session_id AS conversation_id,
       coalesce(input_tokens, 0) AS prompt_tokens,
       coalesce(cached_input_tokens, 0) AS cached_prompt_tokens,
       coalesce(output_tokens, reasoning_tokens, 0) AS completion_tokens,
       coalesce(input_tokens, 0) + coalesce(output_tokens, reasoning_tokens, 0) AS total_tokens,
       coalesce(reasoning_tokens, 0) AS reasoning_tokens,
       CASE WHEN input_tokens IS NULL OR coalesce(output_tokens, reasoning_tokens) IS NULL
            THEN 0 ELSE 1 END AS usage_included,
       coalesce(cache_write_tokens, 0) + coalesce(cache_write_1h_tokens, 0) AS cache_write_prompt_tokens
FROM request_logs
WHERE deleted_at IS NULL
"""
"""codex-usage's table of the same name, for the tools that read it. Titles and summaries would need
request bodies, which are never stored."""


def request_logs_view(dialect: str, *, with_before: bool) -> str:
    """The view, also with the rows that are not taken over yet."""
    if dialect == "sqlite":
        moment = "strftime('%Y-%m-%d %H:%M:%S', {0} / 1000000, 'unixepoch') || printf('.%06d', {0} % 1000000)"
        an_id = "CASE typeof({0}) WHEN 'blob' THEN lower(hex({0})) ELSE {0} END"
    else:
        moment, an_id = "TIMESTAMP '1970-01-01' + {0} * INTERVAL '1 microsecond'", "{0}"
    sources = {
        "at": moment.format("r.at"),
        "deleted_at": moment.format("r.deleted_at"),
        **{name: an_id.format(f"r.{name}") for name in ("event_id", "request_id", "trace_id")},
    }
    columns = ",\n       ".join(f"{source.format(**sources)} AS {name}" for name, source in COLUMNS.items())
    before = f"UNION ALL SELECT {', '.join(COLUMNS)} FROM request_logs_before" if with_before else ""  # noqa: S608
    return f"CREATE VIEW request_logs AS\nSELECT {columns}{TABLES}{before}"
