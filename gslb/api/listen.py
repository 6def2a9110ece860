"""Where the API is reached: TCP, a unix socket, and the listener of the metrics."""

import asyncio
import logging
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError

from gslb.api.face import ApiSettings
from gslb.api.server import METRICS_APP

log = logging.getLogger("gslb.api.http")
# Who sends what is no HTTP is answered 400, and must not fill the log with a traceback each time.
NOISE = (HttpProcessingError, web.RequestPayloadError)
log.addFilter(lambda record: not (record.exc_info and isinstance(record.exc_info[1], NOISE)))


@dataclass(frozen=True, slots=True, kw_only=True)
class Served:
    """Where it listens now."""

    url: str | None
    socket: Path | None
    metrics_url: str | None


@asynccontextmanager
async def serve(app: web.Application, settings: ApiSettings) -> AsyncIterator[Served]:
    """Listen as `settings` say (port 0: a free one). Raises OSError when it cannot."""
    loop, tls = asyncio.get_running_loop(), _tls(settings)
    url = metrics_url = None
    async with AsyncExitStack() as stack:
        door = await _door(stack, app, settings)
        if settings.listen:
            server = await loop.create_server(door(settings.connections), *settings.listen, ssl=tls)
            url = _url(stack, server, "https" if tls else "http")
        if settings.socket:
            # A few places more, so that a crowd on TCP does not lock the host's own people out.
            local = door(settings.connections + 20)
            unix = await loop.create_unix_server(local, str(settings.socket))
            stack.callback(unix.close)
            stack.callback(settings.socket.unlink, missing_ok=True)
            settings.socket.chmod(0o660)
        if settings.metrics:
            plain = await _door(stack, app[METRICS_APP], settings)
            server = await loop.create_server(plain(settings.connections), *settings.metrics)
            metrics_url = _url(stack, server, "http")
        yield Served(url=url, socket=settings.socket, metrics_url=metrics_url)


async def _door(
    stack: AsyncExitStack, app: web.Application, settings: ApiSettings
) -> Callable[[int], Callable[[], asyncio.BaseProtocol]]:
    # aiohttp closes what has no complete request after this time, a new connection as an idle one.
    runner = web.AppRunner(
        app, keepalive_timeout=settings.idle_s, shutdown_timeout=2.0, access_log=None, logger=log
    )
    await runner.setup()
    stack.push_async_callback(runner.cleanup)
    server = runner.server
    assert server is not None
    return lambda most: lambda: server() if len(server.connections) < most else _Shut()


class _Shut(asyncio.Protocol):
    """Too many connections: closed at once."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        transport.close()


def _url(stack: AsyncExitStack, server: asyncio.Server, scheme: str) -> str:
    stack.callback(server.close)
    host, port = server.sockets[0].getsockname()[:2]
    return f"{scheme}://[{host}]:{port}" if ":" in host else f"{scheme}://{host}:{port}"


def _tls(settings: ApiSettings) -> ssl.SSLContext | None:
    if settings.tls_cert is None:
        return None
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.load_cert_chain(settings.tls_cert, settings.tls_key)
    if settings.tls_clients:
        context.load_verify_locations(settings.tls_clients)
        context.verify_mode = ssl.CERT_REQUIRED
    return context
