"""Errors of the collector; each text is one line for a person.

CollectorError
├── InboxError         the inbox cannot be opened, read or written
├── ImportFailed       a file to import cannot be read at all
└── GatewayError       a gateway cannot be collected from now; `state` says why
    ├── KeyMissing         the reference of its key leads to nothing
    ├── Unreachable        no connection, or it broke
    │   └── AnswerLost     it broke while events were on their way to us
    ├── NotRedis           what answers there does not speak the queue's protocol
    ├── Unsupported        it does not know a command
    ├── LoginRefused       it refuses the key
    ├── LoginWaits         the key was refused a moment ago; nothing was sent
    ├── Banned             it answers nobody of our address for a while
    ├── HomeMode           its Home publishes in its place
    ├── ManagementOff      it has no management secret
    └── TooOld             its version has no queue
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, Literal

State = Literal[
    "connecting",
    "collecting",
    "publishing_off",
    "unreachable",
    "not_redis",
    "refused",
    "waiting",
    "banned",
    "home",
    "management_off",
    "too_old",
    "no_key",
    "stopped",
]
"""How it stands with a gateway; only `collecting` is well."""


class CollectorError(Exception):
    """Base of all that the collector raises."""


class InboxError(CollectorError):
    """The inbox cannot be opened, read or written."""


class ImportFailed(CollectorError):
    """A file cannot be imported at all."""


class GatewayError(CollectorError):
    """A gateway cannot be collected from now."""

    state: ClassVar[State] = "unreachable"


class KeyMissing(GatewayError):
    """The reference of its key leads to nothing."""

    state = "no_key"


class Unreachable(GatewayError):
    """There is no connection, or it broke.

    Attributes:
        refused: nobody listens there: the gateway is not running.
    """

    def __init__(self, text: str, *, refused: bool = False) -> None:
        super().__init__(text)
        self.refused = refused


class AnswerLost(Unreachable):
    """The connection broke while events were on their way: the gateway has forgotten them.

    Attributes:
        salvaged: those of them that had come whole.
    """

    def __init__(self, text: str, salvaged: Sequence[bytes] = ()) -> None:
        super().__init__(text)
        self.salvaged = tuple(salvaged)


class NotRedis(GatewayError):
    """What answers there does not speak the queue's protocol: a reverse proxy for HTTP, for example."""

    state = "not_redis"


class Unsupported(GatewayError):
    """The gateway does not know a command of ours."""

    state = "too_old"


class LoginRefused(GatewayError):
    state = "refused"


class LoginWaits(GatewayError):
    """The key was refused a moment ago, and nothing was sent: five wrong keys ban the address.

    Attributes:
        until: epoch seconds at which it is worth asking again.
    """

    state = "waiting"

    def __init__(self, text: str, until: float) -> None:
        super().__init__(text)
        self.until = until


class Banned(GatewayError):
    """The gateway answers nobody of our address for a while.

    Attributes:
        seconds: how long, as the gateway says.
    """

    state = "banned"

    def __init__(self, text: str, seconds: float) -> None:
        super().__init__(text)
        self.seconds = seconds


class HomeMode(GatewayError):
    """The gateway is governed by a Home, which publishes in its place."""

    state = "home"


class ManagementOff(GatewayError):
    """The gateway has no management secret, or does not allow it from here."""

    state = "management_off"


class TooOld(GatewayError):
    state = "too_old"
