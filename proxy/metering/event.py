"""The one event of a request, from who asked, what was asked, what the answer reported and how it ended. Pure
but for the clock and the ids."""

from __future__ import annotations

import itertools
import os
from collections.abc import Mapping
from datetime import UTC, datetime
from decimal import Decimal

import msgspec
from msgspec.structs import replace

from ledger.pricing.ceilings import plausible
from ledger.privacy import raw_body, safe_code, safe_message
from ledger.requests.error_codes import error_class
from ledger.values import NO_USAGE, EndReason, RequestEvent, Status, Usage
from proxy.http.caller_secrets import Secrets
from proxy.http.routes import Route
from proxy.metering.asked import Asked
from proxy.metering.batch import TIER, BatchAnswer
from proxy.metering.once import once_id
from proxy.metering.place import provider_of_model
from proxy.metering.usage import Report

_PROCESS = os.urandom(10).hex()
_numbers = itertools.count()


def new_id() -> str:
    """An id that no other request has, in this process or any other."""
    return f"{_PROCESS}{next(_numbers):012x}"


class Caller(msgspec.Struct, frozen=True):
    """Who asks and for what, as far as target and headers say.

    Attributes:
        login: with a ChatGPT login.
        provider: whose host it goes to, where that is known.
        model: the one that the target names.
        project, trace_id: as the headers name them.
        keeps_failures: the answer is kept where it is a failure.
        instance_id: which proxy it is.
    """

    method: str
    route: Route
    api_key_id: str
    request_id: str
    session_id: str | None
    user_agent: str | None
    login: bool = False
    provider: str | None = None
    model: str | None = None
    project: str | None = None
    trace_id: str | None = None
    keeps_failures: bool = False
    instance_id: str | None = None


class End(msgspec.Struct, frozen=True):
    """How an exchange ended; `body` is what is kept of an answer that is a failure, `passed` its bytes."""

    reason: EndReason
    http_status: int
    error_code: str | None
    error_message: str | None
    latency_ms: float
    latency_first_token_ms: float | None
    upstream_request_id: str | None
    streamed: bool
    body: bytes = b""
    passed: int = 0


def request_event(
    caller: Caller, account_id: str, asked: Asked, report: Report, end: End, secrets: Secrets
) -> RequestEvent:
    """The event of a request that is over."""
    route = caller.route
    asked_model, told_model, upstream_id, response_id, effort, tier, asked_tier = secrets.hide_all(
        asked.model,
        report.model,
        end.upstream_request_id,
        report.response_id,
        report.reasoning_effort or asked.reasoning_effort,
        report.service_tier,
        asked.service_tier,
    )
    requested = asked_model or caller.model
    model = told_model or requested
    usage = _usage(route, report)
    is_plausible = plausible(usage, model, route.api)
    if not is_plausible:
        usage = NO_USAGE
    status = _status(end.reason, end.http_status, end.error_code)
    code = message = kind = None
    if end.error_code or end.error_message or status == "error":
        hidden = secrets()
        code = safe_code(end.error_code, hidden) if end.reason != "client_gone" else None
        message = safe_message(end.error_message, hidden)
        kind = error_class(end.error_code, end.http_status) if status == "error" else None
    units = _units(route, asked, report, status)
    billable = route.billable or (route.work != "reads" and (usage is not NO_USAGE or bool(units)))
    return RequestEvent(
        id=new_id(),
        account_id=account_id,
        api_key_id=caller.api_key_id,
        request_id=caller.request_id,
        upstream_request_id=upstream_id,
        requested_at=datetime.now(UTC),
        method=caller.method,
        route=route.template,
        api=route.api,
        model=model,
        usage=usage,
        status=status,
        http_status=end.http_status,
        end_reason=end.reason,
        latency_ms=end.latency_ms,
        latency_first_token_ms=end.latency_first_token_ms,
        reasoning_effort=effort,
        service_tier=tier,
        error_code=code,
        error_message=message,
        session_id=caller.session_id,
        user_agent=caller.user_agent,
        billable=billable,
        provider=_provider(caller, model),
        requested_model=requested,
        requested_service_tier=asked_tier,
        login=caller.login,
        streamed=end.streamed or asked.stream,
        project=caller.project,
        trace_id=caller.trace_id,
        response_id=response_id,
        error_class=kind,
        provider_cost_usd=report.cost if billable else None,
        extra_units=units,
        background=report.background,
        implausible=report.nonsense > 0 or not is_plausible,
        unmetered=_unmetered(route, report, status, usage, units),
        instance_id=caller.instance_id,
        failure_body=raw_body(end.body, secrets()) if end.body and status == "error" else None,
        passed_bytes=end.passed if usage is NO_USAGE else 0,
    )


