"""What columns are called on pages, and how the filters ask for them."""

from __future__ import annotations

LABELS = {
    "provider": "Provider",
    "model": "Model",
    "requested_model": "Requested model",
    "project": "Project",
    "api": "Request type",
    "account_id": "Account",
    "auth_index": "Auth index",
    "auth_file": "Auth file",
    "api_key_id": "API key",
    "gateway": "Gateway",
    "instance_id": "Instance",
    "source": "Source",
    "status": "Status",
    "http_status": "HTTP status",
    "error_class": "Failure type",
    "error_code": "Failure code",
    "service_tier": "Tier",
    "reasoning_effort": "Effort",
    "session_id": "Session",
    "trace_id": "Trace id",
    "request_id": "Request id",
    "user_agent": "Client",
    "streamed": "Streamed",
    "cache": "Cache",
    "unusual_status": "Unusual status",
    "min_latency_ms": "Min. latency, ms",
    "max_latency_ms": "Max. latency, ms",
    "min_first_token_ms": "Min. time to first token, ms",
    "max_first_token_ms": "Max. time to first token, ms",
    "text": "Search",
}

YES_NO = (("true", "yes"), ("false", "no"))

Field = tuple[str, str, str | tuple[tuple[str, str], ...]]


def _field(name: str, kind: str | tuple[tuple[str, str], ...] = "list") -> Field:
    return name, LABELS[name], kind


FIELDS: tuple[Field, ...] = (
    _field("status", (("success", "success"), ("error", "failed"), ("cancelled", "cancelled"))),
    _field("http_status"),
    _field("unusual_status", (("true", "unusual codes only"),)),
    _field("error_class"),
    _field("error_code"),
    _field("provider"),
    _field("model"),
    _field("requested_model"),
    _field("account_id"),
    _field("auth_file"),
    _field("auth_index"),
    _field("gateway"),
    _field("api_key_id"),
    _field("project"),
    _field("api"),
    _field("session_id"),
    _field("trace_id"),
    _field("request_id"),
    _field("user_agent"),
    _field("service_tier"),
    _field("reasoning_effort"),
    _field("streamed", YES_NO),
    _field(
        "cache",
        (
            ("hit", "read"),
            ("write", "written"),
            ("miss", "neither"),
            ("unknown", "not reported"),
        ),
    ),
    _field("min_latency_ms", "number"),
    _field("max_latency_ms", "number"),
    _field("min_first_token_ms", "number"),
    _field("max_first_token_ms", "number"),
    _field("instance_id"),
    _field("source"),
)
"""The form of filters, in its order: name, label, and what one chooses by."""
