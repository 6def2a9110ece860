"""One suite for every backend: a subclass gives a `bench` and adds what is peculiar to it."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, replace

import pytest

from gslb.domain.errors import BackendError, BackendFenced
from gslb.domain.topology import BackendName, ServiceName, SiteName
from gslb.domain.traffic import Answer, Change, Generation, Member, Plan, Pool, Target
from gslb.ports import Backend

FIRST = Generation("c1", "instance-1", 1, 0)
FAULTS = ("gone", "hung", "refusing")


def pool(service: str, members: Mapping[str, str | tuple[str, ...]], ttl_s: float = 5) -> Pool:
    return Pool(
        service=ServiceName(service),
        members=tuple(
            Member(site=SiteName(site), values=(value,) if isinstance(value, str) else value)
            for site, value in members.items()
        ),
        ttl_s=ttl_s,
    )


def answer(pool: Pool, *sites: str, **weights: int) -> Answer:
    """All values of the named sites; `eu=50` gives a weight."""
    shares = dict.fromkeys(sites, 1) | weights
    targets = tuple(
        Target(value, shares[member.site], member.site)
        for member in pool.members
        if member.site in shares
        for value in member.values
    )
    return Answer(name=pool.service, targets=targets)


def plan(*changes: Change, expects: Generation | None, leaves: Generation | None) -> Plan:
    return Plan(
        backend=BackendName("b"),
        epoch=leaves.epoch if leaves else 1,
        changes=changes,
        expects=expects,
        leaves=leaves,
        digest="",
    )


@dataclass
class Bench:
    """A backend with two pools, sites `eu` and `us`: both served by `eu`, no generation."""

    backend: Backend
    pools: tuple[Pool, Pool]
    beside: Callable[[], Awaitable[object]]
    """What stands there that is not ours, as one comparable value."""
    broken: Callable[[str], Awaitable[Backend]]
    """The same kind of backend, whose server is gone, hung or refusing."""
    fenced: bool = True
    held: Generation | None = None

    async def serve(self, *sites: str, only: int | None = None) -> None:
        """Bring the pools to `sites`, as the leader in office does."""
        pools = self.pools if only is None else (self.pools[only],)
        answers = (await self.backend.read(pools)).answers
        changes = [
            Change(pool=p, before=answers[p.service], after=answer(p, *sites)) for p in pools
        ]
        await self.apply(*changes)

    async def apply(self, *changes: Change) -> None:
        leaves = replace(self.held, seq=self.held.seq + 1) if self.held else FIRST
        await self.backend.apply(
            plan(*changes, expects=self.held, leaves=leaves if self.fenced else None)
        )
        self.held = leaves if self.fenced else None

    async def served(self) -> list[tuple[str, ...]]:
        """The sites in the answer of each pool."""
        answers = (await self.backend.read(self.pools)).answers
        found = [answers[p.service] for p in self.pools]
        return [one.sites if one else () for one in found]

    def turn(self, index: int, before: str, after: str) -> Change:
        p = self.pools[index]
        return Change(pool=p, before=answer(p, before), after=answer(p, after))


class BackendContract:
    async def test_what_was_applied_is_read_back(self, bench: Bench) -> None:
        assert await bench.served() == [("eu",), ("eu",)]
        await bench.serve("us")
        assert await bench.served() == [("us",), ("us",)]
        await bench.serve("eu", "us")
        reading = await bench.backend.read(bench.pools)
        assert reading.answers == {p.service: answer(p, "eu", "us") for p in bench.pools}
        assert reading.generation == bench.held
        assert reading.behind == {}
        assert reading.foreign_generation is None

    async def test_a_change_of_what_is_not_served_changes_nothing(self, bench: Bench) -> None:
        await bench.serve("eu", "us", only=1)
        held = bench.held
        with pytest.raises(BackendFenced):
            await bench.apply(bench.turn(0, "eu", "us"), bench.turn(1, "eu", "us"))
        assert await bench.served() == [("eu",), ("eu", "us")]
        assert (await bench.backend.read(bench.pools)).generation == held

    async def test_what_is_not_ours_is_left_alone(self, bench: Bench) -> None:
        before = await bench.beside()
        assert before
        await bench.serve("us")
        await bench.serve("eu", "us")
        assert await bench.beside() == before

    @pytest.mark.parametrize("fault", FAULTS)
    async def test_every_foreign_error_is_a_backend_error(self, bench: Bench, fault: str) -> None:
        broken = await bench.broken(fault)
        with pytest.raises(BackendError):
            await broken.read(bench.pools)
        with pytest.raises(BackendError):
            await broken.apply(
                plan(
                    bench.turn(0, "eu", "us"), expects=None, leaves=FIRST if bench.fenced else None
                )
            )

    async def test_a_cancelled_call_leaves_nothing_half_done(self, bench: Bench) -> None:
        now, then, carried_out = "eu", "us", 0
        for turn in (0, 1, 2, 3, 5, 8, 13, 21, 10_000):
            leaves = FIRST if bench.held is None else replace(bench.held, seq=bench.held.seq + 1)
            changes = [bench.turn(0, now, then), bench.turn(1, now, then)]
            made = plan(*changes, expects=bench.held, leaves=leaves if bench.fenced else None)
            task = asyncio.create_task(bench.backend.apply(made))
            for _ in range(turn):
                if task.done():
                    break
                await asyncio.sleep(0)
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            served = await self.settled(bench)
            assert served in ([(now,), (now,)], [(then,), (then,)])
            bench.held = (await bench.backend.read(bench.pools)).generation
            done = served == [(then,), (then,)]
            if bench.fenced:
                assert (bench.held == leaves) == done
            if done:
                now, then, carried_out = then, now, carried_out + 1
        assert carried_out, "no call came through: nothing was tried"

    async def settled(self, bench: Bench) -> list[tuple[str, ...]]:
        """What is served when two looks agree: an update on its way may still arrive."""
        served = await bench.served()
        while True:
            await asyncio.sleep(0.02)
            again = await bench.served()
            if again == served:
                return served
            served = again


class FencedContract(BackendContract):
    """Where the backend itself compares the generation inside the write."""

    async def test_an_old_leader_is_refused(self, bench: Bench) -> None:
        await bench.serve("us")
        old, new = bench.held, Generation("c1", "instance-1", 2, 0)
        await bench.backend.apply(plan(expects=old, leaves=new))
        assert old is not None
        late = plan(bench.turn(0, "us", "eu"), expects=old, leaves=replace(old, seq=old.seq + 1))
        with pytest.raises(BackendFenced):
            await bench.backend.apply(late)
        assert await bench.served() == [("us",), ("us",)]
        assert (await bench.backend.read(bench.pools)).generation == new

    async def test_a_plan_without_changes_raises_only_the_generation(self, bench: Bench) -> None:
        await bench.apply()
        await bench.apply()
        assert (await bench.backend.read(bench.pools)).generation == replace(FIRST, seq=1)
        assert await bench.served() == [("eu",), ("eu",)]

    async def test_a_generation_is_created_only_where_there_is_none(self, bench: Bench) -> None:
        await bench.backend.apply(plan(expects=None, leaves=FIRST))
        other = replace(FIRST, instance="instance-2")
        with pytest.raises(BackendFenced):
            await bench.backend.apply(plan(expects=None, leaves=other))
        assert (await bench.backend.read(bench.pools)).generation == FIRST

    async def test_of_two_at_once_one_wins(self, bench: Bench) -> None:
        await bench.apply()
        ends = [replace(FIRST, instance=f"instance-{n}", seq=9) for n in range(4)]
        tries = [
            bench.backend.apply(plan(bench.turn(0, "eu", "us"), expects=FIRST, leaves=leaves))
            for leaves in ends
        ]
        results = await asyncio.gather(*tries, return_exceptions=True)
        assert [type(one) for one in results if one is not None] == [BackendFenced] * 3
        assert (await bench.backend.read(bench.pools)).generation == ends[results.index(None)]
