"""Stories in which more than a site is broken, or in which people and the controller itself act."""

import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from tests.kit import until
from tests.lab import faults as f
from tests.lab.faults import Fault
from tests.lab.story import is_said
from tests.lab.town import ALL, SERVICE, Town
from tests.lab.watch import boot_s


def meanwhile(fault: Fault, site: str, *says: str) -> Fault:
    """While `fault` lasts, the store of `site` dies: the balancer leaves it, DNS cannot. Then the
    fault is mended, and what was decided must be finished there, too."""

    @asynccontextmanager
    async def broken(town: Town) -> AsyncIterator[None]:
        async with f.store_killed(site)(town):
            begun_s = boot_s()
            async with fault(town):
                await until(lambda: town.serves(ALL - {site}, "edge"), 60, what="edge leaves it")
                await is_said(town, "dns", says, begun_s)
            yield

    return broken


@asynccontextmanager
async def store_dies_while_nobody_looks(town: Town) -> AsyncIterator[None]:
    """The controller is killed, a store dies, the controller starts again."""
    await town.controller.end()
    async with f.store_killed("eu")(town):
        await town.controller.start()
        yield


async def controller_is_killed(town: Town) -> None:
    """It starts again during the outage: nothing moves, and the site stays out."""
    await town.controller.end()
    await town.controller.start()

    async def sees_it() -> bool:
        rows = (await town.get("/v1/sites")).get("sites", [])
        return [r["name"] for r in rows if r["state"] == "down"] == ["us"]

    await until(sees_it, 60, 0.2, what="the new process sees that us is down")


async def second_store_dies(town: Town) -> None:
    begun_s = boot_s()
    town.write("truth", site="eu", able=False, why="a second store dies", within_s=60)
    async with f.store_killed("eu")(town):
        await is_said(town, "eu", ("max_drained", "1 kept out already (us)"), begun_s)
        enough_s = boot_s() + 20
        await until(lambda: boot_s() > enough_s, 40, what="time passes")
        assert town.serves(ALL - {"us"})
    town.write("truth", site="eu", able=True, why="mended")


async def person_drains_another(town: Town) -> None:
    async with f.drained("eu")(town):
        await until(lambda: town.serves(frozenset({"ap"})), 30, what="eu leaves by a person's word")
        await is_said(town, "eu", ("person", "disk swap"), 0.0)
    await until(lambda: town.serves(ALL - {"us"}), 60, what="eu is back, and us still out")


async def balancer_is_killed(town: Town) -> None:
    """What it was told is lost with it, and must be said again."""
    town.write("foreign", service=SERVICE, targets=None)
    begun_s = boot_s()
    await town.edge.end()
    await town.edge.start()
    await until(lambda: ALL in town.watch.since("edge", begun_s), 20, what="it has forgotten")
    town.write("truth", site="us", able=False, why="the balancer has forgotten it", within_s=30)
    await until(lambda: town.serves(ALL - {"us"}), 30, what="it is told again")


@asynccontextmanager
async def nsd_ended(town: Town) -> AsyncIterator[None]:
    """As NSD ends: by SIGTERM, with its children."""
    await town.nsd.end(signal.SIGTERM)
    try:
        yield
    finally:
        await town.nsd.start()
