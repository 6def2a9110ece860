"""Configuration -> one running house: the only place where ports meet adapters."""

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import gslb
from gslb.api.listen import Served, serve
from gslb.api.server import make_app
from gslb.backends import haproxy, memory, rfc2136, route53
from gslb.config.diff import diff
from gslb.config.load import Configuration, Kinds, load
from gslb.controller.controller import Controller
from gslb.controller.documents import from_document, shifted
from gslb.controller.loop import Loop
from gslb.domain.control import Now, Owner
from gslb.domain.errors import ConfigError
from gslb.domain.messages import (
    ConfigReplaced,
    Event,
    EventKind,
    LeaseChanged,
    ProbeRan,
    ReferenceRan,
    Remembered,
)
from gslb.domain.topology import BackendName, ProbeId, ServiceName, SiteName
from gslb.domain.world import Memory, World
from gslb.ports import Adapter, Backend, Clock, Kept, Probe, Store
from gslb.probes import http, quay, s3
from gslb.reporters.log import Log
from gslb.reporters.metrics import Metrics
from gslb.stores import sqlite
from gslb.wire import Wire
from gslb.wire.http import open_http
from gslb.wire.reach import reaches
from gslb.wiring.face import api_settings
from gslb.wiring.metered import Metered

PROBES: Mapping[str, Adapter[Any, Any]] = {
    a.kind: a for a in (s3.ADAPTER, quay.ADAPTER, http.ADAPTER)
}
BACKENDS: Mapping[str, Adapter[Any, Any]] = {
    a.kind: a for a in (rfc2136.ADAPTER, haproxy.ADAPTER, route53.ADAPTER, memory.ADAPTER)
}
KINDS = Kinds(probes={k: a.settings for k, a in PROBES.items()}, backends=BACKENDS)
SENTINELS = "sentinels"


class BootClock:
    """CLOCK_BOOTTIME, which goes on while the machine is suspended; and the wall clock."""

    def now(self) -> Now:
        return Now(time.clock_gettime(time.CLOCK_BOOTTIME), time.time())


@dataclass(kw_only=True)
class House:
    """One running gslb."""

    configuration: Configuration
    controller: Controller
    served: Served
    wire: Wire
    metrics: Metrics

    @property
    def url(self) -> str:
        """Of the API over TCP."""
        return self.served.url or ""


@dataclass(kw_only=True)
class Doors:
    """The adapters that are open now, each with what closes it."""

    wire: Wire
    stack: AsyncExitStack
    probes: dict[ProbeId, tuple[object, Probe]]
    backends: dict[BackendName, tuple[object, Backend]]

    async def open(self, configuration: Configuration) -> None:
        """Open what is new or has other settings; what stays as it was stays open.

        What is no longer used is closed with the house: it holds no more than an idle connection.
        """
        probes, backends = {}, {}
        for probe, (kind, settings) in configuration.probes.items():
            known = self.probes.get(probe)
            if known is None or known[0] != settings:
                opened = PROBES[kind].open(settings, self.wire)
                known = (settings, await self.stack.enter_async_context(opened))
            probes[probe] = known
        for name, (kind, settings) in configuration.backends.items():
            held = self.backends.get(name)
            if held is None or held[0] != settings:
                door = BACKENDS[kind].open(settings, self.wire)
                held = (settings, await self.stack.enter_async_context(door))
            backends[name] = held
        self.probes, self.backends = probes, backends


@asynccontextmanager
async def open_house(
    path: Path,
    *,
    log: bool = True,
    clock: Clock | None = None,
    extra_routes: Sequence[Any] = (),
) -> AsyncIterator[House]:
    """All that `gslb run` is, until the block ends. Raises ConfigError, StoreError, OSError."""
    configuration = load(path, KINDS)
    clock = clock or BootClock()
    async with AsyncExitStack() as stack:
        client = await stack.enter_async_context(open_http(configuration.probe_networks))
        opener = sqlite.ADAPTER.open(sqlite.Settings(path=configuration.store), None)
        store = await stack.enter_async_context(opener)
        kept = await store.load()
        wire = Wire(
            http=client,
            sentinels=dict(kept.documents.get(SENTINELS, {})),
        )
        doors = Doors(wire=wire, stack=stack, probes={}, backends={})
        await doors.open(configuration)
        metrics = Metrics(clock, gslb.__version__)
        loop = _loop(configuration, clock, Metered(store, metrics.store), doors, metrics, log=log)
        await _remember(loop, configuration, kept)
        house = House(
            configuration=configuration,
            controller=Controller(loop),
            served=Served(url=None, socket=None, metrics_url=None),
            wire=wire,
            metrics=metrics,
        )
        house.controller.acknowledges = partial(_new_sentinel, house)
        house.controller.reloads_with(partial(_reload, house, doors, path))
        async with asyncio.TaskGroup() as tasks:
            running = tasks.create_task(loop.run(), name="house")
            watching = tasks.create_task(_housekeeping(house), name="housekeeping")
            settings = api_settings(house.configuration, metrics)
            app = make_app(
                house.controller,
                settings,
                metrics=lambda: metrics.expose(lambda: loop.world),
                extra_routes=extra_routes,
            )
            async with serve(app, settings) as house.served:
                yield house
            running.cancel()
            watching.cancel()


