"""How services listen, and the bearer token."""

from __future__ import annotations

import pytest
from aiohttp import web

from serving.service import authorized, listening
from settings.errors import SettingsError

HERE = "127.0.0.1"


async def port_of(host: str, port: int = 0) -> int:
    async with listening(web.Application(), "exporter", host, port, shutdown_seconds=1) as found:
        return found


async def test_a_taken_port_is_named() -> None:
    async with listening(web.Application(), "console", HERE, 0, shutdown_seconds=1) as port:
        problem = rf"^exporter\.listen_addr: cannot listen on 127\.0\.0\.1:{port}: Address already in use$"
        with pytest.raises(SettingsError, match=problem):
            await port_of(HERE, port)


async def test_an_address_of_another_machine_is_named() -> None:
    with pytest.raises(SettingsError, match=r"cannot listen on 192\.0\.2\.1:0: Cannot assign"):
        await port_of("192.0.2.1")


async def test_a_host_without_an_address_is_named() -> None:
    with pytest.raises(SettingsError, match=r"cannot listen on nowhere\.invalid:0: "):
        await port_of("nowhere.invalid")


async def test_the_port_is_free_afterwards() -> None:
    port = await port_of(HERE)
    assert await port_of(HERE, port) == port


@pytest.mark.parametrize("header", ["", "Bearer", "Bearer ", "Basic t", "t", "Bearer T", "Bearer \udcff"])
def test_another_token_is_refused(header: str) -> None:
    assert not authorized(header, "t")


@pytest.mark.parametrize("header", ["Bearer t\u00e9", "bearer t\u00e9", "Bearer  t\u00e9 "])
def test_the_token_is_accepted(header: str) -> None:
    assert authorized(header, "t\u00e9")
    assert authorized("", None)
