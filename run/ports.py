"""Looking at ports before anything is started, so that a taken one costs a line and not half a start."""

from __future__ import annotations

import errno
import socket
from collections.abc import Mapping

from run.errors import PlanError
from settings.model import split_address


def check(addresses: Mapping[str, str]) -> None:
    """See that each address can be listened on, and that no two are the same.

    Args:
        addresses: what names the address (a setting, an option) -> HOST:PORT.
    Raises: PlanError, which tells what to change.
    """
    known: dict[tuple[str, int], str] = {}
    for key, address in addresses.items():
        host, port = split_address(address)
        if (other := known.setdefault((host, port), key)) != key:
            raise PlanError(f"{other} and {key} are both {address}: each service needs one of its own")
        if port == 0:
            raise PlanError(f"{key}: port 0 is any port; name the one to use")
        try:
            _bind(host, port)
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                raise PlanError(
                    f"{address} is taken by another program; end that, or change {key}"
                ) from error
            raise PlanError(f"{key} = {address!r} cannot be listened on: {error.strerror}") from error


def next_free(first: int, tries: int = 100) -> int:
    """The first free loopback port from `first` on.

    Raises: PlanError when all of them are taken.
    """
    for port in range(first, first + tries):
        try:
            _bind("127.0.0.1", port)
        except OSError:
            continue
        return port
    raise PlanError(f"127.0.0.1: none of the ports {first} to {first + tries - 1} is free")


def _bind(host: str, port: int) -> None:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family) as probe:
        # As servers do: a port that only waits for the end of old connections is free.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        probe.bind((host, port))