def _loop(
    configuration: Configuration,
    clock: Clock,
    store: Store,
    doors: Doors,
    metrics: Metrics,
    *,
    log: bool,
) -> Loop:
    world = World(topology=configuration.topology, started_s=clock.now().boot_s)
    loop = Loop(
        world,
        clock,
        store,
        {name: backend for name, (_, backend) in doors.backends.items()},
        reporters=[metrics, *([Log()] if log else [])],
        observe=metrics.backend_call,
        looked=lambda ran: metrics.probe(ran, loop.world) if isinstance(ran, ProbeRan) else None,
        passed=metrics.loop,
        overrun=lambda spec: metrics.overrun(spec.id),
        sentinel=lambda: loop.keeper.put({SENTINELS: dict(doors.wire.sentinels)}),
    )
    probes = {name: probe for name, (_, probe) in doors.probes.items()}
    loop.pacer.replace(configuration.topology.probes, probes)
    return loop


async def _remember(loop: Loop, configuration: Configuration, kept: Kept) -> None:
    """Give the loop what survived, and its term. What cannot be read is left out, and said."""
    now = loop.clock.now()
    memories: list[Memory] = []
    adopted: dict[BackendName, tuple[ServiceName, ...]] = {}
    conflicts: dict[BackendName, str] = {}
    for key, document in kept.documents.items():
        kind, _, name = key.partition("/")
        try:
            if kind == "site":
                memory = from_document(Memory, document)
                memories.append(shifted(memory, now.boot_s - now.wall_s))
            elif kind == "adopted":
                adopted[BackendName(name)] = tuple(ServiceName(s) for s in document["services"])
            elif kind == "conflict":
                conflicts[BackendName(name)] = str(document["text"])
        except (ValueError, TypeError, KeyError) as error:
            logging.getLogger("gslb").warning("the document %s is left out: %s", key, error)
    loop.spoken.pause_file = configuration.store.parent / "pause"
    loop.put(
        Remembered(
            instance=kept.instance,
            memories=tuple(memories),
            adopted=adopted,
            conflicts=conflicts,
            incidents=int(kept.documents.get("incidents", {}).get("number", 0)),
        )
    )
    await loop.spoken.load()
    loop.put(LeaseChanged(epoch=kept.epoch))


def _new_sentinel(house: House, site: SiteName) -> None:
    """Forget the sentinel of the site's store: the next look adopts one, or writes it."""
    for probe, (kind, settings) in house.configuration.probes.items():
        if kind == s3.ADAPTER.kind and probe.startswith(f"{site}/"):
            house.wire.sentinels.pop(settings.sentinel, None)  # type: ignore[attr-defined]  # of s3
    house.controller.loop.keeper.put({SENTINELS: dict(house.wire.sentinels)})


async def _housekeeping(house: House) -> None:
    """The pause file, which needs neither the API nor the store; and the references."""
    loop = house.controller.loop
    while True:
        present = loop.spoken.pause_file is not None and loop.spoken.pause_file.exists()
        if present != loop.world.pause_file:
            loop.spoken.tell()
        for reference in loop.world.topology.references:
            answered = await reaches(reference, 1.0)
            at_s = loop.clock.now().boot_s
            loop.put(ReferenceRan(reference=reference, answered=answered, at_s=at_s))
        await asyncio.sleep(1.0)


async def _reload(
    house: House,
    doors: Doors,
    path: Path,
    remove: Sequence[SiteName],
    loosen: bool,
    dry_run: bool,
    owner: Owner,
) -> tuple[str, ...]:
    """Read the file again. Refused whole if anything is wrong: the old one stays."""
    loop = house.controller.loop
    try:
        new = load(path, KINDS)
        found = diff(house.configuration, new)
        loosened = () if loosen else found.loosened
        _refuse(house, new, loosened, set(found.removed_sites) - {*remove})
    except ConfigError as error:
        house.metrics.put("config_last_reload_successful", 0.0)
        event = Event(
            kind=EventKind.CONFIG,
            text=f"the configuration was refused, the old one stays: {error}",
            boot_s=loop.clock.now().boot_s,
            wall_s=loop.clock.now().wall_s,
        )
        loop.keeper.report(loop.world, [event])
        raise
    if dry_run:
        return found.lines
    await doors.open(new)
    loop.backends = {name: backend for name, (_, backend) in doors.backends.items()}
    house.configuration = new
    loop.put(ConfigReplaced(topology=new.topology, owner=owner, summary=found.lines))
    await house.controller.learned()
    probes = {name: probe for name, (_, probe) in doors.probes.items()}
    loop.pacer.replace(new.topology.probes, probes)
    house.metrics.put("config_last_reload_successful", 1.0)
    house.metrics.put("config_last_reload_success_timestamp_seconds", time.time())
    return found.lines


def _refuse(
    house: House, new: Configuration, loosened: Sequence[str], removed: set[SiteName]
) -> None:
    """Raises ConfigError for what needs a word of its own."""
    old = house.configuration
    fixed = [
        f"{what} cannot change while it runs: restart gslb"
        for what, was, becomes in (
            ("cluster", old.topology.cluster, new.topology.cluster),
            ("store", old.store, new.store),
            ("probe_networks", old.probe_networks, new.probe_networks),
        )
        if was != becomes
    ]
    views = house.controller.world.backends.values()
    served = {s for v in views for a in (v.served or {}).values() if a is not None for s in a.sites}
    gone = [
        f"{new.path}: site {site} is served and would be removed: repeat with --remove {site}"
        for site in sorted(removed & served)
    ]
    problems = (*fixed, *(f"{new.path}: {line}" for line in loosened), *gone)
    if problems:
        raise ConfigError(tuple(problems))
