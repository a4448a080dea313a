"""Lending a credential of ours: an account's, or the key of last resort. Where none is lent a caller uses its
own, and nothing is asked of it here."""

from __future__ import annotations

from dataclasses import dataclass

from aiohttp import web

from proxy.errors import Refused
from proxy.http.caller_secrets import brings_credential
from proxy.relay.access import Key
from proxy.relay.context import Target
from settings.callers import LOCAL, Guard, Headers, preflight, shared_with

_LOOPBACK = frozenset({"127.0.0.1", "::1", "::ffff:127.0.0.1"})


@dataclass(frozen=True, slots=True)
class Lending:
    """To whom credentials of ours are lent.

    Attributes:
        guard: the rule for all who borrow one.
        own_key: the credential of last resort, for callers on this host who bring none.
    """

    guard: Guard = LOCAL
    own_key: str | None = None

    def lends(self, request: web.BaseRequest, target: Target, key: Key | None, *, routed: bool) -> bool:
        """Whether a credential of ours goes along with a request.

        Args:
            key: the proxy key that the caller presented.
            routed: it would be an account's.
        Raises: Refused for who may not borrow one.
        """
        if not routed and not self._may_use_own(request, target, key):
            return False
        refusal = self.guard.refusal(request.headers, request.remote, known=key is not None)
        if refusal is not None:
            raise Refused(403, refusal.code, refusal.message)
        return True

    def shared(self, request: web.BaseRequest) -> Headers:
        """Headers by which a configured page may read an answer; none for everybody else."""
        origin = request.headers.get("Origin")
        return shared_with(origin) if origin is not None and self.guard.shares(origin) else ()

    def preflight(self, request: web.BaseRequest) -> web.Response | None:
        """The answer to a browser's question whether a configured page may ask; None for everything else."""
        origin = request.headers.get("Origin")
        if request.method != "OPTIONS" or origin is None or not self.guard.shares(origin):
            return None
        if "Access-Control-Request-Method" not in request.headers:
            return None
        names = request.headers.get("Access-Control-Request-Headers")
        return web.Response(status=204, headers=dict(preflight(origin, names)))

    def _may_use_own(self, request: web.BaseRequest, target: Target, key: Key | None) -> bool:
        if self.own_key is None or target.host != "api":
            return False
        if key is not None:
            return True
        query = target.path.partition("?")[2]
        return request.remote in _LOOPBACK and not brings_credential(request.headers.items(), query)


NOTHING_LENT = Lending()
