"""A town whose controller is a real process, between a real BIND and a real HAProxy.

BIND is asked every 20 ms and HAProxy every 50 ms, all the while; neither may ever show nothing.
"""

import asyncio
import json
import os
import signal
import sys
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
import dns.name
import dns.rdatatype
import yaml

from gslb.config.load import load
from gslb.demo.run import write_files
from gslb.demo.town import ADDRESSES, Town, open_town
from gslb.wire.dns import look_up
from gslb.wiring.parts import KINDS
from tests import history
from tests.backends import nameservers
from tests.backends.test_haproxy import Running as Balancer
from tests.backends.test_haproxy import haproxy
from tests.e2e.processes import Controller
from tests.e2e.test_balancer import SERVERS, drained
from tests.e2e.watch import Watch, watching
from tests.kit import free_port, until

SERVICE = "quay.geo.test"
ALL = frozenset(ADDRESSES)
ZONE = "geo.test"
TIMING = {
    "quiet": "1s",
    "quiet_max": "1s",
    "rise": 3,
    "block": "0s",
    "ramp": [100],
    "resync": "2s",
    "dwell_path": "2s",
    "timeout": "3s",
}
LIMITS = {"min_sites": 1, "changes_per_hour": 0, "change_window": "1s"}
RESTART_S = 60.0
"""A process of Python, its start and its first looks, on a machine that has much else to do."""


@dataclass
class Gslb(Controller):
    """`python -m gslb run` with a file that arms its fault points, and its API by the socket."""

    prefix: tuple[str, ...] = ()
    """A command that runs it."""

    async def start(self) -> None:
        env = os.environ | {"GSLB_FAULT_POINT": str(self.armed)}
        run = (*self.prefix, sys.executable, "-m", "gslb", "run", "--config", str(self.config))
        run = (*run, "--history", str(self.folder / "history"))
        with (self.folder / "log").open("a") as log:
            self.process = await asyncio.create_subprocess_exec(*run, stderr=log, env=env)
        self.starts += 1

    @property
    def armed(self) -> Path:
        return self.folder / "armed"

    def arm(self, point: str, kind: str, passes: int = 1) -> None:
        """Break it at the next passing of this point (whole at once: it may look at any time)."""
        new = self.folder / "armed.new"
        new.write_text(f"{point} {kind} {passes}")
        new.rename(self.armed)

    @property
    def ended(self) -> bool:
        return self.process is not None and self.process.returncode is not None

    @property
    def stopped(self) -> bool:
        """Is it held by SIGSTOP?"""
        assert self.process is not None
        stat = Path(f"/proc/{self.process.pid}/stat").read_text()
        return stat.rpartition(")")[2].split()[0] == "T"

    async def goes_on(self) -> None:
        assert self.process is not None
        self.process.send_signal(signal.SIGCONT)

    async def ask(self, method: str, path: str, **body: Any) -> tuple[int, dict[str, Any]]:
        """By the socket. OSError and aiohttp's errors when nobody answers there."""
        connector = aiohttp.UnixConnector(str(self.folder / "demo.sock"))
        timeout = aiohttp.ClientTimeout(total=10)
        async with (
            aiohttp.ClientSession(connector=connector, timeout=timeout) as client,
            client.request(method, f"http://gslb{path}", json=body or None) as said,
        ):
            text = await said.text()
            return said.status, json.loads(text) if text[:1] == "{" else {"text": text}

    async def get(self, path: str) -> dict[str, Any]:
        """What a GET says; nothing while nobody answers."""
        try:
            return (await self.ask("GET", path))[1]
        except (OSError, aiohttp.ClientError, TimeoutError):
            return {}

    async def tell(self, method: str, path: str, **body: Any) -> bool:
        """A word, and whether it was taken."""
        try:
            return (await self.ask(method, path, **body))[0] < 300
        except (OSError, aiohttp.ClientError, TimeoutError):
            return False

    async def drain(self, site: str) -> bool:
        body = {"action": "drain", "for": "2h", "reason": "disk swap CHG-4711"}
        return await self.tell("PUT", f"/v1/sites/{site}/override", **body)

    async def undrain(self, site: str) -> bool:
        return await self.tell("DELETE", f"/v1/sites/{site}/override")

    async def held_by_people(self) -> set[str]:
        """The sites of which a person's word is in force."""
        sites = (await self.get("/v1/sites")).get("sites", [])
        return {s["name"] for s in sites if any(o.startswith("person") for o in s["owners"])}

    async def paused(self) -> bool:
        return (await self.get("/v1/overview")).get("paused") is not None

    async def metric(self, name: str) -> float | None:
        """The first sample of this name; None while nobody answers."""
        for line in (await self.get("/metrics")).get("text", "").splitlines():
            if line.startswith(name) and line[len(name)] in " {":
                return float(line.rpartition(" ")[2])
        return None

    async def gslb(self, *arguments: str) -> tuple[int, str]:
        """The command line: its exit code, and all that it printed."""
        env = os.environ | {"GSLB_URL": f"unix:{self.folder}/demo.sock"}
        pipe = asyncio.subprocess.PIPE
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "gslb", *arguments, env=env, stdout=pipe, stderr=pipe
        )
        out, err = await process.communicate()
        return int(process.returncode or 0), out.decode() + err.decode()