def batch_event(caller: Caller, account_id: str, answer: BatchAnswer, secrets: Secrets) -> RequestEvent:
    """The event of one answer in the output of a batch."""
    report = answer.report
    event = _event_beside(caller, account_id, once_id("batch", answer.id), answer.api, report, secrets)
    code = safe_code(report.error_code, secrets()) if report.error_code else None
    return replace(
        event,
        status="error" if report.error_code else "success",
        service_tier=TIER,
        error_code=code,
        requested_service_tier=TIER,
        streamed=False,
    )


UNNAMED_DRAWER = "image_generation"
"""The model of images whose response does not say which drew them: it has no price, and is listed so."""


def drawing_event(caller: Caller, account_id: str, report: Report, secrets: Secrets) -> RequestEvent:
    """The event of what a response drew with its tool. A stored response that is read again has the same."""
    drawn = Report(
        said=report.drawn, model=report.drawn_by or UNNAMED_DRAWER, service_tier=report.service_tier
    )
    name = once_id("drawn", report.response_id) if report.response_id else new_id()
    return _event_beside(caller, account_id, name, "images", drawn, secrets)


def _event_beside(
    caller: Caller, account_id: str, name: str, api: str, report: Report, secrets: Secrets
) -> RequestEvent:
    """An event that is no exchange of its own: how long it took is not known."""
    model = secrets.hide(report.model)
    is_plausible = plausible(report.usage, model, api)
    return RequestEvent(
        id=name,
        account_id=account_id,
        api_key_id=caller.api_key_id,
        request_id=caller.request_id,
        requested_at=datetime.now(UTC),
        method=caller.method,
        route=caller.route.template,
        api=api,
        model=model,
        usage=report.usage if is_plausible else NO_USAGE,
        status="success",
        http_status=200,
        end_reason="done",
        latency_ms=0.0,
        service_tier=secrets.hide(report.service_tier),
        session_id=caller.session_id,
        user_agent=caller.user_agent,
        provider=_provider(caller, model),
        login=caller.login,
        project=caller.project,
        trace_id=caller.trace_id,
        provider_cost_usd=report.cost,
        extra_units=report.units,
        batched=True,
        instance_id=caller.instance_id,
        implausible=report.nonsense > 0 or not is_plausible,
    )


def _usage(route: Route, report: Report) -> Usage:
    """What counts of what was reported: what is read may be a stored response; what is made later, or
    elsewhere, begins with zeros."""
    usage = report.usage
    if route.work == "reads" and report.response_id is None:
        return NO_USAGE
    if route.work == "deferred" and not (usage.input_tokens or usage.output_tokens):
        return NO_USAGE
    return usage


def _units(route: Route, asked: Asked, report: Report, status: Status) -> Mapping[str, Decimal] | None:
    if route.speaks and asked.characters and status == "success" and report.said is None:
        return {**(report.units or {}), "characters": Decimal(asked.characters)}
    return None if route.work == "reads" and report.response_id is None else report.units


def _unmetered(
    route: Route, report: Report, status: Status, usage: Usage, units: Mapping[str, Decimal] | None
) -> bool:
    """Whether something that costs, or may cost, was answered and nobody learned how much. The answer to a
    background request tells it later."""
    silent = status == "success" and usage is NO_USAGE and not units
    return silent and route.work not in ("reads", "free") and not report.background


def _provider(caller: Caller, model: str | None) -> str | None:
    return caller.provider or (provider_of_model(model) if model else None)


def _status(reason: EndReason, http_status: int, error_code: str | None) -> Status:
    if reason == "client_gone":
        return "cancelled"
    if error_code or http_status >= 400 or reason in ("timeout", "upstream_error", "refused", "shutdown"):
        return "error"
    return "success"
