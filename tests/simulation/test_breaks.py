"""Any sequence of twenty random breaks and mends ends with every whole site back in (issue: 4)."""

import asyncio
import os
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from gslb.backends.memory import Memory as MemoryBackend
from gslb.backends.memory import Settings
from gslb.stores.memory import MemoryStore
from tests.simulation.town import (
    NAME,
    QUAY_DEAD,
    SITES,
    STORE_DEAD,
    STORE_FINE,
    Diary,
    Town,
    make_loop,
    topology,
)
from tests.simulation.virtual import live

SEEDS = int(os.environ.get("GSLB_SEEDS", "200"))
PARTS = 10
BACK_WITHIN_S = 60.0
DEAD_ONLY_MAX_S = 15.0


class Bad(AssertionError):
    """What was violated, with the diary."""


@asynccontextmanager
async def running(town: Town, diary: Diary) -> AsyncIterator[MemoryBackend]:
    """The real core and loop over the town, settled, all sites in."""
    topo = topology()
    addresses = {str(NAME): tuple(s.addresses[0] for s in topo.sites)}
    backend = MemoryBackend(Settings(answers=addresses))
    loop = make_loop(town, topo, backend, MemoryStore(), diary)
    task = asyncio.ensure_future(loop.run())
    await asyncio.sleep(20)
    try:
        yield backend
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


def served(backend: MemoryBackend) -> set[str]:
    """The sites in the answer."""
    numbers = {f"127.0.0.1{n}": s for n, s in enumerate(SITES, 1)}
    return {numbers[t.value] for t in backend.answers[NAME]}


async def watch(town: Town, backend: MemoryBackend) -> None:
    """At no time for longer than 15 s dead sites only, while a whole one is there."""
    loop = asyncio.get_running_loop()
    since: float | None = None
    while True:
        sites = served(backend)
        if not sites:
            raise Bad("the answer is empty")
        whole = [s for s, p in town.places.items() if not p.dead]
        if whole and not set(whole) & sites:
            since = loop.time() if since is None else since
            if loop.time() - since > DEAD_ONLY_MAX_S:
                raise Bad(f"{sites} dead only since {since:.1f}, {whole} whole")
        else:
            since = None
        await asyncio.sleep(0.1)


async def breaks(town: Town, dice: random.Random, diary: Diary, twenty: int = 20) -> None:
    """Break and mend at random, half of the time the site that was broken before."""
    last = dice.choice(SITES)
    for _ in range(twenty):
        last = last if dice.random() < 0.5 else dice.choice(SITES)
        place = town.places[last]
        if place.dead or place.store or place.quay:
            place.store = place.quay = None
            what = f"mend {last}"
        elif dice.random() < 0.7:
            place.store = dice.choice(STORE_DEAD + STORE_FINE)
            what = f"break {last} store {place.store}"
        else:
            place.quay = dice.choice(QUAY_DEAD)
            what = f"break {last} quay {place.quay}"
        now = asyncio.get_running_loop().time()
        diary.events.append(_Note(now + 1000, what))  # type: ignore[arg-type]
        await asyncio.sleep(dice.choice((0.5, 2, 5, 10, 20, 40)) * dice.random())


class _Note:
    kind = "TOWN"

    def __init__(self, boot_s: float, text: str) -> None:
        self.boot_s, self.text = boot_s, text


async def one_life(seed: int, listed: bool) -> None:
    dice = random.Random(seed)
    town, diary = Town(dice=random.Random(seed + 1), listed=listed), Diary()
    try:
        async with running(town, diary) as backend, asyncio.TaskGroup() as tasks:
            watcher = tasks.create_task(watch(town, backend))
            await breaks(town, dice, diary)
            whole = {s for s, p in town.places.items() if not p.dead}
            ends = asyncio.get_running_loop().time() + BACK_WITHIN_S
            while not whole <= served(backend):
                if asyncio.get_running_loop().time() > ends:
                    raise Bad(f"{whole - served(backend)} whole and not back after 60 s")
                await asyncio.sleep(0.1)
            watcher.cancel()
    except* Bad as bad:
        story = "\n".join(diary.lines()[-90:])
        pytest.fail(f"seed {seed}: {bad.exceptions[0]}\n{story}")


@pytest.mark.parametrize("part", range(PARTS))
def test_every_whole_site_is_back_within_a_minute_whatever_broke(part: int) -> None:
    for seed in range(part, SEEDS, PARTS):
        live(one_life(seed, listed=seed % 3 == 0))
