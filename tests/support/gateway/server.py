"""A simulated gateway on one port: the first byte of a connection says whether it is RESP or HTTP."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
from typing import Any

from tests.support.gateway import http, resp
from tests.support.gateway.access import Access
from tests.support.gateway.queue import Queue

_RESP = b"*$+-:"
_FIRST_BYTE_SECONDS = 10.0


class Gateway:
    """`async with Gateway(key=...) as gateway:` serves while the block runs; `restart` forgets the queue.

    Args:
        key: the management key; None: it has none.
        send_buffer: bytes of the kernel's buffers; small ones make a slow reader seen soon.
        old: it knows no subscriptions.
        behind_proxy: a reverse proxy for HTTP stands before it: RESP does not pass.
    """

    def __init__(
        self,
        *,
        key: str | None = "management-key-1",
        port: int = 0,
        retention: float = 60.0,
        version: str | None = "7.2.99",
        home: bool = False,
        old: bool = False,
        behind_proxy: bool = False,
        send_buffer: int | None = None,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self.port = port
        self.home = home
        self.old = old
        self.behind_proxy = behind_proxy
        self._key = key
        self._retention = retention
        self._send_buffer = send_buffer
        self._tls = tls
        self._server: asyncio.Server | None = None
        self._connections: set[asyncio.Task[None]] = set()
        self._files: list[dict[str, Any]] = []
        self._forget(version)

    @property
    def url(self) -> str:
        """Where it is."""
        return f"{'https' if self._tls else 'http'}://127.0.0.1:{self.port}"

    @property
    def is_serving(self) -> bool:
        """Whether it listens."""
        return self._server is not None and self._server.is_serving()

    async def __aenter__(self) -> Gateway:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    async def start(self) -> None:
        """Listen, on the same port as before."""
        self._server = await asyncio.start_server(
            self._accept, "127.0.0.1", self.port, ssl=self._tls, reuse_address=True
        )
        self.port = self._server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        """End at once: every connection breaks, and everything is forgotten."""
        if self._server is not None:
            self._server.close()
        for task in list(self._connections):
            task.cancel()
        await asyncio.gather(*self._connections, return_exceptions=True)
        self._forget(self.site.version)

    async def restart(self, pause: float = 0.0) -> None:
        """Stop, and start after a while."""
        await self.stop()
        await asyncio.sleep(pause)
        await self.start()

    def drop(self) -> None:
        """Break every connection; nothing is forgotten."""
        for task in list(self._connections):
            task.cancel()

    def count(self, success: int = 0, failed: int = 0) -> None:
        """Attempts that the gateway counts on its one key."""
        entry = self.site.keys.setdefault("openai", {}).setdefault("url|key", {"success": 0, "failed": 0})
        entry["success"] += success
        entry["failed"] += failed

    def _forget(self, version: str | None) -> None:
        self.queue = Queue(self._retention)
        self.access = Access(self._key)
        self.site = http.Site(self.queue, self.access, version, files=self._files, managed=not self.home)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._connections.add(task)
        try:
            await self._serve(reader, writer)
        except (asyncio.CancelledError, OSError, TimeoutError):
            pass
        finally:
            self._connections.discard(task)
            writer.transport.abort() if task.cancelling() else writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._send_buffer is not None:
            sock: socket.socket = writer.get_extra_info("socket")
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, self._send_buffer)
            writer.transport.set_write_buffer_limits(high=self._send_buffer)
        async with asyncio.timeout(_FIRST_BYTE_SECONDS):
            first = await reader.read(1)
        if first and first in _RESP:
            if self.behind_proxy:
                writer.write(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
                await writer.drain()
                return
            await resp.serve(
                reader, writer, self.queue, self.access, first, home=self.home, subscriptions=not self.old
            )
        elif first:
            await http.serve(reader, writer, self.site, first)
