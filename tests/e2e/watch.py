"""What clients see: the nameserver is asked every 20 ms, and by `dig`."""

import asyncio
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import dns.asyncquery
import dns.exception
import dns.message
import dns.rcode

from tests.kit import need, until

EVERY_S = 0.02


@dataclass
class Watch:
    """Each answer of one name that differed from the one before, and when it came."""

    server: str
    port: int
    name: str
    sites: Mapping[str, str]
    """Address: site."""
    seen: list[tuple[float, frozenset[str]]] = field(default_factory=list)
    asked: int = 0
    over: bool = False

    @property
    def now(self) -> frozenset[str]:
        return self.seen[-1][1] if self.seen else frozenset()

    @property
    def story(self) -> list[frozenset[str]]:
        """The answers in their order."""
        return [answer for _, answer in self.seen]

    def forget(self) -> None:
        """Begin the story anew with what is served now."""
        del self.seen[:-1]

    async def run(self) -> None:
        """Until it is over (Python 3.11's wait_for, below dnspython, may swallow a cancellation).

        No answer at all is no empty answer: it is asked again.
        """
        while not self.over:
            query = dns.message.make_query(self.name, "A")
            try:
                said = await dns.asyncquery.udp(query, self.server, timeout=1.0, port=self.port)
            except (OSError, dns.exception.DNSException):
                await asyncio.sleep(EVERY_S)
                continue
            if said.rcode() not in (dns.rcode.NOERROR, dns.rcode.NXDOMAIN):
                await asyncio.sleep(EVERY_S)
                continue  # such as REFUSED: resolvers ask the next server
            self.asked += 1
            addresses = [str(r) for rrset in said.answer for r in rrset]
            answer = frozenset(self.sites[a] for a in addresses)
            if not self.seen or answer != self.now:
                self.seen.append((time.monotonic(), answer))
            await asyncio.sleep(EVERY_S)

    async def dig(self) -> set[str]:
        """The sites that the real dig is told of."""
        return {self.sites[line] for line in await self.records(self.name, "A")}

    async def records(self, name: str, rdtype: str) -> list[str]:
        """What the real dig prints, line by line."""
        command = (need("dig"), "+short", "+tries=1", f"@{self.server}", "-p", str(self.port))
        pipe = asyncio.subprocess.PIPE
        process = await asyncio.create_subprocess_exec(*command, name, rdtype, stdout=pipe)
        said, _ = await process.communicate()
        return said.decode().splitlines()


@asynccontextmanager
async def watching(
    server: str, port: int, name: str, sites: Mapping[str, str]
) -> AsyncIterator[Watch]:
    """Ask from now on; at the end, no answer may have been empty since the first that was not."""
    watch = Watch(server, port, name, {address: site for site, address in sites.items()})
    task = asyncio.ensure_future(watch.run())
    try:
        await until(lambda: watch.seen or task.done(), 10, what="the nameserver answers")
        yield watch
    finally:
        watch.over = True
        await task
    filled = [bool(answer) for answer in watch.story]
    assert all(filled[filled.index(True) :]), f"an empty answer: {watch.story}"
