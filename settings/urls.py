"""URLs, and addresses to listen on: HOST:PORT. Pure."""

from __future__ import annotations

import ipaddress
import re
from typing import Annotated
from urllib.parse import SplitResult, urlsplit

from pydantic import AfterValidator


def _address(text: str) -> str:
    host, _, port = text.rpartition(":")
    number = int(port) if len(port) < 6 and port.isascii() and port.isdecimal() else -1
    bracketed = host.startswith("[") and host.endswith("]")
    if not (_is_ip(host) or _is_host(host.strip("[]") if bracketed else host, bracketed=bracketed)) or not (
        0 <= number <= 65535
    ):
        raise ValueError("allowed: HOST:PORT with a port from 0 to 65535, like 127.0.0.1:8787 or [::1]:8787")
    return text


Address = Annotated[str, AfterValidator(_address)]


def split_address(address: str) -> tuple[str, int]:
    """HOST:PORT as host and port; brackets of IPv6 are taken off."""
    host, _, port = address.rpartition(":")
    return host.strip("[]"), int(port)


def is_loopback(address: str) -> bool:
    """Whether HOST:PORT can be reached from this machine alone."""
    host, _ = split_address(address)
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


ALLOWED = "allowed: http://HOST or https://HOST, with a path if need be, without ? and #"
NO_CREDENTIALS = "allowed: a URL without user name and password"

_NAME = re.compile(r"[A-Za-z0-9._-]+")
_LONGEST_PORT = ":65535"


def base_url(text: str) -> str:
    """A base URL without the slash at its end. What passes can be sent to: its host fits a Host header and
    a name look-up, and a path can be put behind it.

    Raises: ValueError saying what is allowed, without the text.
    """
    parts = _split(text)
    if parts is None or parts.scheme not in ("http", "https") or not _is_plain(text):
        raise ValueError(ALLOWED)
    if "@" in parts.netloc:
        raise ValueError(NO_CREDENTIALS)
    if parts.port == 0 or not _is_host(parts.hostname or "", bracketed="[" in parts.netloc):
        raise ValueError(ALLOWED)
    return text.rstrip("/")


def _split(text: str) -> SplitResult | None:
    """None for brackets that do not close, and for a port that is none."""
    try:
        parts = urlsplit(text)
        _ = parts.port
    except ValueError:
        return None
    return parts


def _is_plain(text: str) -> bool:
    """An empty query is one too; of line breaks `urlsplit` says nothing."""
    return text.isprintable() and not set(" ?#") & set(text)


def is_http(text: str) -> bool:
    """Whether a text is an http or https URL with a host, and where it names a port, with one that can be."""
    parts = _split(text)
    return parts is not None and parts.scheme in ("http", "https") and bool(parts.hostname)


def _is_ip(host: str) -> bool:
    try:
        return bool(ipaddress.ip_address(host))
    except ValueError:
        return False


def _is_host(host: str, *, bracketed: bool) -> bool:
    try:
        if bracketed:
            return ipaddress.ip_address(host).version == 6
        # A host is sent with its port, as one name: together they must not be too long either.
        (host + _LONGEST_PORT).encode("idna")
        return _NAME.fullmatch(host.encode("idna").decode()) is not None
    except ValueError:  # of which Unicode's errors are a kind
        return False
