"""Twenty random breaks and mends of the real demo (in virtual time: tests/simulation)."""

import asyncio
import random
import time
from pathlib import Path

import pytest

from gslb.demo.run import Demo, open_demo
from gslb.demo.town import ADDRESSES, SERVICE, Town
from tests.e2e.watch import Watch, watching
from tests.kit import until
from tests.simulation.town import QUAY_DEAD, STORE_DEAD, STORE_FINE

pytestmark = pytest.mark.real
TWENTY = 20
GAPS_S = (0.5, 1.0, 2.0, 5.0, 10.0)
BACK_WITHIN_S = 60.0
DEAD_ONLY_MAX_S = 15.0


def whole(town: Town, preference: str) -> set[str]:
    """The sites where clients are served well; nobody drains any by hand here.

    Not those of which nobody can know it: our key is refused by the store, and Quay there says
    false, since it lists a dead store of another site. They keep the share that they had.
    """
    faults = town.faults
    stores = {site: faults[site].get("store") for site in ADDRESSES}
    unknowable = {"403"} if preference == "listed" and {*stores.values()} & {*STORE_DEAD} else set()
    bad = {*STORE_DEAD, *unknowable}
    return {s for s in ADDRESSES if stores[s] not in bad and faults[s].get("quay") not in QUAY_DEAD}


class Diary:
    """What was broken and what was concluded, for whoever reads a failure."""

    def __init__(self, seed: int) -> None:
        self.begun_s, self.lines = time.monotonic(), [f"seed {seed}"]

    def note(self, text: str) -> None:
        self.lines.append(f"{time.monotonic() - self.begun_s:7.2f} {text}")

    async def listen(self, demo: Demo) -> None:
        async for told in demo.house.controller.told():
            for event in told.events:
                self.note(f"{event.kind:8} {event.guard or ''} {event.text}")

    def __str__(self) -> str:
        return "\n".join(self.lines[-120:])


async def guard(
    town: Town, preference: str, watch: Watch, diary: Diary, over: asyncio.Event
) -> None:
    """At no time for longer than 15 s dead sites only, while a whole one is there."""
    since_s = time.monotonic()
    while not over.is_set():
        there = whole(town, preference)
        if not there or there & watch.now:
            since_s = time.monotonic()
        if time.monotonic() - since_s > DEAD_ONLY_MAX_S:
            diary.note(f"{sorted(watch.now)} dead only, {sorted(there)} whole")
            pytest.fail(str(diary))
        await asyncio.sleep(0.05)


async def breaks(town: Town, dice: random.Random, diary: Diary) -> None:
    """Break and mend at random, half of the time the site that was broken before."""
    last = dice.choice(sorted(ADDRESSES))
    for _ in range(TWENTY):
        last = last if dice.random() < 0.5 else dice.choice(sorted(ADDRESSES))
        if town.faults[last]:
            await town.mend(last)
            diary.note(f"MEND     {last}")
        else:
            part, faults = dice.choices(
                (("store", STORE_DEAD + STORE_FINE), ("quay", QUAY_DEAD)), (7, 3)
            )[0]
            fault = dice.choice(faults)
            await town.set_fault(last, part, fault)
            diary.note(f"BREAK    {last} {part} {fault}")
        await asyncio.sleep(dice.choice(GAPS_S) * dice.random())


async def one_life(folder: Path, seed: int, preference: str = "own") -> None:
    dice, diary, over = random.Random(seed), Diary(seed), asyncio.Event()
    async with open_demo(folder, preference=preference) as demo:
        await until(lambda: demo.settled, 60.0, what="every site up and in")
        server, town = demo.town.nameserver, demo.town
        async with watching(server.address, server.port, SERVICE, ADDRESSES) as watch:
            listening = asyncio.ensure_future(diary.listen(demo))
            guarding = asyncio.ensure_future(guard(town, preference, watch, diary, over))
            try:
                await breaks(town, dice, diary)
                wanted = whole(town, preference)
                diary.note(f"{sorted(wanted)} are whole")
                await until(
                    lambda: wanted <= watch.now or guarding.done(),
                    BACK_WITHIN_S,
                    what=f"{sorted(wanted)} back in\n{diary}",
                )
            finally:
                over.set()
                listening.cancel()
                await asyncio.gather(listening, return_exceptions=True)
                await guarding
            assert await watch.dig() >= wanted


@pytest.mark.timeout(300)
async def test_twenty_breaks_and_mends_end_with_every_whole_site_back(
    tmp_path: Path, request: pytest.FixtureRequest
):
    await one_life(tmp_path, int(request.config.getoption("--seed") or 1))


@pytest.mark.long
@pytest.mark.timeout(300)
@pytest.mark.parametrize(("seed", "preference"), [(2, "own"), (3, "listed"), (17, "listed")])
async def test_other_sequences_end_so_too(tmp_path: Path, seed: int, preference: str):
    await one_life(tmp_path, seed, preference)
