"""The backend in this process keeps the contract, or tests with it would prove little."""

import asyncio

import pytest

from gslb.backends.memory import ADAPTER, Memory, Settings
from gslb.domain.errors import BackendError, BackendRefused
from gslb.domain.topology import ServiceName
from gslb.domain.traffic import Change, Fencing, Target
from gslb.ports import Backend
from tests.backends.contract import FIRST, Bench, FencedContract, answer, plan, pool

POOLS = (
    pool("www.geo.test", {"eu": "192.0.2.10", "us": "192.0.2.20"}),
    pool("api.geo.test", {"eu": "192.0.2.10", "us": "192.0.2.20"}),
)
SETTINGS = Settings(
    answers={
        "www.geo.test": ("192.0.2.10",),
        "api.geo.test": ("192.0.2.10",),
        "other.geo.test": ("192.0.2.99",),
    }
)


@pytest.fixture
def bench() -> Bench:
    memory = Memory(SETTINGS)

    async def beside() -> object:
        return memory.answers[ServiceName("other.geo.test")]

    async def broken(fault: str) -> Backend:
        other = Memory(SETTINGS)
        if fault != "refusing":
            other.failing = f"the server is {fault}"
            return other
        other.failing = other.refusing = "not you"
        return other

    return Bench(memory, POOLS, beside, broken)


class TestMemory(FencedContract):
    async def test_it_refuses_writes_and_still_answers(self, bench: Bench) -> None:
        assert isinstance(bench.backend, Memory)
        bench.backend.refusing = "the key is not granted"
        with pytest.raises(BackendRefused, match="not granted"):
            await bench.serve("us")
        assert await bench.served() == [("eu",), ("eu",)]

    async def test_a_lost_reply_is_an_error_though_it_was_carried_out(self, bench: Bench) -> None:
        assert isinstance(bench.backend, Memory)
        bench.backend.lose_reply = True
        with pytest.raises(BackendError):
            await bench.serve("us")
        assert await bench.served() == [("us",), ("us",)]

    async def test_a_hanging_call_ends_when_it_is_cancelled(self, bench: Bench) -> None:
        assert isinstance(bench.backend, Memory)
        bench.backend.hang = True
        task = asyncio.create_task(bench.served())
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task


async def test_weights_and_strangers_are_kept_and_read_back() -> None:
    async with ADAPTER.open(Settings(weight_max=100, fenced=False), None) as memory:
        change = Change(pool=POOLS[0], before=None, after=answer(POOLS[0], eu=75, us=25))
        await memory.apply(plan(change, expects=FIRST, leaves=None))
        assert (await memory.read(POOLS)).answers == {
            POOLS[0].service: answer(POOLS[0], eu=75, us=25),
            POOLS[1].service: None,
        }
        assert isinstance(memory, Memory)
        memory.answers[POOLS[0].service] = (Target("192.0.2.66"),)
        stranger = (await memory.read(POOLS)).answers[POOLS[0].service]
        assert stranger is not None
        assert stranger.targets == (Target("192.0.2.66", site=None),)


def test_its_shape_follows_its_settings() -> None:
    assert ADAPTER.shape is not None
    assert not ADAPTER.shape(Settings()).weights
    loose = ADAPTER.shape(Settings(weight_max=256, fenced=False))
    assert (loose.weights, loose.weight_max, loose.fencing) == (True, 256, Fencing.TIME)
