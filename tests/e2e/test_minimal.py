"""What ten lines of configuration must be good for, on real processes, at the default pace.

The configuration is `config/minimal.yml` as README prints it. Changed are only addresses and
ports (with `probe_networks`, which opens loopback to probes), the CA, `mode`, and the places of
files. One vantage, no references, two imitation Quays 3.18 over TLS, each with a store of its own.
"""

import signal
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.e2e.processes import Place, opened
from tests.kit import until

pytestmark = pytest.mark.real
LOOKS = 8
"""So many more looks at the store (5 s each) are more than twice `dwell_path`."""


@pytest.fixture
async def place(tmp_path: Path) -> AsyncIterator[Place]:
    async with opened(tmp_path) as found:
        await found.controller.start()
        await found.is_answered("fra", "iad", limit_s=60.0)
        found.watch.forget()
        yield found


BOTH, IAD = frozenset({"fra", "iad"}), frozenset({"iad"})


async def test_a_store_that_is_killed_takes_its_site_out(place: Place):
    place.stores["fra"].process.kill()
    await place.is_answered("iad")
    assert place.controller.said("quay.example.com − fra", "store.write: put: ")
    assert place.watch.story == [BOTH, IAD]


async def test_a_store_that_hangs_takes_its_site_out(place: Place):
    place.stores["fra"].process.send_signal(signal.SIGSTOP)
    await place.is_answered("iad")
    assert place.controller.said("quay.example.com − fra", "store.write: put: no ", "after 3 s")
    assert place.watch.story == [BOTH, IAD]


async def test_a_store_that_answers_500_takes_its_site_out(place: Place):
    await place.stores["fra"].set_fault("500")
    await place.is_answered("iad")
    assert place.controller.said("quay.example.com − fra", "store.write: put: 500 InternalError")
    assert place.watch.story == [BOTH, IAD]


async def test_only_our_way_to_a_store_cut_moves_nothing_and_is_said(place: Place):
    await place.stores["fra"].set_fault("path refuse")
    await until(
        # From up, or from unknown when the third refusal came before Quay's word.
        lambda: place.controller.said("fra ", " → degraded because our path to its store"),
        60.0,
        what="the reason is said",
    )
    seen = await place.controller.results("fra", "store.write")
    assert seen

    async def looked() -> bool:
        return await place.controller.results("fra", "store.write") >= seen + LOOKS

    await until(looked, 100.0, every_s=0.5, what="more looks at the store")
    assert await place.watch.dig() == BOTH
    assert place.watch.story == [BOTH]
