"""Real backends under one face: how each is configured, broken, and changed by hand."""

import asyncio
import base64
import signal
import sqlite3
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import dns.message
import dns.update

from gslb.backends.haproxy import Haproxy
from gslb.backends.haproxy import Settings as HaproxySettings
from gslb.backends.rfc2136 import Rfc2136
from gslb.backends.rfc2136 import Settings as Rfc2136Settings
from gslb.demo.town import ADDRESSES
from gslb.domain.traffic import Pool
from gslb.ports import Backend
from gslb.wire.dns import exchange, parse_key
from tests.backends.contract import pool
from tests.backends.nameservers import KEY, SCHEMAS, SECRET, Running, bind, knot, powerdns
from tests.e2e.watch import watching
from tests.kit import until
from tests.real.places import SERVICE, Balancer, balancing, keep, put_back

OTHER_SECRET = base64.b64encode(b"other-secret-other-secret-fake-se").decode()
STRANGER = "192.0.2.66"
FILES = {"bind": "named.conf", "knot": "k.conf", "powerdns": "pdns.conf"}
PUTS = {
    ("bind", "refusing"): ("recursion no;", "recursion no; allow-query { none; };"),
    ("bind", "read-only"): ("update-policy {", "update-policy { deny gslb zonesub ANY;"),
    ("bind", "wrong-key"): (SECRET, OTHER_SECRET),
    ("knot", "refusing"): ("domain: geo.test", "domain: other.test"),
    ("knot", "read-only"): ("    acl: [upd]\n", ""),
    ("knot", "wrong-key"): (SECRET, OTHER_SECRET),
    ("powerdns", "refusing"): ("p.db", "empty.db"),
    ("powerdns", "read-only"): ("dnsupdate=yes", "dnsupdate=no"),
    ("powerdns", "wrong-key"): ("p.db", "other.db"),
}
LASTING = ("killed", "hung", "refusing", "wrong-key", "read-only")


class Server(ABC):
    """A real server that a backend of gslb writes to."""

    config: dict[str, Any]
    pool: Pool
    shown: Callable[[], frozenset[str]]
    kept: Path | None = None

    @abstractmethod
    def adapter(self) -> Backend: ...
    @property
    @abstractmethod
    def pid(self) -> int: ...
    @abstractmethod
    def signal(self, number: int) -> None: ...
    @abstractmethod
    async def kill(self) -> None: ...
    @abstractmethod
    async def start(self) -> None: ...
    @abstractmethod
    async def break_(self, fault: str) -> None:
        """Refusing, wrong-key or read-only."""

    @abstractmethod
    async def mend(self) -> None: ...
    @abstractmethod
    async def edit(self) -> None:
        """A person's own change of what we steer."""

    @asynccontextmanager
    async def broken(self, fault: str) -> AsyncIterator[None]:
        """One of LASTING, as long as the block runs."""
        match fault:
            case "killed":
                await self.kill()
            case "hung":
                self.signal(signal.SIGSTOP)
                await until(lambda: is_stopped(self.pid), 10, what="every thread has stopped")
            case _:
                await self.break_(fault)
        try:
            yield
        finally:
            match fault:
                case "killed":
                    await self.start()
                case "hung":
                    self.signal(signal.SIGCONT)
                case _:
                    await self.mend()


def is_stopped(pid: int) -> bool:
    """A signal takes a moment, and until then a thread may still answer."""
    states = [
        path.read_text().rpartition(")")[2] for path in Path(f"/proc/{pid}/task").glob("*/stat")
    ]
    return all(state.split()[0] == "T" for state in states)


