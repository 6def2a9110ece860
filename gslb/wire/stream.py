"""One connection, with TLS where it is asked for: for probes that want no more than that."""

import asyncio
import errno
import os
import socket
import ssl
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from gslb.domain.errors import WireError
from gslb.domain.health import Cause, Finding, Seen
from gslb.wire import Wire
from gslb.wire.guard import Closed
from gslb.wire.http import OURS
from gslb.wire.tls import client_context


@dataclass(frozen=True, slots=True)
class Once:
    """A probe that is one question: what it finds, or the way in which it was not answered."""

    name: str
    """Of what it finds when it is not answered."""
    ask: Callable[[], Awaitable[tuple[Finding, ...]]]
    timeout_s: float
    """Of everything."""

    async def run(self) -> Seen:
        loop = asyncio.get_running_loop()
        begun_s = loop.time()
        try:
            async with asyncio.timeout(self.timeout_s):
                first, *more = await self.ask()
            return Seen(findings=(replace(first, latency_s=loop.time() - begun_s), *more))
        except WireError as error:
            cause, text = Cause(error.cause), str(error)
        except (OSError, UnicodeError) as error:  # TimeoutError is one of them
            cause, text = _cause(error), _text(error, self.timeout_s)
        return Seen(findings=(Finding.of(self.name, 0.0, cause, text),))


async def connect(
    wire: Wire, host: str, port: int, tls: tuple[Path | None, str] | None = None
) -> Mapping[str, Any]:
    """Connect and hang up; with `tls` (CA file, server's name) gives its certificate, as `ssl`.

    Raises WireError and OSError.
    """
    loop = asyncio.get_running_loop()
    address = await wire.http.locate(host)
    secure = {"ssl": client_context(tls[0]), "server_hostname": tls[1]} if tls else {}
    transport, _ = await loop.create_connection(asyncio.Protocol, address, port, **secure)  # type: ignore[call-overload]  # both or neither
    try:
        return transport.get_extra_info("peercert") or {}
    finally:
        transport.abort()


def _cause(error: Exception) -> Cause:
    match error:
        case Closed() | UnicodeError():
            return Cause.LOCAL
        case socket.gaierror():
            return Cause.UNRESOLVED
        case ssl.SSLError():
            return Cause.TLS
        case TimeoutError() | OSError(errno=errno.ETIMEDOUT):
            return Cause.TIMEOUT
        case OSError(errno=code) if code in OURS:
            return Cause.LOCAL
        case _:
            return Cause.REFUSED


def _text(error: Exception, timeout_s: float) -> str:
    match error:
        case TimeoutError(errno=None):
            return f"no answer after {timeout_s:g} s"
        case ssl.SSLCertVerificationError():
            return f"the certificate is not taken: {error.verify_message}"
        case OSError(errno=int(code)) if code > 0 and not isinstance(error, ssl.SSLError):
            return os.strerror(code).lower()
        case _:
            return " ".join(str(error).split())[:300] or "the connection was closed"
