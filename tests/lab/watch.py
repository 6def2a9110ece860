"""What clients are told: each server is asked every 50 ms, at its own end of any cut link."""

import asyncio
import socket
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import dns.exception
import dns.message
import dns.rcode

from tests.kit import until
from tests.lab.network import Network

EVERY_S = 0.05
WAIT_S = 0.5
OUT = 0x38
"""HAProxy's administrative states in which a server takes nobody: drain, by any of its ways."""


def boot_s() -> float:
    return time.clock_gettime(time.CLOCK_BOOTTIME)


@dataclass
class Watch:
    """Each answer of each server that differed from the one before, and when it came."""

    service: str
    addresses: Mapping[str, str]
    """Address: site."""
    write: Callable[..., None] | None = None
    """Where lines go, from `begin` on."""
    seen: dict[str, list[tuple[float, frozenset[str]]]] = field(default_factory=dict)
    over: bool = False

    def now(self, server: str) -> frozenset[str]:
        return self.seen[server][-1][1]

    def since(self, server: str, begun_s: float) -> list[frozenset[str]]:
        """What it served at `begun_s`, and all that differed since."""
        told = self.seen[server]
        first = max(n for n, (t, _) in enumerate(told) if t <= begun_s or n == 0)
        return [sites for _, sites in told[first:]]

    def _saw(self, server: str, sites: frozenset[str]) -> None:
        told = self.seen.setdefault(server, [])
        if not told or told[-1][1] != sites:
            told.append((boot_s(), sites))
            self._tell(server, sites)

    def _tell(self, server: str, sites: frozenset[str]) -> None:
        if self.write is not None:
            targets = [a for a, site in self.addresses.items() if site in sites]
            self.write("served", server=server, service=self.service, targets=targets)

    def begin(self, write: Callable[..., None]) -> None:
        """Write what is served now, and each change from now on."""
        self.write = write
        for server in self.seen:
            self._tell(server, self.now(server))

    async def ask_dns(self, server: str, net: Network, node: str) -> None:
        """No answer at all, or an error, is no empty answer: it is asked again."""
        loop = asyncio.get_running_loop()
        with net.socket(node) as ours:
            ours.setblocking(False)
            ours.connect(("127.0.0.1", 53))
            while not self.over:
                query = dns.message.make_query(self.service, "A")
                try:
                    await loop.sock_sendall(ours, query.to_wire())
                    reply = await self._reply(ours, query)
                except (OSError, dns.exception.DNSException):
                    await asyncio.sleep(EVERY_S)
                    continue
                if reply.rcode() in (dns.rcode.NOERROR, dns.rcode.NXDOMAIN):
                    found = [str(r) for rrset in reply.answer for r in rrset]
                    self._saw(server, frozenset(self.addresses[a] for a in found))
                await asyncio.sleep(EVERY_S)

    async def _reply(self, ours: socket.socket, query: dns.message.Message) -> dns.message.Message:
        """The one that belongs to `query`. Raises TimeoutError, which is an OSError."""
        loop = asyncio.get_running_loop()
        async with asyncio.timeout(WAIT_S):
            while True:
                reply = dns.message.from_wire(await loop.sock_recv(ours, 4096))
                if query.is_response(reply):
                    return reply

    async def ask_haproxy(self, server: str, place: Path, names: Mapping[str, str]) -> None:
        """`names`: its servers, and the site of each."""
        while not self.over:
            try:
                said = await asyncio.wait_for(say(place, "show servers state registry"), WAIT_S)
            except OSError:
                said = ""
            lines = said.splitlines()
            if len(lines) > 1 + len(names):
                at = lines[1].lstrip("# ").split()
                rows = [dict(zip(at, line.split(), strict=False)) for line in lines[2:] if line]
                self._saw(server, frozenset(names[r["srv_name"]] for r in rows if serves(r)))
            await asyncio.sleep(EVERY_S)


def serves(row: Mapping[str, str]) -> bool:
    return not int(row["srv_admin_state"]) & OUT and row["srv_uweight"] != "0"


async def say(place: Path, line: str) -> str:
    """One line to HAProxy's socket; what it answered."""
    reader, writer = await asyncio.open_unix_connection(str(place))
    try:
        writer.write(line.encode() + b"\n")
        return (await reader.read()).decode()
    finally:
        writer.transport.abort()


@asynccontextmanager
async def watching(watch: Watch, *asked: Coroutine[None, None, None]) -> AsyncIterator[None]:
    """Ask all from now on."""
    tasks = [asyncio.ensure_future(ask) for ask in asked]
    try:
        await until(lambda: len(watch.seen) == len(asked), 20, what="all servers answer")
        yield
    finally:
        watch.over = True
        await asyncio.gather(*tasks)
