"""A controller that is killed (kill -9) in the middle, and started again over the same state.

The nameserver is asked every 20 ms all the while: `opened` fails the test for an empty answer.
"""

import asyncio
import random
import signal
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.e2e.processes import Place, opened
from tests.kit import until

pytestmark = pytest.mark.real
MORE = "profile: fast\ntiming: {quiet: 2s, quiet_max: 4s, block: 0s}\n"
BOTH, IAD = frozenset({"fra", "iad"}), frozenset({"iad"})


@pytest.fixture
async def place(tmp_path: Path) -> AsyncIterator[Place]:
    async with opened(tmp_path, MORE) as found:
        await found.controller.start()
        await found.is_answered("fra", "iad", limit_s=60.0)
        found.watch.forget()
        yield found


async def test_killed_between_verdict_and_update_it_drains_the_dead_site_when_it_is_back(
    place: Place,
):
    place.stores["fra"].process.kill()
    down = "fra unknown → down"  # and 5 s of dwell_path before traffic may move
    await until(lambda: place.controller.said(down), 30.0, every_s=0.005)
    await place.controller.kill()
    assert not place.controller.said("− fra")
    assert await place.watch.dig() == BOTH
    asked = place.watch.asked
    await until(lambda: place.watch.asked > asked + 50, 10.0, what="dead, and still served")
    assert place.watch.story == [BOTH]
    await place.controller.start()
    await place.is_answered("iad")
    assert place.watch.story == [BOTH, IAD]


async def test_killed_while_the_update_is_under_way_it_reads_before_it_writes(place: Place):
    await place.stores["fra"].set_fault("500")
    await until(lambda: place.controller.said("suspect fra"), 30.0, every_s=0.005)
    place.nameserver.process.send_signal(signal.SIGSTOP)
    await until(lambda: place.controller.said("answer", "− fra"), 30.0, every_s=0.005)
    await place.controller.kill()
    place.nameserver.process.send_signal(signal.SIGCONT)
    await place.controller.start()
    await place.is_answered("iad")

    async def is_raised() -> bool:
        (marker,) = await place.watch.records("_gslb.example.com", "TXT")
        return marker.split()[3] == "2"

    # Whatever the dead one had sent arrived before this, or is turned away from now on.
    await until(is_raised, 30.0, what="the new term stands in the zone")
    assert place.watch.story == [BOTH, IAD]


@pytest.mark.parametrize("seed", [1, 2])
async def test_killed_again_and_again_it_still_drains_and_returns(place: Place, seed: int):
    dice = random.Random(seed)

    async def dies(times: int) -> None:
        for _ in range(times):
            begun = len(place.controller.log)
            await until(lambda begun=begun: len(place.controller.log) > begun, 20.0, every_s=0.005)
            await asyncio.sleep(dice.choice((0.0, 0.05, 0.3, 1.0)) * dice.random())
            await place.controller.kill()
            await place.controller.start()

    await place.stores["fra"].set_fault("500")
    await dies(6)
    await place.is_answered("iad")
    await place.stores["fra"].set_fault("mend")
    await dies(4)
    await place.is_answered("fra", "iad")
    assert place.controller.starts == 11
    assert place.watch.story == [BOTH, IAD, BOTH]
