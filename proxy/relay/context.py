"""One request on its way through the proxy, with all that goes along."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import NamedTuple

from aiohttp import web

from proxy.http.routes import Route
from proxy.http.upstream import Upstream
from proxy.observers.body_log import Record
from proxy.relay.include_usage import Strip
from proxy.relay.response_body import Hear
from proxy.relay.uploads import Uploads
from proxy.routing.attempts import Attempts
from proxy.routing.candidate import Host
from settings.callers import Headers


class Target(NamedTuple):
    """Where a request goes: the provider, path and query there, and what it is for."""

    upstream: Upstream
    host: Host
    path: str
    route: Route


@dataclass(slots=True)
class Passage:
    """One request.

    Attributes:
        uploads: the bodies that are on their way to us.
        record: the log of its bodies, where one is kept.
        credential: what its caller proves itself with.
        strip: takes out of the answer what was asked for on the caller's behalf.
        lent: a credential of ours goes along, and nothing of the caller's.
        shared: headers by which a web page may read the answer.
    """

    request: web.BaseRequest
    target: Target
    attempts: Attempts
    uploads: Uploads
    record: Record | None
    credential: str | None = field(default=None, repr=False)
    strip: Strip | None = None
    lent: bool = False
    shared: Headers = ()

    def hear(self) -> Hear:
        """Hears the answer's bytes as they pass."""
        feed = self.attempts.meter.feed
        return feed if self.record is None else _both(feed, self.record.feed)


def _both(first: Hear, second: Hear) -> Callable[[bytes], None]:
    def hear(chunk: bytes) -> None:
        first(chunk)
        second(chunk)

    return hear
