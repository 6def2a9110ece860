"""One HTTP client behind a small face, so that its engine can be changed without touching a probe.

What a target may do to us is bounded: a total deadline that ends the work, capped bodies and
headers, no redirects unless asked for, no proxies from the environment, no cookies, no unpacking,
and no address that is closed (`gslb.wire.guard` looks at the one that is connected to).

A connection that is lost before the whole answer is there is `refused`, not `mismatch`: who cuts
our way to a target leaves exactly that behind, and a cut way must never count as local evidence
(evidence.md 2 and 4.2). An answer that is there and is no HTTP is `mismatch`.
"""

import asyncio
import errno
import os
import ssl
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from types import SimpleNamespace

import aiohttp
from yarl import URL

from gslb.domain.errors import WireError
from gslb.domain.health import Cause
from gslb.wire.guard import Closed, Guard, Resolver
from gslb.wire.tls import client_context

BODY_MAX = 65_536
KEEPALIVE_S = 15.0
CONNECTIONS_MAX = 1_000
IDEMPOTENT = frozenset({"GET", "HEAD", "PUT", "DELETE", "OPTIONS"})
REDIRECTS = frozenset({301, 302, 303, 307, 308})
OURS = frozenset(
    {
        *(errno.ENETUNREACH, errno.EADDRNOTAVAIL, errno.EACCES, errno.EPERM),
        *(errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM),
    }
)
"""Errors that say that we could not even try."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """One question. `address` is where to connect when that is not the URL's host, which is the
    SNI, the certificate's name and the Host header all the same."""

    url: str
    method: str = "GET"
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes | None = None
    timeout_s: float
    """Of everything: name, connection, TLS, headers, body, redirects."""
    address: str | None = None
    tls: ssl.SSLContext | None = None
    """None: the system's trust."""
    follow: int = 0
    """How many redirects to follow."""
    body_max: int = BODY_MAX
    fresh: bool = False
    """On a new connection, as a new client would come."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """One answer. Header names are in lower case; `truncated`: the body went on."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    truncated: bool = False
    took_s: float = 0.0


class NoAnswer(WireError):
    """The connection stands and no whole answer came in time; its cause is `timeout`."""


class Lost(aiohttp.ClientError):
    """The connection was closed or reset before the answer."""


class Http:
    """The client. Raises WireError and nothing else."""

    def __init__(
        self,
        kept: aiohttp.ClientSession,
        fresh: aiohttp.ClientSession,
        guard: Guard,
        resolver: Resolver,
    ) -> None:
        self._kept = kept
        self._fresh = fresh
        self._guard = guard
        self._resolver = resolver

    async def locate(self, host: str) -> str:
        """The first open address of `host`. OSError if it has none, Closed if none is open."""
        return (await self._resolver.resolve(host))[0]["host"]

    async def ask(self, request: Request) -> Reply:
        """Ask, and follow as many redirects as the request says."""
        loop = asyncio.get_running_loop()
        begun_s = loop.time()
        stage = SimpleNamespace(connected=False, reused=False)
        try:
            async with asyncio.timeout(request.timeout_s):
                reply = await self._hop(request, stage)
                for _ in range(request.follow):
                    if reply.status not in REDIRECTS or "location" not in reply.headers:
                        break
                    request = _next(request, reply)
                    reply = await self._hop(request, stage)
                return replace(reply, took_s=loop.time() - begun_s)
        except TimeoutError as error:
            kind, what = (NoAnswer, "answer") if stage.connected else (WireError, "connection")
            raise kind(Cause.TIMEOUT, f"no {what} after {request.timeout_s:g} s") from error
        except (aiohttp.ClientError, OSError, ValueError) as error:
            raise WireError(_cause(error), _text(error)) from error

    async def _hop(self, request: Request, stage: SimpleNamespace) -> Reply:
        """One question; once more, on a new connection, if a kept one had gone stale."""
        if not request.fresh:
            try:
                return await self._exchange(self._kept, request, stage)
            except Lost:
                if not stage.reused or request.method not in IDEMPOTENT:
                    raise
        return await self._exchange(self._fresh, request, stage)

    async def _exchange(
        self, session: aiohttp.ClientSession, request: Request, stage: SimpleNamespace
    ) -> Reply:
        stage.connected = stage.reused = False
        url = URL(request.url, encoded=True)
        if url.scheme not in ("http", "https") or not url.raw_host:
            raise ValueError(f"{request.url}: not an http or https URL")
        where = (request.address or url.raw_host).strip("[]")
        self._guard.admit(where)
        secure = url.scheme == "https"
        async with session.request(
            request.method,
            url.with_host(where) if request.address else url,
            headers={
                "Accept-Encoding": "identity",
                **request.headers,
                "Host": url.host_port_subcomponent or "",
            },
            data=request.body,
            allow_redirects=False,
            ssl=(request.tls or client_context(None)) if secure else True,
            server_hostname=url.raw_host if secure else None,
            trace_request_ctx=stage,
        ) as response:
            body = bytearray()
            async for chunk in response.content.iter_any():
                body += chunk
                if len(body) > request.body_max:
                    response.close()
                    break
            return Reply(
                status=response.status,
                headers={name.lower(): value for name, value in response.headers.items()},
                body=bytes(body[: request.body_max]),
                truncated=len(body) > request.body_max,
            )


