"""The loop in virtual time: orders, what becomes of them, and what a failing store may not stop."""

import asyncio

import pytest

from gslb.domain.control import Action, Override, Owner, OwnerKind
from gslb.domain.errors import StoreConflict, StoreError
from gslb.domain.topology import SiteName
from gslb.stores.memory import MemoryStore
from tests.controller.house import House, running
from tests.kit import until
from tests.simulation.town import DNS, NAME

pytestmark = pytest.mark.looptime
EU, US = SiteName("eu"), SiteName("us")
KIM = Owner(OwnerKind.PERSON, "kim")


def drain(house: House, site: SiteName = EU, owner: Owner = KIM, for_s: float = 3600) -> Override:
    now = house.controller.now().wall_s
    return Override(
        site=site,
        action=Action.DRAIN,
        owner=owner,
        reason="disk swap",
        created_wall_s=now,
        ends_wall_s=now + for_s,
    )


async def test_a_dead_store_is_drained_and_the_plan_was_written_ahead() -> None:
    async with running() as house:
        house.town.places["eu"].store = "500"
        await until(lambda: house.served == {"us", "ap"}, 10)
        kept = await house.store.load()
    assert kept.documents[f"plan/{DNS}"]["changes"][0]["pool"]["service"] == NAME
    assert kept.documents["site/eu"]["fell_at_s"] is not None


async def test_a_hung_probe_delays_no_other() -> None:
    async with running() as house:
        before = {p.name: p.count for p in house.town.places.values()}
        house.town.places["us"].store = "hang"
        house.town.places["eu"].store = "half"
        await asyncio.sleep(3)
        assert house.town.places["eu"].count - before["eu"] >= 3, "one a second, at least"


async def test_a_lost_reply_is_read_back_and_not_written_twice() -> None:
    async with running() as house:
        writes = len(house.backend.history)
        house.backend.lose_reply = True
        house.town.places["eu"].store = "500"
        await until(lambda: house.told("as planned, read back"), 30)
        assert house.served == {"us", "ap"}
        assert len(house.backend.history) == writes + 1


async def test_a_backend_that_fails_is_read_again_and_changed_when_it_answers() -> None:
    async with running() as house:
        house.backend.failing = "connection refused"
        house.town.places["eu"].store = "500"
        await until(lambda: house.told("connection refused"), 60)
        assert house.served == {"eu", "us", "ap"}
        house.backend.failing = None
        await until(lambda: house.served == {"us", "ap"}, 90)


async def test_a_full_disk_stops_no_drain_and_refuses_words() -> None:
    async with running() as house:
        house.store.error = "disk full"
        house.town.places["eu"].store = "500"
        await until(lambda: house.served == {"us", "ap"}, 10)
        await until(lambda: house.controller.store_error() == "disk full", 5)
        with pytest.raises(StoreError, match="disk full"):
            await house.controller.set_override(drain(house, US))
        house.store.error = None
        await until(lambda: house.controller.store_error() is None, 10)
        await until(lambda: house.loop.keeper.idle, 5)
        kept = await house.store.load()
    assert "site/eu" in kept.documents, "what could not be kept then is kept now"


async def test_a_newer_word_in_the_store_turns_a_plan_away_until_it_was_seen() -> None:
    async with running() as house:
        await house.store.commit({"control/pause": {"not": "a pause"}})
        house.town.places["eu"].store = "500"
        await until(lambda: house.told("was not kept"), 10)
        await until(lambda: house.controller.world.paused, 5)
        assert house.served == {"eu", "us", "ap"}, "an unreadable pause counts as paused"


async def test_a_drain_by_hand_is_durable_when_the_call_returns_and_ends_by_itself() -> None:
    async with running() as house:
        kept = await house.controller.set_override(drain(house, for_s=120))
        assert f"control/override/{kept.key}" in (await house.store.load()).documents
        await until(lambda: house.served == {"us", "ap"}, 5)
        await until(lambda: house.served == {"eu", "us", "ap"}, 200)
        assert house.told("has ended by itself")
        documents = (await house.store.load()).documents
    assert not [key for key in documents if key.startswith("control/override/")]


async def test_another_persons_word_is_not_replaced_unless_asked() -> None:
    async with running() as house:
        await house.controller.set_override(drain(house))
        other = drain(house, owner=Owner(OwnerKind.PERSON, "lee"))
        with pytest.raises(StoreConflict, match="person:kim already says drain eu"):
            await house.controller.set_override(other)
        await house.controller.set_override(other, replace=True)
        assert [str(o.owner) for o in house.controller.world.overrides] == ["person:lee"]


async def test_a_restart_keeps_words_and_the_term_rises() -> None:
    store = MemoryStore()
    async with running(store=store) as house:
        await house.controller.set_override(drain(house))
        await until(lambda: house.served == {"us", "ap"}, 5)
        backend = house.backend
    store.reopen()
    async with running(store=store, backend=backend) as house:
        assert house.served == {"us", "ap"}
        assert [o.site for o in house.controller.world.overrides] == [EU]
        assert house.backend.generation is not None
        assert house.backend.generation.epoch == 2


async def test_a_feed_hears_every_change_and_the_loop_waits_for_nobody() -> None:
    async with running() as house:
        heard: list[str] = []

        async def listen() -> None:
            async for told in house.controller.told():
                heard.extend(e.text for e in told.events)

        async with asyncio.TaskGroup() as tasks:
            listening = tasks.create_task(listen())
            await asyncio.sleep(0.1)
            house.town.places["eu"].store = "500"
            await until(lambda: any("− eu" in text for text in heard), 10)
            listening.cancel()
        assert house.controller.loop_age_s() <= 1.5
