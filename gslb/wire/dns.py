"""One DNS exchange that reads the rcode itself, and the TSIG key file of BIND.

Servers refuse in four shapes (a plain rcode, a TSIG error, an unsigned answer, a closed
connection); here they become one: a WireError whose cause says what is wrong.
"""

import asyncio
import base64
import errno
import ipaddress
import re
import socket
from collections.abc import Sequence
from dataclasses import dataclass

import dns.exception
import dns.flags
import dns.message
import dns.name
import dns.rcode
import dns.rdata
import dns.rdatatype
import dns.tsig

from gslb.domain.errors import WireError
from gslb.domain.health import Cause
from gslb.domain.traffic import Generation
from gslb.wire.points import point

UDP_SENDS = 3
_OURS = {errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.EADDRNOTAVAIL, errno.ENETUNREACH}
_ALGORITHMS = {"hmac-sha224", "hmac-sha256", "hmac-sha384", "hmac-sha512"}
_KEY = re.compile(r'key\s+"?([^"\s{]+)"?\s*\{(.*?)\}\s*;', re.DOTALL)
_FIELD = re.compile(r'(algorithm|secret)\s+"?([^";\s]+)"?\s*;')


class Unsent(WireError):
    """No connection: nothing was sent, so another server may be tried."""


@dataclass(frozen=True, slots=True)
class Server:
    """Where a name server listens."""

    host: str
    port: int = 53

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


@dataclass(frozen=True, slots=True)
class Reply:
    """What came back. `verified`: its TSIG was made with our key, for this very request."""

    message: dns.message.Message
    verified: bool

    @property
    def rcode(self) -> dns.rcode.Rcode:
        return self.message.rcode()


def parse_server(text: str, default: int = 53) -> Server:
    """`HOST`, `HOST:PORT`, `IPV6` or `[IPV6]:PORT`. Raises ValueError with a sentence."""
    bracketed = re.fullmatch(r"\[([^\]]+)\](?::(\d+))?", text)
    plain = re.fullmatch(r"([^\s:/\[\]]+)(?::(\d+))?", text)
    if bracketed:
        host, port = str(ipaddress.IPv6Address(bracketed[1])), bracketed[2]
    elif plain:
        host, port = str(parse_name(plain[1])).rstrip("."), plain[2]
    else:
        try:
            host, port = str(ipaddress.IPv6Address(text)), None
        except ValueError:
            raise ValueError(f"{text!r} is not HOST[:PORT] or [IPV6]:PORT") from None
    number = int(port) if port else default
    if not 0 < number < 65_536:
        raise ValueError(f"{text!r}: port {number} is not within 1..65535")
    return Server(host, number)


def parse_name(text: str) -> dns.name.Name:
    """A DNS name, absolute. Raises ValueError with a sentence."""
    try:
        return dns.name.from_text(text)
    except dns.exception.DNSException as error:
        raise ValueError(f"{text!r} is no DNS name: {error}") from error


def canonical(value: str) -> str:
    """An address or a host name in the one way it is compared."""
    try:
        return str(ipaddress.ip_address(value))
    except ValueError:
        return value.rstrip(".").lower()


def kind_of(value: str) -> str:
    """The type of the record that says `value`: A, AAAA or CNAME."""
    try:
        return "A" if ipaddress.ip_address(value).version == 4 else "AAAA"
    except ValueError:
        return "CNAME"


def generation_of(texts: Sequence[str]) -> tuple[Generation | None, str | None]:
    """What the records at the generation's name hold, or what else stands in its place."""
    try:
        (text,) = texts  # ValueError: none, or several
        return Generation.parse(text), None
    except ValueError:
        return None, " / ".join(sorted(texts)) or None


def parse_key(text: str) -> dns.tsig.Key:
    """A TSIG key as BIND writes it. Raises ValueError; never names the secret (RFC 8945)."""
    found = _KEY.findall(re.sub(r"(?m)^\s*(//|#).*$", "", text))
    if len(found) != 1:
        raise ValueError(
            f'one key "NAME" {{ algorithm …; secret "…"; }}; is needed, not {len(found)}'
        )
    name, body = found[0]
    fields = dict(_FIELD.findall(body))
    algorithm, secret = fields.get("algorithm", "").lower().rstrip("."), fields.get("secret", "")
    if algorithm not in _ALGORITHMS:
        raise ValueError(
            f"key {name}: algorithm {algorithm or '(none)'} is not taken (hmac-md5 and sha1 are"
            " too weak); make a key with: tsig-keygen -a hmac-sha256"
        )
    try:
        octets = base64.b64decode(secret, validate=True)
    except ValueError:
        raise ValueError(f"key {name}: the secret is not base64") from None
    if not octets:
        raise ValueError(f"key {name}: the secret is missing")
    return dns.tsig.Key(name, octets, algorithm)


async def exchange(
    query: dns.message.Message, server: Server, timeout_s: float, *, tcp: bool = False
) -> Reply:
    """Ask once; over UDP unless `tcp` or the answer does not fit. All of it within `timeout_s`.

    Raises WireError: `denied` when the server will not have us or our key, `clock` for BADTIME,
    `mismatch` for what is no answer to the query, else how the way there failed. Any other rcode
    is the caller's to judge.
    """
    wire = query.to_wire()
    try:
        async with asyncio.timeout(timeout_s):
            raw = await (_by_tcp if tcp else _by_udp)(wire, server, timeout_s)
            reply = _parse(query, raw, server)
            if reply.flags & dns.flags.TC and not tcp:
                raw = await _by_tcp(wire, server, timeout_s)
                reply = _parse(query, raw, server)
    except TimeoutError:
        raise WireError(Cause.TIMEOUT, f"{server}: no answer within {timeout_s:g} s") from None
    except (OSError, EOFError) as error:
        raise WireError(_cause(error), f"{server}: {_why(error)}") from error
    _turned_away(reply, server)
    return Reply(reply, _verified(query, raw, reply, server))


