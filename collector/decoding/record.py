"""A usage record of CLIProxyAPI -> the same event that the proxy makes of a request. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from hashlib import blake2b
from typing import Any

from collector.decoding.failures import CLIENT_GONE, Failure, failure_of
from collector.decoding.fields import Undecodable, count, flag, moment, number, parsed, table, text
from collector.decoding.providers import endpoint, provider_of
from collector.decoding.tokens import usage_of
from collector.redaction import masked
from ledger.privacy import raw_body
from ledger.values import EndReason, RequestEvent, Status

NO_TIER = frozenset({"auto", ""})
"""What gateways write where the client asked for no tier."""

_REQUEST_IDS = ("x-request-id", "request-id", "x-oai-request-id", "x-goog-request-id")
_TRACES = ("x-trace-id", "traceparent", "x-cloud-trace-context", "x-b3-traceid", "cf-ray")
_PROJECTS = ("openai-project", "x-goog-user-project", "x-project-id")


def event_id(gateway: str, raw: bytes, twin: int) -> str:
    """The event's id: the same for the same item, whoever collects it and however often it is decoded.

    Args:
        twin: how many items before it say exactly the same.
    """
    digest = blake2b(digest_size=16, person=b"collected")
    digest.update(b"%s\0%d\0" % (gateway.encode(), twin))
    digest.update(raw)
    return f"c-{digest.hexdigest()}"


def document_of(raw: bytes) -> dict[str, Any]:
    """The JSON object of an item. Raises: Undecodable."""
    try:
        document = parsed(raw)
    except (ValueError, RecursionError):
        raise Undecodable("no JSON") from None
    if isinstance(document, str):  # some ways wrap what they cannot embed
        return document_of(document.encode())
    if not isinstance(document, dict):
        raise Undecodable(f"a JSON {type(document).__name__} and no object")
    return document


def account_id(gateway: str, auth_index: str | None) -> str:
    """The ledger's id of a gateway's credential."""
    return f"{gateway}/{auth_index}"[:200] if auth_index else gateway


def request_event(
    record: Mapping[str, Any],
    identity: str,
    gateway: str,
    instance: str | None,
    *,
    keeps_failures: bool = False,
) -> RequestEvent:
    """The event of a usage record.

    Args:
        identity: the event's id.
        keeps_failures: the event brings what the provider answered, where it failed.
    Raises: Undecodable for a document that is no usage record.
    """
    began = moment(record.get("timestamp"))
    model = text(record, "model")
    if began is None or model is None or "failed" not in record:
        raise Undecodable("no usage record: timestamp, model and failed are needed")
    latency = number(record, "latency_ms") or 0.0
    method, route, api = endpoint(text(record, "endpoint"))
    named = None if model == "unknown" else model
    provider = provider_of(text(record, "provider"), named)
    status, http_status, end, failure = _outcome(record)
    streamed = flag(record, "stream")
    headers = {name.lower(): value for name, value in table(record, "response_headers").items()}
    auth = text(record, "auth_index")
    return RequestEvent(
        id=identity,
        account_id=account_id(gateway, auth),
        api_key_id=masked(text(record, "api_key")),
        request_id=text(record, "request_id") or identity,
        requested_at=began + timedelta(milliseconds=latency),
        method=method,
        route=route,
        api=api,
        model=named,
        usage=usage_of(record, provider),
        status=status,
        http_status=http_status,
        end_reason=end,
        latency_ms=latency,
        latency_first_token_ms=_first_token(record, latency, streamed),
        reasoning_effort=text(record, "reasoning_effort"),
        service_tier=text(record, "response_service_tier"),
        error_code=failure.code if failure else None,
        error_message=failure.message if failure else None,
        upstream_request_id=_header(headers, _REQUEST_IDS),
        user_agent=text(record, "user_agent"),
        billable=flag(record, "generate") is not False,
        instance_id=instance,
        source="collector",
        gateway=gateway,
        provider=provider,
        requested_model=text(record, "alias"),
        requested_service_tier=_requested_tier(record),
        login=_is_login(record),
        streamed=streamed,
        project=text(record, "project_id") or text(record, "project") or _header(headers, _PROJECTS),
        trace_id=_header(headers, _TRACES),
        auth_index=auth,
        error_class=failure.kind if failure else None,
        failure_body=_body(record) if keeps_failures and failure else None,
    )


def _body(record: Mapping[str, Any]) -> str | None:
    body = table(record, "fail").get("body")
    return raw_body(body.encode()) if isinstance(body, str) else None


def _outcome(record: Mapping[str, Any]) -> tuple[Status, int, EndReason, Failure | None]:
    if not record.get("failed"):
        return "success", 200, "done", None
    fail = table(record, "fail")
    http_status = count(fail, "status_code") or 500
    if http_status == CLIENT_GONE:
        return "cancelled", http_status, "client_gone", None
    body = fail.get("body")
    return (
        "error",
        http_status,
        "upstream_error",
        failure_of(http_status, body if isinstance(body, str) else None),
    )


def _first_token(record: Mapping[str, Any], latency: float, streamed: bool | None) -> float | None:
    """Of an answer in one piece the gateway says that its first token came with its last."""
    first = number(record, "ttft_ms")
    if not first or streamed is False or (streamed is None and first >= latency):
        return None
    return first


def _requested_tier(record: Mapping[str, Any]) -> str | None:
    tier = text(record, "service_tier")
    return None if tier in NO_TIER else tier


def _is_login(record: Mapping[str, Any]) -> bool | None:
    """Whether a ChatGPT login answered; the tier that was asked for then decides the price."""
    kind = text(record, "auth_type")
    if kind is None or text(record, "provider") != "codex":
        return None if kind is None else False
    return kind == "oauth"


def _header(headers: Mapping[str, Any], names: tuple[str, ...]) -> str | None:
    for name in names:
        value = headers.get(name)
        if isinstance(value, list) and value and isinstance(value[0], str) and value[0]:
            return value[0]
    return None
