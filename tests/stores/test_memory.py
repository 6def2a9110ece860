import pytest

from gslb.domain.errors import StoreError
from gslb.ports import Store
from gslb.stores.memory import MemoryStore
from tests.stores.contract import Contract


class TestMemory(Contract):
    @pytest.fixture
    def store(self) -> Store:
        return MemoryStore(journal_max=50)


async def test_a_broken_memory_store_says_so_and_keeps_what_it_has() -> None:
    store = MemoryStore()
    await store.commit({"memory/eu": {"n": 1}})
    store.error = "the disk is full"
    with pytest.raises(StoreError, match="the disk is full"):
        await store.commit({"memory/eu": {"n": 2}})
    with pytest.raises(StoreError):
        await store.append([{}])
    store.error = None
    assert (await store.load()).documents == {"memory/eu": {"n": 1}}


async def test_a_reopened_memory_store_begins_a_new_term() -> None:
    store = MemoryStore()
    await store.commit({"control/mode": {}})
    store.reopen()
    kept = await store.load()
    assert (kept.instance, kept.epoch, kept.revision) == (store.shared.instance, 2, 1)
