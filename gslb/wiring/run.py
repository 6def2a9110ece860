"""`gslb run` until a signal ends it, and `gslb check` asking everything once."""

import asyncio
import contextlib
import gc
import logging
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

from gslb.config.load import Configuration
from gslb.domain.errors import ConfigError, GslbError
from gslb.domain.health import Outcome
from gslb.policy.fit import pool_of
from gslb.reporters.log import TextLines
from gslb.wire import Wire, points
from gslb.wire.http import open_http
from gslb.wiring.house import open_house
from gslb.wiring.parts import BACKENDS, PROBES, House

LOOK_S = 65.0


def run_forever(path: Path, history: Path | None = None) -> None:
    """Run until SIGTERM or SIGINT; SIGHUP reads the file again. Raises as `open_house`."""
    to_stderr = logging.StreamHandler(sys.stderr)
    to_stderr.setFormatter(TextLines())
    logging.basicConfig(level=logging.INFO, handlers=[to_stderr])
    points.warn()
    with contextlib.suppress(asyncio.CancelledError):
        asyncio.run(_run(path, history))


async def _run(path: Path, history: Path | None) -> None:
    loop = asyncio.get_running_loop()
    ended, again = asyncio.Event(), asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, ended.set)
    loop.add_signal_handler(signal.SIGHUP, again.set)
    async with open_house(path, history=history) as house:
        gc.collect()
        gc.freeze()
        logging.getLogger("gslb").info("runs; API at %s, %s", house.url, house.served.socket)
        async with asyncio.TaskGroup() as tasks:
            reloading = tasks.create_task(_reloads(house, again), name="reloads")
            await ended.wait()
            reloading.cancel()


async def _reloads(house: House, again: asyncio.Event) -> None:
    """A site that is served is never removed by a signal."""
    while True:
        await again.wait()
        again.clear()
        with contextlib.suppress(ConfigError):  # said in the journal; the old one stays
            await house.controller.reload()


def probe_everything(configuration: Configuration) -> list[str]:
    """Run each probe and read each backend once; a line for each, `✗` in front of what fails."""
    return asyncio.run(_look_at_all(configuration))


async def _look_at_all(configuration: Configuration) -> list[str]:
    async with _wire(configuration) as wire, asyncio.TaskGroup() as tasks:
        looks = [
            tasks.create_task(_look(configuration, wire, probe)) for probe in configuration.probes
        ]
        reads = [
            tasks.create_task(_read(configuration, wire, name)) for name in configuration.backends
        ]
    return [task.result() for task in (*looks, *reads)]


@asynccontextmanager
async def _wire(configuration: Configuration) -> AsyncIterator[Wire]:
    async with open_http(configuration.probe_networks) as client:
        yield Wire(http=client)


async def _look(configuration: Configuration, wire: Wire, name: str) -> str:
    kind, settings = next(v for k, v in configuration.probes.items() if k == name)
    try:
        async with asyncio.timeout(LOOK_S), AsyncExitStack() as stack:
            probe = await stack.enter_async_context(PROBES[kind].open(settings, wire))
            seen = await probe.run()
    except (GslbError, OSError) as error:  # TimeoutError is one of them
        return f"✗ {name}: {str(error) or 'no answer in time'}"
    bad = [f for f in seen.findings if f.outcome is not Outcome.PASS]
    said = "; ".join(f"{f.aspect}: {f.cause} {f.detail}".strip() for f in bad)
    steps = " ".join(step for step, _ in seen.steps)
    return f"✗ {name}: {said}" if bad else f"{name}: pass {steps}".rstrip()


async def _read(configuration: Configuration, wire: Wire, name: str) -> str:
    kind, settings = next(v for k, v in configuration.backends.items() if k == name)
    topology = configuration.topology
    spec = next(b for b in topology.backends if b.name == name)
    pools = [pool_of(topology, s, spec) for s in topology.services if name in s.via]
    try:
        async with asyncio.timeout(LOOK_S), AsyncExitStack() as stack:
            backend = await stack.enter_async_context(BACKENDS[kind].open(settings, wire))
            reading = await backend.read(pools)
    except (GslbError, OSError) as error:
        return f"✗ {name}: {str(error) or 'no answer in time'}"
    behind = [why for all_of_it in reading.behind.values() for why in all_of_it]
    return f"✗ {name}: {'; '.join(behind)}" if behind else f"{name}: read; updates are not tried"