async def look_up(
    name: dns.name.Name, kind: dns.rdatatype.RdataType, server: Server, timeout_s: float
) -> list[dns.rdata.Rdata]:
    """What an authoritative server has at `name`: of `kind`, or the CNAME in its place (RFC 1034).

    Raises WireError; `mismatch` when it answers with an error or without authority.
    """
    query = dns.message.make_query(name, kind, flags=0)
    reply = await exchange(query, server, timeout_s)
    if reply.rcode not in (dns.rcode.NOERROR, dns.rcode.NXDOMAIN):
        text = f"{server} says {dns.rcode.to_text(reply.rcode)} of {name}"
        raise WireError(Cause.MISMATCH, text)
    if not reply.message.flags & dns.flags.AA:
        raise WireError(Cause.MISMATCH, f"{server} is not authoritative for {name}")
    kinds = (kind, dns.rdatatype.CNAME)
    sets = (s for s in reply.message.answer if s.name == name and s.rdtype in kinds)
    return [rdata for found in sets for rdata in found]


def _cause(error: Exception) -> Cause:
    if isinstance(error, socket.gaierror):
        return Cause.UNRESOLVED
    if isinstance(error, OSError) and error.errno in _OURS:
        return Cause.LOCAL
    return Cause.REFUSED


def _why(error: Exception) -> str:
    if isinstance(error, EOFError):
        return "the connection was closed before an answer"
    return (isinstance(error, OSError) and error.strerror) or str(error) or type(error).__name__


async def _by_tcp(wire: bytes, server: Server, timeout_s: float) -> bytes:
    try:
        # Half of the time for the connection, so that another server can still be tried.
        async with asyncio.timeout(timeout_s / 2):
            reader, writer = await asyncio.open_connection(server.host, server.port)
    except TimeoutError:
        text = f"{server}: no connection within {timeout_s / 2:g} s"
        raise Unsent(Cause.TIMEOUT, text) from None
    except OSError as error:
        raise Unsent(_cause(error), f"{server}: {_why(error)}") from error
    try:
        writer.write(len(wire).to_bytes(2, "big") + wire)
        await writer.drain()
        await point("after_send")
        size = int.from_bytes(await reader.readexactly(2), "big")
        return await reader.readexactly(size)
    finally:
        writer.transport.abort()


class _Datagrams(asyncio.DatagramProtocol):
    """What arrives from the one peer that the socket is connected to."""

    def __init__(self) -> None:
        self.arrived: asyncio.Queue[bytes | Exception] = asyncio.Queue()

    def datagram_received(self, data: bytes, addr: object) -> None:
        self.arrived.put_nowait(data)

    def error_received(self, exc: Exception) -> None:
        self.arrived.put_nowait(exc)


async def _by_udp(wire: bytes, server: Server, timeout_s: float) -> bytes:
    loop = asyncio.get_running_loop()
    transport, peer = await loop.create_datagram_endpoint(
        _Datagrams, remote_addr=(server.host, server.port)
    )
    try:
        for _ in range(UDP_SENDS):  # A datagram may be lost; the outer deadline ends the last wait.
            transport.sendto(wire)
            try:
                async with asyncio.timeout(timeout_s / UDP_SENDS):
                    while True:
                        got = await peer.arrived.get()
                        if isinstance(got, Exception):
                            raise got
                        if got[:2] == wire[:2]:  # Else a late answer, or a guess at our port.
                            return got
            except TimeoutError:
                continue
        raise TimeoutError
    finally:
        transport.abort()


def _parse(query: dns.message.Message, raw: bytes, server: Server) -> dns.message.Message:
    """Read an answer without judging its signature: a refusal often has none, or a bad one."""
    try:
        reply = dns.message.from_wire(raw, keyring=False)
    except dns.exception.DNSException as error:
        text = f"{server}: not a DNS answer: {type(error).__name__}"
        raise WireError(Cause.MISMATCH, text) from error
    if not query.is_response(reply):
        raise WireError(Cause.MISMATCH, f"{server}: the answer is to another question")
    return reply


def _turned_away(reply: dns.message.Message, server: Server) -> None:
    tsig = dns.rcode.Rcode(reply.tsig_error or 0)
    if tsig == dns.rcode.BADTIME:
        text = f"{server} says BADTIME: its clock and ours differ by more than 300 s"
        raise WireError(Cause.CLOCK, text)
    if tsig:
        text = f"{server} says {dns.rcode.to_text(tsig, tsig=True)} of our TSIG key"
        raise WireError(Cause.DENIED, text)
    if reply.rcode() in (dns.rcode.REFUSED, dns.rcode.NOTAUTH):
        text = f"{server} says {dns.rcode.to_text(reply.rcode())}"
        raise WireError(Cause.DENIED, text)


def _verified(
    query: dns.message.Message, raw: bytes, reply: dns.message.Message, server: Server
) -> bool:
    if not (query.had_tsig and reply.had_tsig):
        return False
    try:
        dns.message.from_wire(raw, keyring=query.keyring, request_mac=query.mac)
    except dns.tsig.BadTime as error:
        raise WireError(Cause.CLOCK, f"{server}: the answer was signed at another time") from error
    except (dns.exception.DNSException, dns.message.UnknownTSIGKey) as error:
        text = f"{server}: the answer's signature is not by our key"
        raise WireError(Cause.MISMATCH, text) from error
    return True