@dataclass(kw_only=True)
class Place:
    """All that runs."""

    folder: Path
    town: Town
    bind: nameservers.Running
    balancer: Balancer | None
    watch: Watch
    services: Sequence[str]
    controllers: list[Gslb] = field(default_factory=list)
    edge: list[frozenset[str]] = field(default_factory=list)
    """The sites that HAProxy sends to, each time that this changed."""

    def controller(self, name: str, **changes: Any) -> Gslb:
        """One more, with a folder for its configuration and its state; not started yet."""
        folder = self.folder / name
        folder.mkdir(exist_ok=True)
        config = configuration(folder, self, changes)
        one = Gslb(config, folder)
        self.controllers.append(one)
        return one

    def violations(self) -> list[history.Violation]:
        """What the judge finds in the history of the controllers and of what BIND served."""
        lines = history.read([one.folder / "history" for one in self.controllers])
        topology = load(self.controllers[0].config, KINDS).topology
        lines.append({"t": 0.0, "who": "test", "kind": "config", **history.config_of(topology)})
        since_s = time.clock_gettime(time.CLOCK_BOOTTIME) - time.monotonic()
        told = {"who": "poller", "kind": "served", "server": "bind", "service": SERVICE}
        for at_s, sites in self.watch.seen:
            targets = sorted(ADDRESSES[site] for site in sites) or None
            lines.append({"t": at_s + since_s, **told, "targets": targets})
        return history.judge(lines)

    async def serves(self, sites: frozenset[str], limit_s: float = RESTART_S) -> None:
        """Until BIND and HAProxy serve exactly these, under each name."""

        def so() -> bool:
            return self.watch.now == sites and (not self.edge or self.edge[-1] == sites)

        tails = lambda: "\n".join(c.log[-2500:] for c in self.controllers)  # noqa: E731
        try:
            async with asyncio.timeout(limit_s):
                await until(so, 2 * limit_s, 0.05)
                await until(lambda: self._each_name(sites), 2 * limit_s, 0.2)
        except TimeoutError:
            seen = f"DNS {set(self.watch.now)}, HAProxy {self.edge[-1:]}"
            raise AssertionError(f"not {set(sites)} but {seen}\n{tails()}") from None

    async def _each_name(self, sites: frozenset[str]) -> bool:
        wanted = {ADDRESSES[site] for site in sites}
        names = [dns.name.from_text(name) for name in self.services]
        looks = (look_up(name, dns.rdatatype.A, self.bind.server, 5.0) for name in names)
        found = await asyncio.gather(*looks)
        return all({rdata.to_text() for rdata in records} == wanted for records in found)

    async def generation(self) -> list[str]:
        """`v1 CLUSTER INSTANCE EPOCH SEQ`."""
        records = await self.watch.records(f"_gslb.{ZONE}", "TXT")
        return records[0].strip('"').split() if records else []

    async def serial(self) -> int:
        """Of the zone: BIND raises it with each update that changes something."""
        (soa,) = await self.watch.records(ZONE, "SOA")
        return int(soa.split()[2])


def configuration(folder: Path, place: Place, changes: dict[str, Any]) -> Path:
    """The demo's, with BIND and HAProxy and their services in it."""
    listen = f"127.0.0.1:{free_port()}"
    path = write_files(folder, place.town, listen, "fake-token", {})
    whole = yaml.safe_load(path.read_text())
    key = folder / "ddns.key"
    key.touch(mode=0o600)
    key.write_text(nameservers.KEY)
    quay = whole["services"].popitem()[1]
    dns = {"kind": "rfc2136", "server": str(place.bind.server), "zone": ZONE}
    whole |= {
        "cluster": "adversary",
        "timing": TIMING,
        "limits": LIMITS,
        "services": {SERVICE: quay}
        | {
            name: {"probe_as": SERVICE, "via": ["dns"]}
            for name in place.services
            if name != SERVICE
        },
        "backends": {"dns": dns | {"tsig": f"file:{key}"}},
    }
    if place.balancer is not None:
        edge = {"kind": "haproxy", "server": place.balancer.socket, "backend": "registry"}
        whole["backends"]["edge"] = edge | {"servers": SERVERS}
    path.write_text(yaml.safe_dump(whole | changes, sort_keys=False))
    return path


@asynccontextmanager
async def opened(
    folder: Path, *, services: Sequence[str] = (SERVICE,), balanced: bool = False
) -> AsyncIterator[Place]:
    """All but the controllers; at the end, nothing may ever have been empty."""
    async with AsyncExitStack() as stack:
        town = await stack.enter_async_context(open_town(pace=0.1))
        names = [name.removesuffix(f".{ZONE}") for name in services]
        bind = await stack.enter_async_context(nameservers.bind(folder / "bind", names))
        balancer = None
        if balanced:
            balancer = await stack.enter_async_context(haproxy(folder / "edge"))
            await balancer.say("set server registry/us-1 state ready")
        seen = watching(bind.server.host, bind.server.port, SERVICE, ADDRESSES)
        watch = await stack.enter_async_context(seen)
        place = Place(
            folder=folder, town=town, bind=bind, balancer=balancer, watch=watch, services=services
        )
        stack.push_async_callback(_killed, place.controllers)
        if balancer is not None:
            await stack.enter_async_context(_watched(balancer, place.edge))
        yield place


async def _killed(controllers: list[Gslb]) -> None:
    for one in controllers:
        await one.kill()


@asynccontextmanager
async def _watched(balancer: Balancer, story: list[frozenset[str]]) -> AsyncIterator[None]:
    over = asyncio.Event()

    async def look() -> None:
        while not over.is_set():
            now = ALL - await drained(balancer)
            if not story or story[-1] != now:
                story.append(now)
            await asyncio.sleep(0.05)

    task = asyncio.ensure_future(look())
    try:
        yield
    finally:
        over.set()
        await task
    assert all(story), f"HAProxy had nobody to send to: {story}"
