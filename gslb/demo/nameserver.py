"""An authoritative nameserver for one zone: it answers, and takes fenced updates (RFC 2136)."""

import asyncio
import base64
import contextlib
import socket
from collections import defaultdict
from collections.abc import Mapping
from typing import Any, Self

import dns.update
import dns.zone
from dns.rcode import Rcode
from dns.rdatatype import RdataType

Records = dict[tuple[dns.name.Name, RdataType], dns.rdataset.Rdataset]
ANY, NONE = dns.rdataclass.ANY, dns.rdataclass.NONE
SOA, NS, CNAME = RdataType.SOA, RdataType.NS, RdataType.CNAME


class Nameserver(asyncio.DatagramProtocol):
    """Serves `zone` (its text; SOA and NS needed) over UDP and TCP on one port.

    `keys` are TSIG keys (hmac-sha256) with their secrets in base64; `may` names for a key the
    names that it may change, and all below them; a key without an entry may change all.
    """

    def __init__(
        self,
        origin: str,
        zone: str,
        keys: Mapping[str, str] | None = None,
        *,
        may: Mapping[str, tuple[str, ...]] | None = None,
        address: str = "127.0.0.1",
        port: int = 0,
    ) -> None:
        self.origin = dns.name.from_text(origin)
        self.address, self.port = address, port
        text = dns.zone.from_text(zone, self.origin, relativize=False)
        self.records: Records = {(n, r.rdtype): r for n, r in text.iterate_rdatasets()}
        named = {dns.name.from_text(key): secret for key, secret in (keys or {}).items()}
        self._keys = {
            name: dns.tsig.Key(name, base64.b64decode(secret), dns.tsig.HMAC_SHA256)
            for name, secret in named.items()
        }
        self._may = {
            dns.name.from_text(key): tuple(map(dns.name.from_text, names))
            for key, names in (may or {}).items()
        }
        self._open = contextlib.AsyncExitStack()

    def answers(self, name: str, rdtype: str = "A") -> tuple[str, ...]:
        """What is served now, without asking: the records' texts, sorted."""
        found = self.records.get((dns.name.from_text(name), RdataType.make(rdtype)), ())
        return tuple(sorted(str(rdata) for rdata in found))

    @property
    def url(self) -> str:
        return f"dns://{self.address}:{self.port}"

    @property
    def serial(self) -> int:
        return int(self._soa()[0].serial)

    async def __aenter__(self) -> Self:
        tcp, udp = pair_of_sockets(self.address, self.port)
        self.port = tcp.getsockname()[1]
        listening = await asyncio.start_server(self._talk, sock=tcp)
        self._open.callback(listening.close)
        loop = asyncio.get_running_loop()
        transport, _ = await loop.create_datagram_endpoint(lambda: self, sock=udp)
        self._open.callback(transport.close)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._open.aclose()

    def connection_made(self, transport: Any) -> None:
        self._transport = transport

    def datagram_received(self, data: bytes, addr: Any) -> None:
        if (said := self.answer(data)) is not None:
            self._transport.sendto(said, addr)

    async def _talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with (
            contextlib.suppress(asyncio.IncompleteReadError, ConnectionError),
            contextlib.closing(writer),
        ):
            while True:
                wire = await reader.readexactly(int.from_bytes(await reader.readexactly(2)))
                if (said := self.answer(wire, 65_535)) is None:
                    return
                writer.write(len(said).to_bytes(2) + said)
                await writer.drain()

    def answer(self, wire: bytes, most: int = 512) -> bytes | None:
        """The answer to one message in at most `most` bytes (more, if it says so by EDNS)."""
        try:
            message = dns.message.from_wire(wire, keyring=self._keys, one_rr_per_rrset=True)
        except (dns.message.UnknownTSIGKey, dns.tsig.BadSignature, dns.tsig.BadTime):
            return bare(wire, Rcode.NOTAUTH)
        except dns.exception.DNSException:
            return bare(wire, Rcode.FORMERR)
        if message.flags & dns.flags.QR:
            return None
        response: Any = dns.message.make_response(message, our_payload=1232)
        if isinstance(message, dns.update.UpdateMessage):
            response.set_rcode(self.update(message))
        elif message.opcode() != dns.opcode.QUERY or len(message.question) != 1:
            response.set_rcode(Rcode.NOTIMP)
        else:
            self._query(message.question[0], response)
        most = most if most > 512 else max(512, min(message.payload, 1232))
        try:
            return bytes(response.to_wire(max_size=most))
        except dns.exception.TooBig:
            for section in (response.answer, response.authority, response.additional):
                section.clear()
            response.flags |= dns.flags.TC
            return bytes(response.to_wire())

    def _query(self, question: dns.rrset.RRset, response: dns.message.Message) -> None:
        name, rdtype = question.name, question.rdtype
        if not name.is_subdomain(self.origin):
            response.set_rcode(Rcode.REFUSED)
            return
        response.flags |= dns.flags.AA
        hops = 0  # CNAMEs inside the zone are followed, a ring of them only so far
        while rdtype != CNAME and hops < 8 and (alias := self.records.get((name, CNAME))):
            response.answer.append(dns.rrset.from_rdata_list(name, alias.ttl, list(alias)))
            name, hops = alias[0].target, hops + 1
        if found := self.records.get((name, rdtype)):
            response.answer.append(dns.rrset.from_rdata_list(name, found.ttl, list(found)))
        elif name.is_subdomain(self.origin):
            soa = self._soa()
            response.authority.append(dns.rrset.from_rdata_list(self.origin, soa.ttl, list(soa)))
            # Names above others exist though they hold nothing (RFC 4592 2.2.2).
            if not any(n.is_subdomain(name) for n, _ in self.records):
                response.set_rcode(Rcode.NXDOMAIN)

    def update(self, message: dns.update.UpdateMessage) -> Rcode:
        """RFC 2136, 3.1–3.4: all or nothing; the serial grows if anything changed."""
        if not message.zone or message.zone[0].name != self.origin:
            return Rcode.NOTAUTH
        if not message.had_tsig:
            return Rcode.REFUSED
        named = {r.name for r in [*message.prerequisite, *message.update]}
        if not all(name.is_subdomain(self.origin) for name in named):
            return Rcode.NOTZONE
        may = self._may.get(message.keyname or self.origin, (self.origin,))
        if any(not any(r.name.is_subdomain(m) for m in may) for r in message.update):
            return Rcode.REFUSED
        if rcode := self._unmet(message.prerequisite):
            return rcode
        after = dict(self.records)
        for rrset in message.update:
            change(after, rrset, self.origin)
        ttls = {key: rdataset.ttl for key, rdataset in self.records.items()}
        if after != self.records or any(r.ttl != ttls[key] for key, r in after.items()):
            soa = self._soa()
            again = soa[0].replace(serial=soa[0].serial % 0xFFFFFFFF + 1)
            self.records = {**after, (self.origin, SOA): dns.rdataset.from_rdata(soa.ttl, again)}
        return Rcode.NOERROR

    def _unmet(self, prerequisites: list[dns.rrset.RRset]) -> Rcode:
        exact: dict[tuple[dns.name.Name, RdataType], set[Any]] = defaultdict(set)
        for r in prerequisites:
            in_use = any(n == r.name for n, _ in self.records)
            there = in_use if r.rdtype == RdataType.ANY else (r.name, r.rdtype) in self.records
            if r.deleting is None:
                exact[r.name, r.rdtype].update(r)
            elif there != (r.deleting == ANY):
                if r.rdtype == RdataType.ANY:
                    return Rcode.NXDOMAIN if r.deleting == ANY else Rcode.YXDOMAIN
                return Rcode.NXRRSET if r.deleting == ANY else Rcode.YXRRSET
        if any(set(self.records.get(at, ())) != wanted for at, wanted in exact.items()):
            return Rcode.NXRRSET
        return Rcode.NOERROR

    def _soa(self) -> dns.rdataset.Rdataset:
        return self.records[self.origin, SOA]


