"""Who leads: one of two, for a while, and only while its loop lives."""

import asyncio
from random import Random

import pytest

from gslb.controller.leader import MARGIN_S, TTL_S
from gslb.domain.errors import StoreConflict
from gslb.stores.memory import MemoryStore, Shared
from tests.simulation.links import virtual
from tests.simulation.replicas import Replica, Scene
from tests.simulation.town import Town, topology
from tests.simulation.virtual import live


def pair() -> tuple[Scene, Replica, Replica]:
    scene = Scene(1, topology(mode="live"), Town(dice=Random(1)))
    return scene, Replica("a", scene, Random(2)), Replica("b", scene, Random(3))


def epoch_of(replica: Replica) -> int | None:
    assert replica.loop is not None
    return replica.loop.world.epoch


async def test_one_of_two_ends_of_a_store_has_the_lease_and_each_term_is_higher() -> None:
    shared = Shared()
    a, b = MemoryStore(shared=shared), MemoryStore(shared=shared)
    assert await a.campaign(0.05) == 2
    assert await b.campaign(0.05) is None
    assert await a.campaign(0.05) is None
    assert await a.renew(2)
    assert not await b.renew(2)
    with pytest.raises(StoreConflict, match="2 is over"):
        await b.commit({"plan/dns": {}}, if_epoch=2)
    await a.commit({"plan/dns": {}}, if_epoch=2)
    await a.resign(2)
    assert not await a.renew(2)
    with pytest.raises(StoreConflict):
        await a.commit({"plan/dns": {}}, if_epoch=2)
    assert await b.campaign(0.05) == 3


def test_another_leads_once_the_first_is_stopped_and_its_term_ended_earlier_by_its_own_clock() -> (
    None
):
    async def story() -> None:
        scene, a, b = pair()
        await a.start()
        await asyncio.sleep(20)
        assert epoch_of(a) == 2
        await b.start()
        await asyncio.sleep(20)
        assert epoch_of(b) is None
        assert a.loop is not None
        own_end_s, theirs_s = a.loop.world.lease_until_s - 1000, scene.shared.until_s
        assert own_end_s == pytest.approx(theirs_s - MARGIN_S, abs=0.1)
        a.freeze()
        await asyncio.sleep(TTL_S + 4)
        assert epoch_of(b) == 3
        assert epoch_of(a) == 2  # it has not heard
        a.thaw()
        await asyncio.sleep(0.1)
        assert epoch_of(a) is None
        assert [p.epoch for p in scene.backend.history][-1] == 3
        await a.close()
        await b.close()

    live(story())


def test_a_stuck_loop_loses_the_lease_though_its_leader_lives() -> None:
    async def story() -> None:
        scene, a, _ = pair()
        await a.start()
        await asyncio.sleep(20)
        next(t for t in asyncio.all_tasks() if t.get_name() == "loop").cancel()
        await asyncio.sleep(2 * TTL_S)
        assert virtual().time() > scene.shared.until_s
        await a.end(killed=True)

    live(story())


def test_a_graceful_end_lets_another_lead_at_once() -> None:
    async def story() -> None:
        _, a, b = pair()
        await a.start()
        await asyncio.sleep(20)
        await b.start()
        await asyncio.sleep(10)
        await a.end(killed=False)
        await asyncio.sleep(4)
        assert epoch_of(b) == 3
        await b.close()

    live(story())


def test_a_word_said_at_the_replica_that_does_not_lead_is_carried_out_by_the_one_that_does() -> (
    None
):
    from gslb.domain.control import Action, Override, Owner, OwnerKind
    from gslb.domain.topology import SiteName

    async def story() -> None:
        scene, a, b = pair()
        await a.start()
        await asyncio.sleep(20)
        await b.start()
        await asyncio.sleep(10)
        word = Override(
            site=SiteName("eu"),
            action=Action.DRAIN,
            owner=Owner(OwnerKind.PERSON, "kim"),
            reason="disks",
            created_wall_s=1.8e9,
            ends_wall_s=2e9,
        )
        assert b.loop is not None
        await b.loop.spoken.set_override(word, replace_other=False)
        await asyncio.sleep(3)
        assert scene.served == {"us", "ap"}
        assert {p.epoch for p in scene.backend.history} == {2}
        await a.close()
        await b.close()

    live(story())


async def test_of_two_words_said_at_two_replicas_the_store_says_which_is_newer() -> None:
    from gslb.controller.spoken import Spoken
    from gslb.domain.control import Action, Override, Owner, OwnerKind
    from gslb.domain.topology import SiteName
    from gslb.wiring.house import BootClock

    shared = Shared()
    one, two = (
        Spoken(MemoryStore(shared=shared), BootClock(), lambda seen: None) for _ in range(2)
    )

    def word(who: str, action: Action, services: tuple[str, ...]) -> Override:
        return Override(
            site=SiteName("eu"),
            action=action,
            owner=Owner(OwnerKind.PERSON, who),
            reason="works",
            services=services,  # type: ignore[arg-type]  # names only
            created_wall_s=1.8e9,
            ends_wall_s=2e9,
        )

    first = await one.set_override(word("kim", Action.DRAIN, ()), replace_other=False)
    second = await one.set_override(word("kim", Action.DRAIN, ("a",)), replace_other=False)
    # The other has heard of neither, and speaks after both.
    third = await two.set_override(word("lee", Action.FORCE_IN, ("b",)), replace_other=False)
    assert [w.version for w in (first, second, third)] == [1, 2, 3]
    with pytest.raises(StoreConflict, match="lee already says"):
        await one.set_override(word("kim", Action.DRAIN, ("b",)), replace_other=False)
