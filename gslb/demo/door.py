"""An HTTP listener that can be broken as a machine breaks: at the socket, before any answer."""

import asyncio
import socket
import ssl
from collections.abc import Awaitable, Callable
from typing import Self

from aiohttp import web

Answer = Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]

FAULTS = frozenset({"refuse", "hang", "drip", "slow"})
DRIP_EVERY_S = 0.1


class Breakable:
    """A part that can be broken in the ways of `faults`; `then` carries out what follows."""

    def __init__(
        self, name: str, faults: frozenset[str], then: Callable[[], Awaitable[None]] | None = None
    ) -> None:
        self.name, self.faults, self.fault, self._then = name, faults, "", then

    async def set_fault(self, fault: str | None) -> None:
        """Break it so; None mends. Raises ValueError for a fault that it cannot have."""
        if fault and fault not in self.faults:
            raise ValueError(f"{self.name} has no fault {fault}: {', '.join(sorted(self.faults))}")
        self.fault = fault or ""
        if self._then:
            await self._then()


class Door:
    """Listens on `address`:`port` (0: a free one, kept for life) and lets `answer` speak.

    `refuse` closes the socket and all kept connections; `hang` accepts and never answers, nor what
    was under way; `drip` sends a byte now and then and never ends; `slow` is late by `slow_s`.
    """

    def __init__(
        self,
        answer: Answer,
        address: str = "127.0.0.1",
        port: int = 0,
        *,
        tls: ssl.SSLContext | None = None,
        slow_s: float = 0.6,
    ) -> None:
        self.address, self.port, self.fault = address, port, ""
        self._answer, self._tls, self._slow_s = answer, tls, slow_s
        self._over = asyncio.Event()
        # What an asker no longer waits for is cancelled, so that a hung door keeps nothing.
        self._web = web.Server(self._serve, handler_cancellation=True)
        self._socket: socket.socket
        self._listening: asyncio.Server | None = None

    @property
    def url(self) -> str:
        return f"{'https' if self._tls else 'http'}://{self.address}:{self.port}"

    async def __aenter__(self) -> Self:
        self._bind()
        await self._listen()
        return self

    async def __aexit__(self, *_: object) -> None:
        self._close()
        self._socket.close()
        await self._web.shutdown(timeout=0.0)

    async def set_fault(self, fault: str) -> None:
        """Break it so (any of FAULTS; others and "" leave the door whole). A hang ends at once."""
        fault = fault if fault in FAULTS else ""
        if fault == self.fault:
            return
        before, self.fault = self.fault, fault
        self._over.set()
        self._over = asyncio.Event()
        if fault == "refuse":
            self._close()
            self._socket.close()
            self._bind()  # but not listening: refused by the kernel, and nobody takes the port
        elif before == "refuse":
            await self._listen()

    def _bind(self) -> None:
        self._socket = socket.socket()
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self._socket.setblocking(False)
        self._socket.bind((self.address, self.port))
        self.port = self._socket.getsockname()[1]

    async def _listen(self) -> None:
        self._listening = await asyncio.get_running_loop().create_server(
            self._web, sock=self._socket.dup(), ssl=self._tls
        )

    def _close(self) -> None:
        if self._listening:
            self._listening.close()
        self._listening = None
        for connection in self._web.connections:
            if connection.transport:
                connection.transport.abort()

    async def _serve(self, request: web.BaseRequest) -> web.StreamResponse:
        if self.fault == "slow":
            await asyncio.sleep(self._slow_s)
        if self.fault == "drip":
            await self._drip(request)
        response = web.StreamResponse()
        if self.fault != "hang":
            response = await self._answer(request)
        if self.fault == "hang":  # also what was under way when it began
            await self._over.wait()
            if request.transport:
                request.transport.abort()
        return response

    async def _drip(self, request: web.BaseRequest) -> None:
        over, unsent = self._over, b"HTTP/1.1 200 OK\r\nX-Drip: "
        while not over.is_set() and request.transport:
            request.transport.write(unsent[:1] or b".")
            unsent = unsent[1:]
            await asyncio.sleep(DRIP_EVERY_S)
        if request.transport:
            request.transport.abort()
