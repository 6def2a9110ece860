"""What each fault does to the answer of the demo, as the real dig reads it."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from gslb.demo.run import Demo, open_demo
from gslb.demo.town import ADDRESSES, SERVICE
from gslb.domain.health import AlarmKind, SiteVerdict, TrackKey
from gslb.domain.messages import Event
from gslb.domain.topology import AspectName, SiteName, VantageName
from tests.e2e.watch import Watch, watching
from tests.kit import until

pytestmark = pytest.mark.real
ALL = frozenset(ADDRESSES)
OUT_WITHIN_S = 30.0
BACK_WITHIN_S = 60.0
LOOKS = 12
"""So many more looks at a site must change nothing: four times `fall`, and `dwell_path` is over."""


class Life:
    """A settled demo, what clients were answered since, and what was concluded."""

    def __init__(self, demo: Demo, watch: Watch) -> None:
        self.demo, self.town, self.watch = demo, demo.town, watch
        self.events: list[Event] = []

    async def listen(self) -> None:
        async for told in self.demo.house.controller.told():
            self.events += told.events

    def said(self, *words: str) -> bool:
        """Did one event say all of this?"""
        return any(all(w in f"{e.guard} {e.text}" for w in words) for e in self.events)

    async def is_answered(self, sites: set[str] | frozenset[str], limit_s: float) -> None:
        await until(lambda: self.watch.now == sites, limit_s, what=f"{sorted(sites)} in the answer")
        assert await self.watch.dig() == sites

    async def is_looked_at(self, site: str, aspect: str, looks: int = LOOKS) -> None:
        """Wait for so many more results of an aspect, blind ones too."""
        vantage = self.demo.house.controller.world.topology.vantage
        key = TrackKey(SiteName(site), AspectName(aspect), VantageName(vantage))

        def last_s() -> float:
            track = self.demo.house.controller.world.tracks[key]
            return max(track.counted_s or 0.0, track.blind_s or 0.0)

        for _ in range(looks):
            before_s = last_s()
            await until(lambda before_s=before_s: last_s() > before_s, 20.0, what=f"a {aspect}")

    async def heals(self) -> None:
        """Mend all; every site is up and in again."""
        await self.town.mend()
        await until(lambda: self.demo.settled, BACK_WITHIN_S, what="all are up and in")
        await self.is_answered(ALL, 1.0)


@asynccontextmanager
async def living(folder: Path, **town: Any) -> AsyncIterator[Life]:
    async with open_demo(folder, **town) as demo:
        await until(lambda: demo.settled, 60.0, what="every site up and in")
        server = demo.town.nameserver
        async with watching(server.address, server.port, SERVICE, ADDRESSES) as watch:
            life = Life(demo, watch)
            listening = asyncio.ensure_future(life.listen())
            try:
                yield life
            finally:
                listening.cancel()
                await asyncio.gather(listening, return_exceptions=True)


@pytest.fixture
async def life(tmp_path: Path) -> AsyncIterator[Life]:
    async with living(tmp_path) as begun:
        yield begun


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        ("refuse", "store.write: put: "),
        ("hang", "store.write: put: no answer after 1 s"),
        ("500", "store.write: put: 500 InternalError"),
        ("404", "store.write: put: 404 NoSuchBucket"),
        ("507", "store.write: put: 507 XMinioStorageFull"),
        ("lost-writes", "store.write: get: what was written is not there"),
        ("failing-reads", "store.read: sentinel: 500 InternalError"),
        ("half", "store.write: "),
    ],
)
async def test_a_store_that_is_broken_takes_exactly_its_site_out(life: Life, fault: str, said: str):
    await life.town.set_fault("us", "store", fault)
    await life.is_answered(ALL - {"us"}, OUT_WITHIN_S)
    assert life.said("quay.demo − us at dns", said)
    await life.heals()
    assert life.watch.story == [ALL, ALL - {"us"}, ALL]


async def test_our_key_refused_by_a_store_moves_nothing_and_is_said(life: Life):
    await life.town.set_fault("us", "store", "403")
    await until(lambda: life.said("store.write at us: put: 403 AccessDenied", "never drains"), 10)
    await life.is_looked_at("us", "store.write")
    assert AlarmKind.CREDENTIALS in {a.kind for a in life.demo.house.controller.world.alarms}
    assert life.watch.story == [ALL]


async def test_a_slow_store_moves_nothing_and_is_said(life: Life):
    await life.town.set_fault("us", "store", "slow")
    await until(lambda: life.said("us up → degraded", "slow is not down"), 20)
    await life.is_looked_at("us", "store.write")
    state = life.demo.house.controller.world.states[SiteName("us")]
    assert state.verdict is SiteVerdict.DEGRADED
    assert life.watch.story == [ALL]


async def test_a_cut_path_to_a_store_moves_nothing_and_is_said(life: Life):
    await life.town.set_fault("us", "path", "refuse")
    await until(lambda: life.said("us", "our path to its store"), 20)
    await life.is_looked_at("us", "store.write")
    assert AlarmKind.STORE_DISPUTED in {a.kind for a in life.demo.house.controller.world.alarms}
    assert life.watch.story == [ALL]


async def test_the_shared_database_down_everywhere_moves_nothing_and_is_said(life: Life):
    await life.town.set_fault("us", "database", "refuse")
    for site in ALL:
        await until(lambda site=site: life.said("shared_outage", f"{site} leaves"), 60)
    await life.is_looked_at("us", "store.write")
    assert life.said("quay.database fails at 3 of 3 sites", "moving traffic cannot help")
    assert life.watch.story == [ALL]
    await life.heals()
    assert life.watch.story == [ALL]


@pytest.mark.parametrize("fault", ["refuse", "500"])
async def test_all_stores_broken_at_once_take_out_nothing(life: Life, fault: str):
    for site in ALL:
        await life.town.set_fault(site, "store", fault)
    for site in ALL:
        await until(lambda site=site: life.said("all_down", f"{site} leaves"), OUT_WITHIN_S)
    await life.is_looked_at("us", "store.write")
    assert life.watch.story == [ALL]
    told = [e for e in life.events if e.after == AlarmKind.ALL_DOWN]
    assert len(told) == 1


async def test_stores_broken_one_after_another_take_out_the_first_only(life: Life):
    await life.town.set_fault("eu", "store", "500")
    await life.is_answered(ALL - {"eu"}, OUT_WITHIN_S)
    await life.town.set_fault("us", "store", "500")
    await until(lambda: life.said("max_drained", "us leaves", "1 kept out already (eu)"), 20)
    await life.town.set_fault("ap", "store", "500")
    await until(lambda: life.said("all_down", "ap leaves"), 20)
    await life.is_looked_at("ap", "store.write")
    refused = {r.site: r.guard for r in life.demo.house.controller.world.refusals}
    assert refused == {"us": "all_down", "ap": "all_down"}
    assert life.watch.story == [ALL, ALL - {"eu"}]
    await life.heals()


async def test_with_every_store_in_each_preference_list_one_dead_store_drains_one_site(
    tmp_path: Path,
):
    async with living(tmp_path, version="3.18.0", preference="listed") as life:
        await life.town.set_fault("us", "store", "404")
        await life.is_answered(ALL - {"us"}, OUT_WITHIN_S)
        for site in ("eu", "ap"):
            why = f"Quay at {site} says storage: false while its own store passes and us's is down"
            await until(lambda why=why: life.said(why), 90)
        assert life.watch.story == [ALL, ALL - {"us"}]
        await life.heals()
        await life.is_looked_at("ap", "quay.storage", 2)
        assert life.watch.story == [ALL, ALL - {"us"}, ALL]
