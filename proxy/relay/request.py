"""From a caller's request to the question that goes upstream."""

from __future__ import annotations

from dataclasses import dataclass

from aiohttp import web

from ledger.privacy import mask_key
from proxy.errors import Refused
from proxy.http.caller_secrets import Secrets
from proxy.http.headers import (
    project,
    replaced,
    request_lines,
    session_id,
    trace_id,
    without,
)
from proxy.http.identity import anonymous_lines, anonymous_target
from proxy.metering.event import Caller, new_id
from proxy.metering.members import aside, outline
from proxy.metering.place import model_in_target, provider_of_host
from proxy.relay import body as inbound
from proxy.relay import include_usage
from proxy.relay.access import Key
from proxy.relay.admission import Admission
from proxy.relay.charge import Ask, read_ask
from proxy.relay.context import Passage, Target
from proxy.relay.exchange import Question
from proxy.relay.lending import NOTHING_LENT, Lending
from proxy.relay.uploads import USUAL_PACE, Pace
from proxy.websocket import handler as websocket


@dataclass(frozen=True, slots=True)
class Options:
    """What the relay does beyond passing bytes on.

    Attributes:
        lending: to whom credentials of ours are lent.
        include_usage: ask for the counts of streamed chat completions on the client's behalf.
        max_bytes: of a request's body.
        max_requests: in flight at once.
        pace: at which a request's body must arrive.
        forwarded_headers, forwarded_parameters: besides those that say nothing of who asks.
        project_headers, trace_headers: names of those that name a request's project and trace.
        failure_bodies: keep what providers answer to requests that fail.
        instance_id: which proxy it is.
    """

    lending: Lending = NOTHING_LENT
    include_usage: bool = False
    max_bytes: int = 2**30
    max_requests: int = 2**30
    pace: Pace = USUAL_PACE
    forwarded_headers: frozenset[bytes] = frozenset()
    forwarded_parameters: frozenset[str] = frozenset()
    project_headers: tuple[str, ...] = ()
    trace_headers: tuple[str, ...] = ()
    failure_bodies: bool = False
    instance_id: str | None = None


def caller(
    request: web.BaseRequest, target: Target, options: Options, secrets: Secrets, credential: str | None
) -> Caller:
    """Who asks and for what, as far as target and headers say.

    Args:
        credential: what the caller proves itself with.
    """
    headers = request.headers
    asked, session, user_agent, model, of_project, trace = secrets.hide_all(
        headers.get("x-client-request-id") or headers.get("x-request-id"),
        session_id(headers),
        headers.get("User-Agent"),
        model_in_target(target.path),
        project(headers, options.project_headers),
        trace_id(headers, options.trace_headers),
    )
    return Caller(
        method=request.method,
        route=target.route,
        api_key_id=mask_key(credential),
        request_id=asked or new_id(),
        session_id=session,
        user_agent=user_agent,
        login=target.host == "backend",
        provider=provider_of_host(target.upstream.host),
        model=model,
        project=of_project,
        trace_id=trace,
        keeps_failures=options.failure_bodies,
        instance_id=options.instance_id,
    )


async def question(passage: Passage, options: Options, *, anonymous: bool, replay: bool) -> Question:
    """What is asked upstream.

    Args:
        anonymous: nothing goes along by which the caller is known.
        replay: it may have to be asked again.
    Raises: Refused, ClientGone.
    """
    request, attempts, record = passage.request, passage.attempts, passage.record
    hear = record.feed if record else None
    counts = options.include_usage and passage.target.route.api in include_usage.APIS
    replay = replay or counts
    body = await inbound.body(
        request, passage.uploads, attempts.learn, hear, options.max_bytes, replay=replay
    )
    if anonymous:
        lines = anonymous_lines(request.raw_headers, request.headers, options.forwarded_headers)
        path = anonymous_target(passage.target.path, options.forwarded_parameters)
    else:
        lines, path = request_lines(request.raw_headers, request.headers), passage.target.path
    if counts and attempts.asked.stream and not attempts.asked.include_usage and isinstance(body, bytes):
        changed = await _asking(body, inbound.content_encoding(request))
        if changed is not None:
            body, passage.strip = changed, include_usage.Strip()
            lines = replaced(without(lines, b"content-encoding:"), b"Accept-Encoding", b"identity")
    if websocket.is_upgrade(request.headers):
        lines = websocket.upgrade_lines(lines)
    length = None if body is None or isinstance(body, bytes) else request.content_length
    return Question(request.method, path, lines, body, length)


async def pay(passage: Passage, asked: Question, admission: Admission, key: Key) -> None:
    """Reserve what a request may cost from its key's budget. Raises: Refused."""
    request, work = passage.request, passage.target.route.work
    if work == "reads" and asked.body:
        work = "unknown"  # who reads sends none: a provider may take it for a question
    if websocket.is_upgrade(request.headers):
        await admission.connect(key, passage.target.route)  # each turn is paid by itself
    elif work == "free":  # as far as is known: counts that come back are charged all the same
        passage.attempts.paid_from(admission.budgets.unreserved(key, work))
    elif work != "reads":
        body = asked.body if isinstance(asked.body, bytes) else None
        encoded = any(line.lower().startswith(b"content-encoding:") for line in asked.lines)
        encoding = inbound.content_encoding(request) if body and encoded else ""
        unread = body is None and asked.body is not None
        told = request.content_length or (inbound.REPLAYED_BODY if unread else 0)  # chunks tell no more
        what = (told, passage.target.route.api, passage.attempts.caller.provider)
        ask = await aside(len(body or b""), lambda: _ask(body, encoding, *what), is_packed=bool(encoding))
        passage.attempts.paid_from(await admission.reserve(key, work, ask))


def _ask(body: bytes | None, content_encoding: str, told: int, api: str, provider: str | None) -> Ask:
    plain = inbound.decoded(body, content_encoding) if body else body
    readable = None if body is None else outline(plain or b"")
    return read_ask(readable, len(plain or body or b"") or told, api, provider)


async def _asking(body: bytes, content_encoding: str) -> bytes | None:
    """A body that asks for the counts, too; None where it cannot be read. Raises: Refused."""

    def read() -> bytes | None:
        plain = inbound.decoded(body, content_encoding)
        return None if plain is None else include_usage.asking(plain)

    return await aside(len(body), read, is_packed=bool(content_encoding))


def lend(passage: Passage, asked: Question, key: Key | None, options: Options) -> Question:
    """The question as it goes out where no account is there for it: with our own key where that may be.

    Args:
        key: the caller's proxy key; it says who the caller is, here and nowhere else.
    Raises: Refused for a caller who has nothing else.
    """
    own = options.lending.own_key
    if passage.lent and own is not None:
        passage.attempts.secrets.lend(own)
        lines = [*asked.lines, b"Authorization: Bearer " + own.encode()]
        return Question(asked.method, asked.path, lines, asked.body, asked.length)
    if key is not None:
        raise Refused(
            503, "no_account", "no account is configured for this path, and proxy keys are not forwarded"
        )
    return asked