@asynccontextmanager
async def open_http(probe_networks: Sequence[str] = ()) -> AsyncIterator[Http]:
    """The client of the house. A kept connection belongs to one address, name and trust."""
    guard = Guard(probe_networks)
    resolver = Resolver(guard)
    keeping = aiohttp.TCPConnector(
        resolver=resolver,
        use_dns_cache=False,
        limit=CONNECTIONS_MAX,
        keepalive_timeout=KEEPALIVE_S,
    )
    closing = aiohttp.TCPConnector(
        resolver=resolver, use_dns_cache=False, limit=CONNECTIONS_MAX, force_close=True
    )
    try:
        async with _session(keeping) as kept, _session(closing) as fresh:
            yield Http(kept, fresh, guard, resolver)
    finally:
        await resolver.close()


def _session(connector: aiohttp.TCPConnector) -> aiohttp.ClientSession:
    stages = aiohttp.TraceConfig()
    stages.on_connection_create_end.append(_on_created)
    stages.on_connection_reuseconn.append(_on_reused)
    return aiohttp.ClientSession(
        connector=connector,
        timeout=aiohttp.ClientTimeout(),  # none of the engine's own: the deadline is outside
        cookie_jar=aiohttp.DummyCookieJar(),
        auto_decompress=False,
        trust_env=False,
        headers={"User-Agent": "gslb"},
        skip_auto_headers=("Content-Type", "Accept"),
        trace_configs=[stages],
        middlewares=(_once,),
    )


async def _on_created(_session: aiohttp.ClientSession, context: SimpleNamespace, _: object) -> None:
    context.trace_request_ctx.connected = True


async def _on_reused(_session: aiohttp.ClientSession, context: SimpleNamespace, _: object) -> None:
    context.trace_request_ctx.connected = context.trace_request_ctx.reused = True


async def _once(
    request: aiohttp.ClientRequest, engine: aiohttp.ClientHandlerType
) -> aiohttp.ClientResponse:
    """The engine asks again by itself when a connection is lost, even a new one: not here."""
    try:
        return await engine(request)
    except (aiohttp.ClientConnectorError, aiohttp.ClientSSLError):
        raise
    except (aiohttp.ClientOSError, aiohttp.ServerDisconnectedError) as error:
        raise Lost("the connection was closed without an answer") from error


def _next(request: Request, reply: Reply) -> Request:
    """Where a redirect leads. What was meant for one host is not told to another."""
    here = URL(request.url, encoded=True)
    there = here.join(URL(reply.headers["location"], encoded=True)).with_user(None)
    same = there.origin() == here.origin()
    keep = reply.status in (307, 308) or request.method in ("GET", "HEAD")
    return replace(
        request,
        url=str(there),
        method=request.method if keep else "GET",
        body=request.body if keep else None,
        headers=request.headers if same else {},
        address=request.address if same else None,
    )


def _cause(error: Exception) -> Cause:
    match error:
        case Closed() | aiohttp.ClientConnectorDNSError(os_error=Closed()):
            return Cause.LOCAL
        case aiohttp.ClientConnectorDNSError():
            return Cause.UNRESOLVED
        case aiohttp.ClientSSLError() | ssl.SSLError():
            return Cause.TLS
        case OSError(errno=code) if code in OURS:
            return Cause.LOCAL
        case OSError(errno=errno.ETIMEDOUT):
            return Cause.TIMEOUT
        case OSError() | Lost() | aiohttp.ClientPayloadError():
            return Cause.REFUSED
        case _:
            return Cause.MISMATCH


def _text(error: Exception) -> str:
    """One line, without the engine's own words where there are better ones."""
    if isinstance(error, aiohttp.ClientConnectorError):
        text = error.os_error.strerror or str(error.os_error)
        if text.startswith("Connect call failed"):  # asyncio's words, whatever the reason was
            reason = os.strerror(error.os_error.errno or 0).lower()
            text = f"{reason} at {error.host}:{error.port}"
    elif isinstance(error, aiohttp.ClientPayloadError):
        text = "the connection was closed within the answer"
    elif isinstance(error, aiohttp.ClientResponseError):
        text = f"no HTTP: {error.message}"
    else:
        text = str(error) or type(error).__name__
    return " ".join(text.split())[:300]
