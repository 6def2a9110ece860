"""A loop over the town in memory, with one call to start and end it."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from random import Random

from gslb.backends.memory import Memory as MemoryBackend
from gslb.backends.memory import Settings
from gslb.controller.controller import Controller
from gslb.controller.loop import Loop
from gslb.domain.topology import Topology
from gslb.stores.memory import MemoryStore
from tests.simulation.town import NAME, SITES, Diary, Town, make_loop, topology


@dataclass(kw_only=True)
class House:
    """What a test may look at and break."""

    town: Town
    backend: MemoryBackend
    store: MemoryStore
    diary: Diary
    loop: Loop
    controller: Controller

    @property
    def served(self) -> set[str]:
        """The sites in the answer."""
        names = {f"127.0.0.1{n}": s for n, s in enumerate(SITES, 1)}
        return {names[t.value] for t in self.backend.answers[NAME]}

    def told(self, word: str) -> list[str]:
        """The events with this word in them."""
        return [e.text for e in self.diary.events if word in e.text]


@asynccontextmanager
async def running(
    topo: Topology | None = None,
    *,
    store: MemoryStore | None = None,
    backend: MemoryBackend | None = None,
    town: Town | None = None,
    settle_s: float = 15.0,
) -> AsyncIterator[House]:
    """The real core and loop, settled after `settle_s` of the loop's time; ended afterwards."""
    topo = topo or topology()
    addresses = {str(NAME): tuple(s.addresses[0] for s in topo.sites)}
    backend = backend or MemoryBackend(Settings(answers=addresses))
    store, town, diary = store or MemoryStore(), town or Town(dice=Random(1)), Diary()
    loop = make_loop(town, topo, backend, store, diary)
    controller = Controller(loop)
    async with asyncio.TaskGroup() as tasks:
        task = tasks.create_task(loop.run())
        await loop.spoken.load()
        await asyncio.sleep(settle_s)
        try:
            yield House(
                town=town,
                backend=backend,
                store=store,
                diary=diary,
                loop=loop,
                controller=controller,
            )
        finally:
            task.cancel()
