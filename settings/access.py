"""`[callers]`: the table of the file from which the guard of each server is made."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator, Field

from settings.callers import Guard, host_name, network_of, origin_of
from settings.kinds import Section


def _host(text: str) -> str:
    bare = text.removeprefix("[").removesuffix("]")
    name = host_name(f"[{bare}]" if ":" in bare else bare)
    if name is None:
        raise ValueError("allowed: a host name or an IP address, without a port")
    return name


def _network(text: str) -> str:
    return str(network_of(text))


Host = Annotated[str, AfterValidator(_host)]
Origin = Annotated[str, AfterValidator(origin_of)]
Proxy = Annotated[str, AfterValidator(_network)]
LIST = Field(strict=False)  # TOML knows arrays alone


class Callers(Section):
    hosts: Annotated[tuple[Host, ...], LIST] = Field(
        (), description="names by which proxy, exporter and console are addressed, besides their own"
    )
    origins: Annotated[tuple[Origin, ...], LIST] = Field(
        (), description="pages that may use the accounts through the proxy, by their origin"
    )
    proxies: Annotated[tuple[Proxy, ...], LIST] = Field(
        (), description="addresses of the reverse proxies before proxy, exporter and console"
    )

    def guard(self, listen_host: str, *, exposed: bool, pages: bool = False) -> Guard:
        """The rule of a server.

        Args:
            listen_host: where it listens; a name is its own.
            exposed: other machines can reach it.
            pages: it may be used by pages of other servers, where they are configured.
        """
        own = host_name(listen_host)
        return Guard(
            frozenset(self.hosts) | ({own} if own else frozenset()),
            frozenset(self.origins) if pages else frozenset(),
            tuple(map(network_of, self.proxies)),
            exposed,
        )
