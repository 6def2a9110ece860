"""Configuration -> one running house: the only place where ports meet adapters."""

import asyncio
import os
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

import gslb
from gslb.api.listen import Served, serve
from gslb.api.server import FACE, make_app
from gslb.config.load import Configuration, load
from gslb.controller.controller import Controller
from gslb.controller.documents import remembered
from gslb.controller.loop import Loop
from gslb.controller.resolvers import watch
from gslb.domain.control import Now
from gslb.domain.messages import LeaseChanged, ProbeRan, ReferenceRan
from gslb.domain.topology import SiteName
from gslb.domain.world import World
from gslb.ports import Clock, Kept, Store
from gslb.probes import dns, s3
from gslb.reporters.history import History, Write, history_file
from gslb.reporters.log import Log
from gslb.reporters.metrics import Metrics
from gslb.stores import sqlite
from gslb.wire import Wire
from gslb.wire.http import open_http
from gslb.wire.reach import reaches
from gslb.wiring.face import api_settings
from gslb.wiring.metered import Metered
from gslb.wiring.parts import KINDS, Doors, House
from gslb.wiring.reload import reload

SENTINELS = "sentinels"


class BootClock:
    """CLOCK_BOOTTIME, which goes on while the machine is suspended; and the wall clock."""

    def now(self) -> Now:
        return Now(time.clock_gettime(time.CLOCK_BOOTTIME), time.time())


@asynccontextmanager
async def open_house(
    path: Path,
    *,
    log: bool = True,
    clock: Clock | None = None,
    history: Path | None = None,
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
        wire = Wire(http=client, sentinels=dict(kept.documents.get(SENTINELS, {})))
        doors = Doors(wire=wire, stack=stack, probes={}, backends={})
        await doors.open(configuration)
        metrics = Metrics(clock, gslb.__version__)
        loop = _loop(configuration, clock, Metered(store, metrics.store), doors, metrics, log=log)
        if history is not None:
            _record(loop, stack.enter_context(history_file(history)))
        await _remember(loop, configuration, kept)
        house = House(
            configuration=configuration,
            controller=Controller(loop),
            served=Served(url=None, socket=None, metrics_url=None),
            wire=wire,
            metrics=metrics,
        )
        house.controller.acknowledges = partial(_new_sentinel, house)
        house.controller.reloads_with(partial(reload, house, doors, path))
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
            house.follow = lambda new: app[FACE].follow(api_settings(new, metrics))
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
        observers=[metrics.call],
        looked=lambda ran: metrics.probe(ran, loop.world) if isinstance(ran, ProbeRan) else None,
        passed=metrics.loop,
        overrun=lambda spec: metrics.overrun(spec.id),
        sentinel=lambda: loop.keeper.put({SENTINELS: dict(doors.wire.sentinels)}),
    )
    probes = {name: probe for name, (_, probe) in doors.probes.items()}
    loop.pacer.replace(configuration.topology.probes, probes)
    return loop


def _record(loop: Loop, write: Write) -> None:
    told = History(write, f"gslb:{os.getpid()}", loop.clock)
    loop.reporters.append(told)
    loop.observers.append(told.call)


async def _remember(loop: Loop, configuration: Configuration, kept: Kept) -> None:
    """Give the loop what survived, and its term."""
    loop.spoken.pause_file = configuration.store.parent / "pause"
    loop.put(remembered(kept, loop.clock.now()))
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
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(watch(loop, dns.resolve), name="resolvers")
        await _look_about(loop)


async def _look_about(loop: Loop) -> None:
    while True:
        present = loop.spoken.pause_file is not None and loop.spoken.pause_file.exists()
        if present != loop.world.pause_file:
            loop.spoken.tell()
        for reference in loop.world.topology.references:
            answered = await reaches(reference, 1.0)
            at_s = loop.clock.now().boot_s
            loop.put(ReferenceRan(reference=reference, answered=answered, at_s=at_s))
        await asyncio.sleep(1.0)
