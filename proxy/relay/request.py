"""From a caller's request to the question that goes upstream."""

from __future__ import annotations

from dataclasses import dataclass

from aiohttp import web

from ledger.privacy import mask_key
from proxy.errors import Refused
from proxy.http.headers import (
    credential,
    project,
    replaced,
    request_lines,
    session_id,
    trace_id,
    without,
)
from proxy.metering.event import Caller, new_id
from proxy.metering.place import model_in_target, provider_of_host
from proxy.relay import body as inbound
from proxy.relay import include_usage
from proxy.relay.access import Key
from proxy.relay.admission import Admission
from proxy.relay.charge import read_ask
from proxy.relay.context import Passage, Target
from proxy.relay.exchange import Question
from proxy.websocket import handler as websocket


@dataclass(frozen=True, slots=True)
class Options:
    """What the relay does beyond passing bytes on.

    Attributes:
        own_key: the credential of last resort, for callers on this host who bring none.
        include_usage: ask for the counts of streamed chat completions on the client's behalf.
        most_bytes: of a request's body.
        most_requests: in flight at once.
        project_headers, trace_headers: names of those that name a request's project and trace.
    """

    own_key: str | None = None
    include_usage: bool = False
    most_bytes: int = 2**30
    most_requests: int = 2**30
    project_headers: tuple[str, ...] = ()
    trace_headers: tuple[str, ...] = ()


def caller(request: web.BaseRequest, target: Target, options: Options) -> Caller:
    """Who asks and for what, as far as target and headers say."""
    headers = request.headers
    return Caller(
        method=request.method,
        route=target.route,
        api_key_id=mask_key(credential(headers)),
        request_id=headers.get("x-client-request-id") or headers.get("x-request-id") or new_id(),
        session_id=session_id(headers),
        user_agent=headers.get("User-Agent"),
        login=target.host == "backend",
        provider=provider_of_host(target.upstream.host),
        model=model_in_target(target.path),
        project=project(headers, options.project_headers),
        trace_id=trace_id(headers, options.trace_headers),
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
    body = await inbound.body(request, attempts.learn, hear, options.most_bytes, replay=replay or counts)
    lines = request_lines(request.raw_headers, anonymous=anonymous)
    if counts and attempts.asked.stream and not attempts.asked.include_usage and isinstance(body, bytes):
        plain = inbound.decoded(body, inbound.content_encoding(request))
        if plain is not None:
            body, passage.strip = include_usage.asking(plain), include_usage.Strip()
            lines = replaced(without(lines, b"content-encoding:"), b"Accept-Encoding", b"identity")
    if websocket.is_upgrade(request.headers):
        lines = websocket.upgrade_lines(lines)
    length = None if body is None or isinstance(body, bytes) else request.content_length
    return Question(request.method, passage.target.path, lines, body, length)


async def pay(passage: Passage, asked: Question, admission: Admission, key: Key) -> None:
    """Reserve what a request may cost from its key's budget. Raises: Refused."""
    request, work = passage.request, passage.target.route.work
    if websocket.is_upgrade(request.headers):
        await admission.connect(key)  # each turn is paid by itself
    elif work not in ("reads", "free"):
        body = asked.body if isinstance(asked.body, bytes) else None
        encoded = any(line.lower().startswith(b"content-encoding:") for line in asked.lines)
        plain = inbound.decoded(body, inbound.content_encoding(request)) if body and encoded else body
        size = len(plain or body or b"") or request.content_length or 0
        passage.attempts.paid_from(await admission.reserve(key, work, read_ask(plain, size)))


def lend(passage: Passage, asked: Question, key: Key | None, options: Options) -> Question:
    """The question as it goes out where no account is there for it: with our own key where that may be.

    Args:
        key: the caller's proxy key; it says who the caller is, here and nowhere else.
    Raises: Refused for a caller who has nothing else.
    """
    own = options.own_key if passage.target.host == "api" else None
    if own and (key is not None or _may_borrow(passage.request)):
        lines = [*asked.lines, b"Authorization: Bearer " + own.encode()]
        return Question(asked.method, asked.path, lines, asked.body, asked.length)
    if key is not None:
        raise Refused(503, "no_account", "no account is there for this path, and a proxy key ends here")
    return asked


def _may_borrow(request: web.BaseRequest) -> bool:
    """Whether a caller without a credential may use ours: a program on this host, never a web page
    (which brings an Origin, or a Host of its own by DNS rebinding)."""
    headers = request.headers
    if any(name in headers for name in ("Authorization", "x-api-key", "api-key", "Origin")):
        return False
    host = headers.get("Host", "")
    name = host if host.startswith("[") and host.endswith("]") else host.rpartition(":")[0] or host
    return request.remote in ("127.0.0.1", "::1") and name.strip("[]") in ("127.0.0.1", "localhost", "::1")
