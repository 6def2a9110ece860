"""The whole controller in this process, between imitated sites and one real backend."""

import asyncio
import contextlib
import shutil
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from gslb.demo.run import write_files
from gslb.demo.town import ADDRESSES, Town, open_town
from gslb.domain.health import SiteVerdict
from gslb.domain.messages import Event, EventKind
from gslb.domain.world import BackendView
from gslb.wiring import House, open_house
from tests.adversary.place import LIMITS, TIMING, Gslb
from tests.kit import free_port, need, until

ALL = frozenset(ADDRESSES)
SERVICE = "alias.geo.test"


@dataclass
class Balancer:
    """A HAProxy that can be ended and started again; a server a site, under the site's name."""

    folder: Path
    process: asyncio.subprocess.Process | None = None

    @property
    def socket(self) -> str:
        return f"{self.folder}/admin.sock"

    def configure(self, level: str = "admin", backend: str = "registry") -> None:
        servers = "".join(f"  server {site} {at}:9\n" for site, at in ADDRESSES.items())
        (self.folder / "h.cfg").write_text(
            f"global\n  nbthread 1\n  stats socket {self.socket} mode 600 level {level}\n"
            "defaults\n  mode http\n"
            "  timeout connect 1s\n  timeout client 5s\n  timeout server 5s\n"
            f"frontend f\n  bind unix@{self.folder}/front.sock\n  default_backend {backend}\n"
            f"backend {backend}\n{servers}"
        )

    async def start(self) -> None:
        with (self.folder / "log").open("ab") as log:
            command = (need("haproxy"), "-db", "-f", f"{self.folder}/h.cfg")
            self.process = await asyncio.create_subprocess_exec(*command, stdout=log, stderr=log)
        await until(self.lives, limit_s=10)

    async def kill(self) -> None:
        """kill -9."""
        assert self.process
        if self.process.returncode is None:
            self.process.kill()
        await self.process.wait()

    async def say(self, line: str) -> str:
        reader, writer = await asyncio.open_unix_connection(self.socket)
        try:
            writer.write(line.encode() + b"\n")
            return (await asyncio.wait_for(reader.read(), 2)).decode()
        finally:
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()

    async def lives(self) -> bool:
        try:
            return "Pid" in await self.say("show info")
        except (OSError, TimeoutError):
            return False

    async def serves(self) -> frozenset[str] | None:
        """The sites that it sends anybody to; None while it says nothing."""
        try:
            said = await self.say("show servers state")
        except (OSError, TimeoutError):
            return None
        lines = [line.split() for line in said.splitlines()[2:] if line]
        # srv_name, srv_admin_state (drained or in maintenance), srv_uweight
        open_ = [row[3] for row in lines if not int(row[6]) & 0x39 and row[7] != "0"]
        return frozenset(open_) if lines else None


@dataclass(kw_only=True)
class Place:
    """All that runs."""

    folder: Path
    town: Town
    house: House
    events: list[Event] = field(default_factory=list)
    shown: Callable[[], frozenset[str]]
    """What clients are served now."""

    @property
    def word(self) -> Gslb:
        """The API by its socket."""
        return Gslb(self.folder / "demo.yml", self.folder)

    @property
    def view(self) -> BackendView:
        (view,) = self.house.controller.world.backends.values()
        return view

    @property
    def all_up(self) -> bool:
        states = self.house.controller.world.states.values()
        return len(states) == len(ALL) and all(s.verdict == SiteVerdict.UP for s in states)

    def said(self, kind: EventKind, *words: str) -> bool:
        return any(e.kind == kind and all(w in e.text for w in words) for e in self.events)

    async def serves(self, *out: str, limit_s: float = 90.0) -> None:
        """Until exactly all sites but these are served, and the controller knows it."""
        wanted = ALL - set(out)

        def so() -> bool:
            served = (self.view.served or {}).get(SERVICE) if self.view.known else None
            return self.shown() == wanted and served is not None and set(served.sites) == wanted

        try:
            async with asyncio.timeout(limit_s):
                await until(so, 2 * limit_s, 0.02)
        except TimeoutError:
            tail = "\n".join(e.text for e in self.events[-15:])
            raise AssertionError(f"{set(self.shown())} and not {set(wanted)}:\n{tail}") from None

    async def drain(self, site: str) -> None:
        body = {"action": "drain", "for": "2h", "reason": "disk swap CHG-4711"}
        status, said = await self.word.ask("PUT", f"/v1/sites/{site}/override", **body)
        assert status < 300, said

    async def undrain(self, site: str) -> None:
        assert await self.word.undrain(site)


def made(folder: Path) -> None:
    folder.mkdir()


@asynccontextmanager
async def opened(
    folder: Path, backend: dict[str, Any], shown: Callable[[], frozenset[str]]
) -> AsyncIterator[Place]:
    """The controller with `backend` alone, once every site is up and served by it."""
    made(folder)
    async with AsyncExitStack() as stack:
        town = await stack.enter_async_context(open_town(pace=0.1))
        path = write_files(folder, town, f"127.0.0.1:{free_port()}", "fake-token", {})
        whole = yaml.safe_load(path.read_text())
        quay = whole["services"].popitem()[1]
        whole |= {"timing": TIMING, "limits": LIMITS, "services": {SERVICE: quay}}
        path.write_text(yaml.safe_dump(whole | {"backends": {"b": backend}}, sort_keys=False))
        house = await stack.enter_async_context(open_house(path, log=False))
        place = Place(folder=folder, town=town, house=house, shown=shown)
        task = asyncio.ensure_future(_listen(place))
        try:
            await until(lambda: place.all_up, 60, what="every site to be up")
            await place.serves()
            yield place
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)


async def _listen(place: Place) -> None:
    while True:
        async for told in place.house.controller.told():
            place.events.extend(told.events)


@asynccontextmanager
async def balancing(folder: Path) -> AsyncIterator[tuple[Balancer, list[frozenset[str]]]]:
    """A HAProxy, and the story of the sites that it sent to; never may it be nobody."""
    made(folder)
    one = Balancer(folder)
    one.configure()
    await one.start()
    story: list[frozenset[str]] = []
    over = asyncio.Event()

    async def look() -> None:
        while not over.is_set():
            now = await one.serves()
            if now is not None and (not story or story[-1] != now):
                story.append(now)
            await asyncio.sleep(0.05)

    task = asyncio.ensure_future(look())
    try:
        yield one, story
    finally:
        await one.kill()
        over.set()
        await task
    assert all(story), f"HAProxy had nobody to send to: {story}"


def keep(folder: Path) -> Path:
    """What a server holds now, so that it can be put back: the server must not run."""
    kept = folder.with_name(f"{folder.name}.kept")
    # But its sockets, which cannot be copied.
    shutil.copytree(folder, kept, ignore=shutil.ignore_patterns("*.sock", "*controlsocket"))
    return kept


def put_back(kept: Path, folder: Path) -> None:
    shutil.rmtree(folder)
    shutil.copytree(kept, folder)
