"""The pacer in virtual time: spread, suspicion, one endtoend at a time, and deadlines."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from gslb.controller.pacer import Pacer
from gslb.domain.health import Cause, Finding, Outcome, Seen, Suspicion
from gslb.domain.messages import Input, ProbeRan, ProbeUnanswered
from gslb.domain.topology import Family, ProbeId, SiteName
from gslb.domain.world import World
from tests.simulation.town import LoopClock, topology

pytestmark = pytest.mark.looptime
EU = SiteName("eu")


class Slow:
    """A probe that takes a while, and counts."""

    def __init__(self, takes_s: float = 0.0) -> None:
        self.takes_s, self.begun, self.under_way, self.most = takes_s, 0, 0, 0

    async def run(self) -> Seen:
        self.begun += 1
        self.under_way += 1
        self.most = max(self.most, self.under_way)
        try:
            await asyncio.sleep(self.takes_s)
        finally:
            self.under_way -= 1
        return Seen(findings=(Finding(aspect="store.write", outcome=Outcome.PASS),))


class Bench:
    """A pacer over one site's probes, and what it put."""

    def __init__(self) -> None:
        self.clock = LoopClock()
        self.world = World(topology=topology(), started_s=self.clock.now().boot_s)
        self.inputs: list[Input] = []
        self.overruns: list[str] = []
        self.pacer = Pacer(
            self.clock,
            lambda: self.world,
            self.inputs.append,
            overrun=lambda spec: self.overruns.append(spec.id),
        )

    def suspect(self) -> None:
        now_s = self.clock.now().boot_s
        found = Suspicion(site=EU, since_s=now_s, ends_at_s=now_s + 30)
        asks = {p.id: now_s for p in self.world.topology.probes if p.family is Family.ENDTOEND}
        self.world = replace_world(self.world, found, asks)
        self.pacer.poke()


def replace_world(world: World, found: Suspicion, asks: dict[object, float]) -> World:
    from dataclasses import replace

    return replace(world, suspicions={EU: found}, asks=asks)  # type: ignore[arg-type]


@asynccontextmanager
async def pacing(bench: Bench, **probes: Slow) -> AsyncIterator[None]:
    specs = tuple(
        p for p in bench.world.topology.probes if p.site == EU and p.id.split("/", 1)[1] in probes
    )
    bench.pacer.replace(specs, {p.id: probes[p.id.split("/", 1)[1]] for p in specs})
    async with asyncio.TaskGroup() as tasks:
        task = tasks.create_task(bench.pacer.run())
        try:
            yield
        finally:
            task.cancel()


async def test_a_probe_runs_at_its_pace_and_normal_runs_say_so() -> None:
    bench, probe = Bench(), Slow()
    async with pacing(bench, store=probe):
        await asyncio.sleep(10.5)
    assert probe.begun == 11
    assert all(r.normal for r in bench.inputs if isinstance(r, ProbeRan))


async def test_a_hung_probe_is_ended_at_its_deadline_and_reported_as_a_timeout() -> None:
    bench, probe = Bench(), Slow(takes_s=1e6)
    async with pacing(bench, store=probe):
        await asyncio.sleep(7)
    (ran, *_) = [r for r in bench.inputs if isinstance(r, ProbeRan)]
    assert {o.cause for o in ran.observations} == {Cause.TIMEOUT}
    assert probe.most == 1, "nothing overlaps while nobody is suspect"
    assert bench.overruns, "the runs that were skipped are counted"


async def test_a_run_that_takes_longer_than_usual_is_said_before_it_ends() -> None:
    bench, probe = Bench(), Slow(takes_s=0.9)
    async with pacing(bench, store=probe):
        await asyncio.sleep(0.5)
        assert [type(x) for x in bench.inputs] == [ProbeUnanswered]


async def test_suspicion_quickens_and_overlaps_a_hung_run_up_to_fall() -> None:
    bench, probe = Bench(), Slow(takes_s=1e6)
    async with pacing(bench, store=probe):
        await asyncio.sleep(0.1)
        bench.suspect()
        await asyncio.sleep(2)
    assert probe.most == 3


async def test_endtoend_never_overlaps_and_is_asked_at_once() -> None:
    bench = Bench()
    end = Slow(takes_s=4)
    async with pacing(bench, **{"quay.endtoend": end}):
        await asyncio.sleep(6)
        assert end.begun == 1, "its own slow pace"
        bench.suspect()
        await asyncio.sleep(1)
        assert end.begun == 2, "at once, at the start of the suspicion"
        await asyncio.sleep(5)
    assert end.most == 1
    assert end.begun == 3


async def test_what_did_not_change_in_a_reload_keeps_its_pace() -> None:
    bench, probe = Bench(), Slow()
    async with pacing(bench, store=probe):
        await asyncio.sleep(2.5)
        specs = tuple(p for p in bench.world.topology.probes if p.id == "eu/store")
        other = Slow()
        bench.pacer.replace(specs, {p.id: other for p in specs})
        await asyncio.sleep(0.3)
        assert other.begun == 0
        await asyncio.sleep(0.5)
    assert other.begun == 1


async def test_a_run_for_whoever_asks_is_told_to_nobody_else() -> None:
    bench, probe, hung = Bench(), Slow(), Slow(takes_s=1e6)
    async with pacing(bench, store=probe, **{"quay.front": hung}):
        await asyncio.sleep(0.5)
        before = list(bench.inputs)
        seen = await bench.pacer.once(ProbeId("eu/store"))
        assert [f.outcome for f in seen.findings] == [Outcome.PASS]
        assert bench.inputs == before
        late = await bench.pacer.once(ProbeId("eu/quay.front"))
        assert {f.cause for f in late.findings} == {Cause.TIMEOUT}
