"""One HTTP client behind a small face, so that its engine can be changed without touching a probe.

What a target may do to us is bounded: a total deadline that ends the work, capped bodies and
headers, no redirects unless asked for, no proxies from the environment, no cookies, no unpacking,
and no addresses that a probe has no business with (the guard looks at the address connected to).

A connection that is lost before the whole answer is there is `refused`, not `mismatch`: who cuts
our way to a target leaves exactly that behind, and a cut way must never count as local evidence
(evidence.md 2 and 4.2). An answer that is there and is no HTTP is `mismatch`.
"""

import asyncio
import errno
import ipaddress
import socket
import ssl
from collections.abc import AsyncIterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from types import SimpleNamespace

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult
from yarl import URL

from gslb.domain.errors import WireError
from gslb.domain.health import Cause
from gslb.wire.tls import client_context

BODY_MAX = 65_536
KEEPALIVE_S = 15.0
CONNECTIONS_MAX = 1_000
IDEMPOTENT = frozenset({"GET", "HEAD", "PUT", "DELETE", "OPTIONS"})
REDIRECTS = frozenset({301, 302, 303, 307, 308})
# Clouds hand out machine credentials at these; most are link-local, these are not.
METADATA = frozenset({"fd00:ec2::254", "100.100.100.200", "168.63.129.16", "192.0.0.192"})
NAT64 = ipaddress.ip_network("64:ff9b::/96")
OURS = frozenset(
    {
        errno.ENETUNREACH,
        errno.EADDRNOTAVAIL,
        errno.EMFILE,
        errno.ENFILE,
        errno.ENOBUFS,
        errno.ENOMEM,
        errno.EACCES,
        errno.EPERM,
    }
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """One question. `address` is where to connect, when that is not the URL's host; SNI, the
    certificate's name and the Host header are the URL's host all the same."""

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
    """One answer. Header names are in lower case; `body` is cut at `body_max` if `truncated`."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    truncated: bool
    took_s: float


class NoAnswer(WireError):
    """The connection stands and no (whole) answer came in time; its cause is `timeout`."""


class Denied(OSError):
    """An address that no probe may be sent to."""


class Lost(aiohttp.ClientError):
    """The connection was closed or reset before the answer; not tried again by the engine."""


class Http:
    """The client. Raises WireError and nothing else."""

    def __init__(
        self, kept: aiohttp.ClientSession, fresh: aiohttp.ClientSession, guard: "Guard"
    ) -> None:
        self._kept = kept
        self._fresh = fresh
        self._guard = guard

    async def ask(self, request: Request) -> Reply:
        """Ask, and follow as many redirects as the request says."""
        loop = asyncio.get_running_loop()
        begun_s = loop.time()
        stage = SimpleNamespace(connected=False, reused=False)
        try:
            async with asyncio.timeout(request.timeout_s):
                reply = await self._hop(request, stage)
                left = request.follow
                while left and reply.status in REDIRECTS and "location" in reply.headers:
                    left -= 1
                    request = _next(request, reply)
                    reply = await self._hop(request, stage)
                return replace(reply, took_s=loop.time() - begun_s)
        except TimeoutError as error:
            text = f"no answer after {request.timeout_s:g} s"
            if stage.connected:
                raise NoAnswer(Cause.TIMEOUT, text) from error
            raise WireError(
                Cause.TIMEOUT, f"no connection after {request.timeout_s:g} s"
            ) from error
        except (aiohttp.ClientError, OSError, ValueError) as error:
            cause = _cause(error)
            raise WireError(cause, _text(error)) from error

    async def _hop(self, request: Request, stage: SimpleNamespace) -> Reply:
        """One request on one connection; once more, on a new one, if a kept one had gone stale."""
        stage.connected = stage.reused = False
        if request.fresh:
            return await self._exchange(self._fresh, request, stage)
        try:
            return await self._exchange(self._kept, request, stage)
        except Lost:
            if not stage.reused or request.method not in IDEMPOTENT:
                raise
        stage.connected = stage.reused = False
        return await self._exchange(self._fresh, request, stage)

    async def _exchange(
        self, session: aiohttp.ClientSession, request: Request, stage: SimpleNamespace
    ) -> Reply:
        url = URL(request.url, encoded=True)
        if url.scheme not in ("http", "https") or not url.raw_host:
            raise ValueError(f"{request.url}: not an http or https URL")
        port = "" if url.is_default_port() else f":{url.port}"
        bare = f"[{url.raw_host}]" if ":" in url.raw_host else url.raw_host
        where = (request.address or url.raw_host).strip("[]")
        self._guard.admit(where)
        tls = (request.tls or client_context(None)) if url.scheme == "https" else True
        async with session.request(
            request.method,
            url.with_host(where) if request.address else url,
            headers={"Accept-Encoding": "identity", **request.headers, "Host": bare + port},
            data=request.body,
            allow_redirects=False,
            ssl=tls,
            server_hostname=url.raw_host if url.scheme == "https" else None,
            trace_request_ctx=stage,
        ) as response:
            headers = {name.lower(): value for name, value in response.headers.items()}
            body = bytearray()
            async for chunk in response.content.iter_any():
                body += chunk
                if len(body) > request.body_max:
                    response.close()
                    break
            return Reply(
                status=response.status,
                headers=headers,
                body=bytes(body[: request.body_max]),
                truncated=len(body) > request.body_max,
                took_s=0.0,
            )


class Guard:
    """Which addresses may be connected to: all but ours, the link's and the clouds' own."""

    def __init__(self, probe_networks: Sequence[str]) -> None:
        self._open = [ipaddress.ip_network(network) for network in probe_networks]

    def admit(self, host: str) -> None:
        """Raise Denied for an address that is closed; a name is looked at when it is resolved."""
        try:
            address = ipaddress.ip_address(host.partition("%")[0])
        except ValueError:
            return
        if isinstance(address, ipaddress.IPv6Address):
            if address.ipv4_mapped:
                address = address.ipv4_mapped
            elif address in NAT64:
                address = ipaddress.IPv4Address(address.packed[-4:])
        if any(address in network for network in self._open):
            return
        if (
            address.is_loopback
            or address.is_link_local
            or address.is_multicast
            or address.is_unspecified
            or str(address) in METADATA
        ):
            raise Denied(f"{host} is not probed; if it is meant, add its range to `probe_networks`")


class Resolver(AbstractResolver):
    """Names by the system, in threads of our own, so that a hung lookup holds up nobody else."""

    def __init__(self, guard: Guard) -> None:
        self._guard = guard
        self._threads = ThreadPoolExecutor(8, thread_name_prefix="resolve")

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        """All addresses of `host` that may be connected to; OSError if there are none."""
        found = await asyncio.get_running_loop().run_in_executor(
            self._threads, socket.getaddrinfo, host, port, family, socket.SOCK_STREAM
        )
        admitted: list[ResolveResult] = []
        denied: Denied | None = None
        for kind, _, proto, _, address in found:
            try:
                self._guard.admit(str(address[0]))
            except Denied as error:
                denied = error
                continue
            admitted.append(
                ResolveResult(
                    hostname=host,
                    host=str(address[0]),
                    port=port,
                    family=kind,
                    proto=proto,
                    flags=socket.AI_NUMERICHOST | socket.AI_NUMERICSERV,
                )
            )
        if denied and not admitted:
            raise denied
        return admitted

    async def close(self) -> None:
        """Let go of the threads; one in a lookup ends with it."""
        self._threads.shutdown(wait=False, cancel_futures=True)


@asynccontextmanager
async def open_http(probe_networks: Sequence[str] = ()) -> AsyncIterator[Http]:
    """The client of the house. Connections are kept for 15 s and belong to one address and name."""
    guard = Guard(probe_networks)
    resolver = Resolver(guard)
    kept = _session(resolver, keepalive_timeout=KEEPALIVE_S)
    fresh = _session(resolver, force_close=True)
    try:
        async with kept, fresh:
            yield Http(kept, fresh, guard)
    finally:
        await resolver.close()


def _session(resolver: Resolver, **options: float | bool) -> aiohttp.ClientSession:
    stages = aiohttp.TraceConfig()
    stages.on_connection_create_end.append(_on_created)
    stages.on_connection_reuseconn.append(_on_reused)
    connector = aiohttp.TCPConnector(
        resolver=resolver,
        use_dns_cache=False,
        limit=CONNECTIONS_MAX,
        **options,  # type: ignore[arg-type]  # each of its own type
    )
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
    """The engine asks again by itself when a connection is lost, even a new one. We decide that."""
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
        case aiohttp.ClientConnectorDNSError():
            return Cause.LOCAL if isinstance(error.os_error, Denied) else Cause.UNRESOLVED
        case Denied():
            return Cause.LOCAL
        case aiohttp.ClientSSLError() | ssl.SSLError():
            return Cause.TLS
        case Lost() | aiohttp.ClientPayloadError():
            return Cause.REFUSED
        case OSError(errno=code) if code in OURS:
            return Cause.LOCAL
        case OSError(errno=errno.ETIMEDOUT):
            return Cause.TIMEOUT
        case OSError():
            return Cause.REFUSED
        case _:
            return Cause.MISMATCH


def _text(error: Exception) -> str:
    if isinstance(error, aiohttp.ClientConnectorError):
        return error.os_error.strerror or str(error.os_error)
    if isinstance(error, aiohttp.ClientResponseError):
        return f"no HTTP: {error.message.splitlines()[0][:200]}"
    return (str(error) or type(error).__name__)[:300]
