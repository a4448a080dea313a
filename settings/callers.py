"""Who may use what a server of ours has to lend. Pure; one guard for proxy, exporter and console.

A server on this machine trusts the programs of this machine. A web page is none of them, although its
requests come from here: across sites, as text/plain to avoid the question whether they may, by WebSocket, or
under a name of the page's own that leads here (DNS rebinding). What a reverse proxy passes on comes from
elsewhere too. Browsers say truly which page asks (Origin, Sec-Fetch-Site) and by which name (Host).
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, NamedTuple

from settings.names import Names, is_only

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network
Headers = tuple[tuple[str, str], ...]
Kind = Literal["host", "origin", "site", "forwarded"]

_NAME = re.compile(r"[a-z0-9_](?:[a-z0-9_.-]{0,251}[a-z0-9_])?", re.ASCII)
_PORT = re.compile(r":[0-9]{1,5}$")
_ORIGIN = re.compile(r"([a-z][a-z0-9+.-]{0,30})://([!-.0-~]{1,253})", re.ASCII)
_DEFAULT_PORTS = {"http": ":80", "https": ":443"}
_FIELD_NAMES = re.compile(r"[\w\-, ]{0,2000}", re.ASCII)

_FORWARDED = "x-forwarded-"
_FORWARDED_TOO = frozenset({"forwarded", "x-real-ip", "x-client-ip", "true-client-ip", "cf-connecting-ip"})
_ASKED: dict[str, Kind] = {"host": "host", "origin": "origin", "sec-fetch-site": "site"}
_OWN_SITES = frozenset({"none", "same-origin"})
"""Values of Sec-Fetch-Site: asked for by the user, or by a page of the same server. `same-site` is not among
them: a page of any other port of this machine is of the same site."""

_PREFLIGHT_SECONDS = "600"
_MAX_SHOWN = 80


class Refusal(NamedTuple):
    """Why a request is not served: a code for programs, and a message that names the key to change."""

    code: str
    message: str


@dataclass(frozen=True, slots=True)
class Guard:
    """The rule of one server.

    Attributes:
        hosts: names besides its own by which it may be addressed, in lower case.
        origins: of the pages that may use it, in lower case.
        proxies: addresses of the reverse proxies that may pass requests on to it.
        exposed: other machines can reach it, by whatever they call it: any IP address, and any name without
            a dot, since nobody can have such a name lead here from the internet.
    """

    hosts: frozenset[str] = frozenset()
    origins: frozenset[str] = frozenset()
    proxies: tuple[Network, ...] = ()
    exposed: bool = False

    def refusal(self, headers: Mapping[str, str], peer: str | None, *, known: bool = False) -> Refusal | None:
        """Why a request may not use what is lent here; None where it may.

        Args:
            headers: all of them; `items` has repeated ones too.
            peer: the address that the connection comes from.
            known: the caller proved who it is with a secret that no page can have. By which name it came,
                and through whom, does not matter then.
        """
        if is_only("host", _KIND_OF, headers):  # no browser, no reverse proxy
            return None if known or self._is_ours(headers["Host"]) else _foreign_host([headers["Host"]])
        told: dict[Kind, list[str]] = {"host": [], "origin": [], "site": [], "forwarded": []}
        for kind, name, value in [(k, n, v) for n, v in headers.items() if (k := _KIND_OF(n)) is not None]:
            told[kind].append(name.lower() if kind == "forwarded" else value)
        hosts, origins, sites, forwarded = told.values()
        if not known and not (len(hosts) == 1 and self._is_ours(hosts[0])):
            return _foreign_host(hosts)
        if not all(self._may_page(origin, hosts) for origin in origins):
            return _foreign_page(origins)
        if not origins and not _OWN_SITES.issuperset(sites):
            return Refusal("origin_not_allowed", _PAGE.format(f"a {_shown(' and '.join(sites))} page"))
        if forwarded and not known and not self._is_trusted(peer):
            return Refusal("proxy_not_allowed", _PASSED_ON.format(forwarded[0], peer or "the socket"))
        return None

    def shares(self, origin: str | None) -> bool:
        """Whether a page of this origin is one of those that are configured."""
        return origin is not None and origin.lower() in self.origins

    def _is_ours(self, host: str) -> bool:
        name = host_name(host)
        if name is None:
            return False
        if name in self.hosts or name == "localhost" or name.endswith(".localhost"):
            return True
        loopback = _is_loopback(name)
        if loopback is None:
            return self.exposed and "." not in name
        return self.exposed or loopback

    def _may_page(self, origin: str, hosts: list[str]) -> bool:
        """A page may ask the server that it came from, and where it is configured."""
        if self.shares(origin):
            return True
        scheme, _, place = origin.lower().partition("://")
        return scheme in ("http", "https") and len(hosts) == 1 and place == hosts[0].lower()

    def _is_trusted(self, peer: str | None) -> bool:
        address = _address(peer or "")
        return address is not None and any(address in network for network in self.proxies)


def _kind(name: str) -> Kind | None:
    """What a header's name is for here."""
    name = name.lower()
    if name.startswith(_FORWARDED) or name in _FORWARDED_TOO:
        return "forwarded"
    return _ASKED.get(name)


