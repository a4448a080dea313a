"""One request's way: client -> proxy -> provider and back, bytes untouched, with a meter beside it."""

from __future__ import annotations

import asyncio
from time import perf_counter

from aiohttp import web

from proxy.errors import ClientGone, Refused, UpstreamError
from proxy.http.caller_secrets import Secrets
from proxy.http.headers import credential
from proxy.http.response_head import error_response
from proxy.http.upstream import LeftUnsent
from proxy.http.wire import Answer
from proxy.metering.meter import Emit, Tell
from proxy.observers.body_log import BodyLog
from proxy.relay.access import Key
from proxy.relay.context import Passage, Target
from proxy.relay.dispatch import Dispatch
from proxy.relay.exchange import Question
from proxy.relay.request import Options, caller, lend, pay, question
from proxy.relay.response import join_turns, pass_back
from proxy.relay.uploads import Uploads
from proxy.routing.attempts import Attempts
from proxy.websocket.gate import terms
from settings.callers import Headers


class Relay:
    """Forwards requests and makes one event of each attempt.

    Args:
        emit, tell: take every event, and every word on quota; must not block or raise.
        dispatch: chooses accounts; None passes callers' own credentials on.
        body_log: where bodies are logged, if at all.
    """

    def __init__(
        self,
        emit: Emit,
        tell: Tell,
        options: Options,
        dispatch: Dispatch | None = None,
        body_log: BodyLog | None = None,
    ) -> None:
        self._emit = emit
        self._tell = tell
        self._options = options
        self._dispatch = dispatch
        self._body_log = body_log
        self._uploads = Uploads(options.pace)
        self.running = 0
        self.stopping = False

    async def __call__(self, request: web.BaseRequest, target: Target) -> web.StreamResponse:
        """Answer a request."""
        lending = self._options.lending
        shared = lending.shared(request)
        if shared and (answer := lending.preflight(request)) is not None and self._lends(target):
            return answer
        key = credential(request.headers)
        secrets = Secrets(request.headers, target.path.partition("?")[2], key)
        asking = caller(request, target, self._options, secrets, key)
        attempts = Attempts(asking, self._emit, self._tell, perf_counter(), secrets)
        record = self._body_log.record(asking.request_id, secrets) if self._body_log else None
        self.running += 1
        try:
            passage = Passage(request, target, attempts, self._uploads, record, key, shared=shared)
            return await self._exchange(passage)
        except Refused as error:
            attempts.meter.refused(error)
            refusal = error_response(error, error.status, error.code, retry_after=error.retry_after)
            return _shared(refusal, shared)
        except UpstreamError as error:
            attempts.meter.failed(error)
            return _shared(error_response(error, error.status, error.code), shared)
        except ClientGone as error:
            attempts.meter.finish("client_gone")
            raise ConnectionResetError from error
        except asyncio.CancelledError as error:
            if isinstance(error, LeftUnsent):
                attempts.left_unsent()
            if self.stopping:
                attempts.meter.finish("shutdown", error_code="shutting_down")
            attempts.meter.finish("client_gone")
            raise
        finally:
            self.running -= 1
            attempts.end()
            if record:
                record.end()

    async def _exchange(self, passage: Passage) -> web.StreamResponse:
        options, dispatch, request = self._options, self._dispatch, passage.request
        if self.running > options.max_requests and not self._uploads.make_room():
            raise Refused(503, "too_many_requests_in_flight", "too many requests in flight; try again soon")
        if passage.record:
            passage.record.request(request.method, request.raw_path, request.headers.items())
        routed = dispatch is not None and dispatch.active(passage.target.host)
        key = self._admit(passage, routed=routed)
        passage.lent = options.lending.lends(request, passage.target, key, routed=routed)
        budget = key is not None and bool(key.periods)
        anonymous = passage.lent or key is not None
        asked = await question(passage, options, anonymous=anonymous, replay=routed or budget)
        if budget:
            assert dispatch is not None and key is not None
            await pay(passage, asked, dispatch.admission, key)
        if routed:
            assert dispatch is not None
            return await self._routed(passage, asked, dispatch)
        asked = lend(passage, asked, key, options)
        upstream = passage.target.upstream
        answer = await upstream.send(asked.method, asked.path, asked.lines, asked.body, asked.length)
        passage.attempts.meter.answered(answer.status, answer.headers)
        return await self._return(passage, answer)

    def _lends(self, target: Target) -> bool:
        """Whether callers borrow a credential of ours there."""
        accounts = self._dispatch is not None and self._dispatch.active(target.host)
        return accounts or self._options.lending.own_key is not None

    def _admit(self, passage: Passage, *, routed: bool) -> Key | None:
        """The caller's proxy key, if it has one. Raises: Refused."""
        if self._dispatch is None:
            return None
        admission = self._dispatch.admission
        key = admission.key_of(passage.credential)
        if key is not None:
            passage.attempts.by_key(key)
        admission.admit(key, passage.target.route.work, routed=routed)
        return key

    async def _routed(self, passage: Passage, asked: Question, dispatch: Dispatch) -> web.StreamResponse:
        target, attempts = passage.target, passage.attempts
        outcome = await dispatch.send(target.upstream, target.host, asked, attempts)
        out = await self._return(passage, outcome.answer, outcome.begun)
        if outcome.answer.status != 101:  # each turn on a WebSocket told for itself how it went
            dispatch.ended(outcome, attempts.meter)
        return out

    async def _return(self, passage: Passage, answer: Answer, begun: bytes = b"") -> web.StreamResponse:
        """Pass the answer on, whatever it is; what is left of it goes with its connection."""
        try:
            if answer.status == 101:
                agreed = terms(self._dispatch, passage.target.host, passage.attempts)
                return await join_turns(passage, answer, agreed, lambda: self.stopping)
            return await pass_back(passage, answer, begun)
        finally:
            content = answer.content
            if not content.at_eof() or content.exception() is not None or answer.status == 101:
                answer.close()


def _shared(answer: web.Response, headers: Headers) -> web.Response:
    answer.headers.update(headers)
    return answer