class Nameserver(Server):
    """BIND, Knot or PowerDNS."""

    def __init__(self, kind: str, running: Running, key: Path) -> None:
        self.kind, self.running = kind, running
        self.config = {
            "kind": "rfc2136",
            "server": str(running.server),
            "zone": "geo.test",
            "tsig": f"file:{key}",
            "timeout_s": 1,
        }
        self.pool = pool(SERVICE, dict(ADDRESSES))
        self._before = ""

    def adapter(self) -> Backend:
        settings = {k: v for k, v in self.config.items() if k != "kind"}
        return Rfc2136(Rfc2136Settings.model_validate(settings))

    @property
    def pid(self) -> int:
        return self.running.process.pid

    def signal(self, number: int) -> None:
        self.running.process.send_signal(number)

    async def kill(self) -> None:
        await self.running.kill()

    async def start(self) -> None:
        await self.running.start()

    async def break_(self, fault: str) -> None:
        if self.kind == "powerdns":
            await asyncio.to_thread(self._other_bases)
        put = PUTS[self.kind, fault]
        self._before = await self.running.rewrite(put, file=FILES[self.kind])

    def _other_bases(self) -> None:
        folder = self.running.folder
        whole = sqlite3.connect(folder / "p.db")
        other = sqlite3.connect(folder / "other.db")
        whole.backup(other)
        other.execute("update tsigkeys set secret = ?", (OTHER_SECRET,))
        empty = sqlite3.connect(folder / "empty.db")
        empty.executescript(next(filter(Path.exists, map(Path, SCHEMAS))).read_text())
        for base in (whole, other, empty):
            base.commit()
            base.close()

    async def mend(self) -> None:
        await self.running.restart(FILES[self.kind], self._before)

    async def edit(self) -> None:
        message = dns.update.UpdateMessage("geo.test")
        message.replace("alias", 5, "A", STRANGER)
        await self._send(message)

    async def forget_generation(self) -> None:
        message = dns.update.UpdateMessage("geo.test")
        message.delete("_gslb", "TXT")
        await self._send(message)

    async def _send(self, message: dns.update.UpdateMessage) -> None:
        message.use_tsig(parse_key(KEY))
        reply = await exchange(message, self.running.server, 5, tcp=True)
        assert reply.rcode == 0

    async def generation(self) -> str:
        query = dns.message.make_query("_gslb.geo.test", "TXT", flags=0)
        reply = await exchange(query, self.running.server, 5)
        return "".join(str(rdata) for rrset in reply.message.answer for rdata in rrset)

    async def yesterday(self) -> None:
        """Keep what it holds now."""
        await self.kill()
        self.kept = await asyncio.to_thread(keep, self.running.folder)
        await self.start()

    async def restore(self) -> None:
        """Bring back what was kept."""
        assert self.kept
        await self.kill()
        await asyncio.to_thread(put_back, self.kept, self.running.folder)
        await self.start()


class Edge(Server):
    """HAProxy."""

    def __init__(self, one: Balancer, story: list[frozenset[str]]) -> None:
        self.one = one
        self.config = {
            "kind": "haproxy",
            "server": one.socket,
            "backend": "registry",
            "servers": {site: site for site in ADDRESSES},
            "timeout_s": 1,
            "resync": "2s",
        }
        self.pool = pool(SERVICE, {site: site for site in ADDRESSES})
        self.shown = lambda: story[-1] if story else frozenset()

    def adapter(self) -> Backend:
        settings = {k: v for k, v in self.config.items() if k not in ("kind", "resync")}
        return Haproxy(HaproxySettings.model_validate(settings))

    @property
    def pid(self) -> int:
        assert self.one.process
        return self.one.process.pid

    def signal(self, number: int) -> None:
        assert self.one.process
        self.one.process.send_signal(number)

    async def kill(self) -> None:
        await self.one.kill()

    async def start(self) -> None:
        await self.one.start()

    async def break_(self, fault: str) -> None:
        changed = {"refusing": {"backend": "other"}, "read-only": {"level": "user"}}[fault]
        await self._again(**changed)

    async def mend(self) -> None:
        await self._again()

    async def _again(self, **changed: str) -> None:
        await self.kill()
        self.one.configure(**changed)
        await self.start()

    async def edit(self) -> None:
        await self.one.say("set server registry/us state drain")


@asynccontextmanager
async def serving(kind: str, folder: Path) -> AsyncIterator[Server]:
    """A running server, watched: what it answers is never empty."""
    if kind == "haproxy":
        async with balancing(folder / "edge") as (one, story):
            yield Edge(one, story)
        return
    start = {"bind": bind, "knot": knot, "powerdns": powerdns}[kind]
    key = folder / "ddns.key"
    key.touch(mode=0o600)
    key.write_text(KEY)
    sites = {**ADDRESSES, "stranger": STRANGER}
    async with start(folder / "server") as running:
        server = Nameserver(kind, running, key)
        at = running.server
        async with watching(at.host, at.port, SERVICE, sites) as watch:
            server.shown = lambda: watch.now
            yield server