_KIND_OF = Names(_kind).__getitem__

LOCAL = Guard()
"""The rule where nothing is configured, on loopback."""


def _host_name(host: str) -> str | None:
    """The name or address in a Host header, in lower case, without port and brackets; None for neither."""
    text = _PORT.sub("", host.lower()).removesuffix(".")
    if text.startswith("[") and text.endswith("]"):
        return text[1:-1] if _address(text[1:-1]) else None
    return text if _NAME.fullmatch(text) else None


host_name = Names(_host_name).__getitem__


def origin_of(text: str) -> str:
    """An origin as browsers send it, in lower case. Raises: ValueError saying what is allowed."""
    if not _ORIGIN.fullmatch(text.lower()):
        raise ValueError("allowed: SCHEME://HOST or SCHEME://HOST:PORT, as a browser names a page's origin")
    scheme, _, place = text.lower().partition("://")
    return f"{scheme}://{place.removesuffix(_DEFAULT_PORTS.get(scheme, '/'))}"


def network_of(text: str) -> Network:
    """An address or a network of them. Raises: ValueError saying what is allowed."""
    try:
        return ipaddress.ip_network(text)
    except ValueError:
        raise ValueError("allowed: an IP address or a network like 10.0.0.0/8") from None


def shared_with(origin: str) -> Headers:
    """Headers of an answer by which a configured page may read it."""
    return (
        ("Access-Control-Allow-Origin", origin),
        ("Access-Control-Expose-Headers", "*"),
        ("Vary", "Origin"),
    )


def preflight(origin: str, asked_headers: str | None) -> Headers:
    """Headers that answer a browser's question whether a configured page may ask.

    Args:
        asked_headers: Access-Control-Request-Headers.
    """
    names = asked_headers if asked_headers and _FIELD_NAMES.fullmatch(asked_headers) else "content-type"
    return (
        *shared_with(origin),
        ("Access-Control-Allow-Methods", "GET, POST, PUT, PATCH, DELETE"),
        ("Access-Control-Allow-Headers", names),
        ("Access-Control-Allow-Private-Network", "true"),
        ("Access-Control-Max-Age", _PREFLIGHT_SECONDS),
    )


_PAGE = "{} may not ask here; only pages of callers.origins may"
_PASSED_ON = "a request with {} was passed on by a reverse proxy, and {} is not in callers.proxies"


def _foreign_host(hosts: list[str]) -> Refusal:
    given = " and ".join(map(_shown, hosts)) or "missing"
    return Refusal("host_not_allowed", f"the Host is {given}, none of this server's; callers.hosts adds one")


def _foreign_page(origins: list[str]) -> Refusal:
    return Refusal("origin_not_allowed", _PAGE.format(f"a page of {' and '.join(map(_shown, origins))}"))


def _shown(text: str) -> str:
    return "".join(c if c.isascii() and c.isprintable() else "?" for c in text[:_MAX_SHOWN])


def _parsed(text: str) -> Address | None:
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return None
    return getattr(address, "ipv4_mapped", None) or address  # sockets for both versions tell it like that


_address = Names(_parsed).__getitem__


def _loops(text: str) -> bool | None:
    """None for what is no address."""
    address = _address(text)
    return None if address is None else address.is_loopback


_is_loopback = Names(_loops).__getitem__