def change(records: Records, rrset: dns.rrset.RRset, origin: dns.name.Name) -> None:
    """One line of the update section, applied to `records` (RFC 2136, section 3.4.2)."""
    name, rdtype = rrset.name, rrset.rdtype
    kept = {SOA, NS} if name == origin else set()
    if rdtype == SOA:
        return  # it is the server's own: its serial grows by itself
    if rrset.deleting == ANY:
        for key in [k for k in records if k[0] == name and rdtype in (k[1], RdataType.ANY)]:
            if key[1] not in kept:
                del records[key]
        return
    old = records.get((name, rdtype), dns.rdataset.Rdataset(rrset.rdclass, rdtype))
    ttl, left = rrset.ttl, list(old)
    if rrset.deleting == NONE:
        ttl, left = old.ttl, [rdata for rdata in old if rdata not in rrset]
        if rdtype in kept and not left:
            return
    elif any((t == CNAME) != (rdtype == CNAME) for n, t in records if n == name):
        return  # a CNAME stands alone: what would stand beside it is ignored
    else:
        left = list(rrset) if rdtype == CNAME else [*old, *rrset]
    records.pop((name, rdtype), None)
    if left:
        records[name, rdtype] = dns.rdataset.from_rdata_list(ttl, left)


def bare(wire: bytes, rcode: Rcode) -> bytes | None:
    """A header only: for what could not be read or whose signature is not right."""
    if len(wire) < 12 or wire[2] & 0x80:
        return None
    return wire[:2] + bytes([wire[2] & 0x79 | 0x80, int(rcode)]) + bytes(8)


def pair_of_sockets(address: str, port: int) -> tuple[socket.socket, socket.socket]:
    """A TCP and a UDP socket on the same port (0: a free one). Raises OSError."""
    while True:
        tcp, udp = socket.create_server((address, port)), socket.socket(type=socket.SOCK_DGRAM)
        try:
            udp.bind(tcp.getsockname())
            return tcp, udp
        except OSError:
            tcp.close()
            udp.close()
            if port:
                raise
