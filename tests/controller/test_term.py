"""A term that ends while its plan is being saved: nothing is sent any more."""

import asyncio
from collections.abc import Callable, Mapping

import pytest

from gslb.domain.messages import LeaseChanged
from gslb.ports import Document
from gslb.stores.memory import MemoryStore
from tests.controller.house import House, running
from tests.kit import until

pytestmark = pytest.mark.looptime


class Slow(MemoryStore):
    """Takes a moment to save a plan, in which something else happens."""

    def __init__(self) -> None:
        super().__init__()
        self.meanwhile: Callable[[], None] | None = None
        self.saved = 0

    async def commit(
        self,
        puts: Mapping[str, Document | None],
        *,
        if_revision: int | None = None,
        if_epoch: int | None = None,
    ) -> int:
        revision = await super().commit(puts, if_revision=if_revision, if_epoch=if_epoch)
        if self.meanwhile is not None and any(key.startswith("plan/") for key in puts):
            self.saved += 1
            self.meanwhile()
            await asyncio.sleep(0.1)
        return revision


async def _ends(house: House, store: Slow, ended: LeaseChanged) -> None:
    writes = len(house.backend.history)
    store.meanwhile = lambda: house.loop.put(ended)
    house.town.places["eu"].store = "500"
    await until(lambda: store.saved, 10)
    await asyncio.sleep(1)
    assert len(house.backend.history) == writes
    assert house.served == {"eu", "us", "ap"}


async def test_a_plan_is_not_sent_when_its_term_has_ended_while_it_was_saved() -> None:
    async with running(store=(store := Slow())) as house:
        await _ends(house, store, LeaseChanged(epoch=None))


async def test_nor_when_the_lease_has_run_out_by_our_own_clock() -> None:
    async with running(store=(store := Slow())) as house:
        epoch, now_s = house.loop.world.epoch, house.loop.clock.now().boot_s
        await _ends(house, store, LeaseChanged(epoch=epoch, until_s=now_s))
