"""Runs the probes: one timer heap for all of them, and a hung one delays nothing."""

import asyncio
import heapq
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from gslb.domain.health import Cause, Finding, Observation, Outcome, Seen
from gslb.domain.messages import Input, ProbeRan, ProbeUnanswered
from gslb.domain.topology import Aspect, Family, ProbeId, ProbeSpec, Role, VantageName
from gslb.domain.world import World
from gslb.policy import pace
from gslb.ports import Clock, Probe

NEVER = float("inf")
GRACE_S = 0.25
"""The probe's own deadline, with its own words, comes first."""
TICK_S = 0.001
"""The shortest wait: a timer that fires a hair early must not spin."""


@dataclass(slots=True)
class _Slot:
    """One probe and when it runs."""

    spec: ProbeSpec
    probe: Probe
    normal_s: float
    """When the next run is due by the normal pace."""
    begun_s: float = -NEVER
    in_flight: int = 0
    due_s: float = NEVER
    begins: set[float] = field(default_factory=set)


class Pacer:
    """Begins each probe when it is due; each run is a task with a deadline, its result an input."""

    def __init__(
        self,
        clock: Clock,
        world: Callable[[], World],
        put: Callable[[Input], None],
        *,
        sentinel: Callable[[], None] = lambda: None,
        overrun: Callable[[ProbeSpec], None] = lambda spec: None,
    ) -> None:
        self._clock = clock
        self._world = world
        self._put = put
        self._sentinel = sentinel
        self._overrun = overrun
        self._slots: dict[ProbeId, _Slot] = {}
        self._heap: list[tuple[float, int, ProbeId, float | None]] = []
        self._number = 0
        self._poked = asyncio.Event()
        self._seen: tuple[object, object] = (None, None)

    def replace(self, specs: tuple[ProbeSpec, ...], probes: Mapping[ProbeId, Probe]) -> None:
        """Run these from now on. A probe whose settings are the same keeps its pace."""
        now_s = self._clock.now().boot_s
        slots = {}
        for number, spec in enumerate(specs):
            old = self._slots.get(spec.id)
            if old is not None and old.spec == spec:
                old.probe = probes[spec.id]
                slots[spec.id] = old
                continue
            # Spread evenly, so that the first to see a fault comes soon.
            first_s = now_s + spec.interval_s * number / len(specs)
            slots[spec.id] = _Slot(spec=spec, probe=probes[spec.id], normal_s=first_s)
        self._slots = slots
        self._heap = []
        for slot in slots.values():
            slot.due_s = NEVER  # nothing lies in the heap any more
            self._schedule(slot, now_s)
        self._poked.set()

    def poke(self) -> None:
        """The world changed: has a suspicion begun or ended, or was a run asked for?"""
        world = self._world()
        seen = (world.suspicions, world.asks)
        if seen[0] is self._seen[0] and seen[1] is self._seen[1]:
            return
        self._seen = seen
        now_s = self._clock.now().boot_s
        for slot in self._slots.values():
            self._schedule(slot, now_s)
        self._poked.set()

    async def run(self) -> None:
        """Until cancelled; then every run under way is cancelled too."""
        async with asyncio.TaskGroup() as runs:
            while True:
                now_s = self._clock.now().boot_s
                while self._heap and self._heap[0][0] <= now_s:
                    due_s, _, probe, begun_s = heapq.heappop(self._heap)
                    slot = self._slots.get(probe)
                    if slot is None:
                        continue
                    if begun_s is not None:
                        if begun_s in slot.begins:
                            self._put(ProbeUnanswered(probe=probe, begun_s=begun_s))
                    elif due_s == slot.due_s:
                        self._begin(slot, now_s, runs)
                wait_s = max(self._heap[0][0] - now_s, TICK_S) if self._heap else None
                try:
                    async with asyncio.timeout(wait_s):
                        await self._poked.wait()
                except TimeoutError:
                    continue
                self._poked.clear()

    def _begin(self, slot: _Slot, now_s: float, runs: asyncio.TaskGroup) -> None:
        normal = now_s >= slot.normal_s
        if normal:
            missed = int((now_s - slot.normal_s) // slot.spec.pace_s)
            for _ in range(min(missed, 3)):
                self._overrun(slot.spec)
            slot.normal_s += slot.spec.pace_s * (missed + 1)
        slot.begun_s = now_s
        slot.in_flight += 1
        slot.begins.add(now_s)
        runs.create_task(self._look(slot, now_s, normal), name=f"probe {slot.spec.id}")
        self._push(now_s + pace.unanswered_after_s(self._world(), slot.spec), slot, now_s)
        self._schedule(slot, now_s)

    def _schedule(self, slot: _Slot, now_s: float) -> None:
        due_s = max(self._due(slot, now_s), now_s)
        if due_s != slot.due_s or due_s == now_s:
            slot.due_s = due_s
            if due_s < NEVER:
                self._push(due_s, slot, None)

    def _push(self, at_s: float, slot: _Slot, begun_s: float | None) -> None:
        self._number += 1
        heapq.heappush(self._heap, (at_s, self._number, slot.spec.id, begun_s))

    def _due(self, slot: _Slot, now_s: float) -> float:
        world, spec = self._world(), slot.spec
        if slot.in_flight >= pace.most_in_flight(world, spec, now_s):
            return NEVER
        times = [slot.normal_s]
        if pace.is_suspect(world, spec.site, now_s):
            times.append(slot.begun_s + pace.pace_s(world, spec, now_s))
        asked_s = pace.asked_at_s(world, spec, slot.begun_s)
        if asked_s is not None:
            times.append(asked_s)
        return min(times)

    async def once(self, probe: ProbeId) -> Seen:
        """One run beside the pace, for whoever asks: its result is no input. Raises KeyError."""
        return await self._run(self._slots[probe])

    async def _run(self, slot: _Slot) -> Seen:
        try:
            async with asyncio.timeout(slot.spec.deadline_s + GRACE_S):
                seen = await slot.probe.run()
        except TimeoutError:
            seen = timed_out(slot.spec)
        if seen.sentinel is not None:
            self._sentinel()
        return seen

    async def _look(self, slot: _Slot, begun_s: float, normal: bool) -> None:
        spec = slot.spec
        try:
            seen = await self._run(slot)
        finally:
            slot.in_flight -= 1
            slot.begins.discard(begun_s)
        ended_s = self._clock.now().boot_s
        vantage = self._world().topology.vantage
        self._put(
            ProbeRan(
                probe=spec.id,
                observations=observations(spec, vantage, seen, begun_s, ended_s),
                facts=seen.facts,
                normal=normal,
                latency_s=ended_s - begun_s,
                steps=seen.steps,
            )
        )
        self._schedule(slot, ended_s)
        self._poked.set()


def observations(
    spec: ProbeSpec, vantage: VantageName, seen: Seen, begun_s: float, ended_s: float
) -> tuple[Observation, ...]:
    """What a probe found, as observations of the aspects that are configured for it."""
    found = []
    for finding in seen.findings:
        aspect = _aspect(spec, finding)
        if aspect is not None:
            found.append(
                Observation(
                    site=spec.site,
                    aspect=aspect.name,
                    vantage=vantage,
                    outcome=finding.outcome,
                    cause=finding.cause,
                    detail=finding.detail,
                    latency_s=finding.latency_s,
                    begun_s=begun_s,
                    ended_s=ended_s,
                )
            )
    return tuple(found)


def timed_out(spec: ProbeSpec) -> Seen:
    """A run that did not end by its deadline. endtoend is known to be slow: that proves nothing."""
    slow = spec.family is Family.ENDTOEND
    return Seen(
        findings=tuple(
            Finding(
                aspect=a.base,
                outcome=Outcome.BLIND if slow else Outcome.FAIL,
                cause=Cause.SLOW if slow else Cause.TIMEOUT,
                detail=f"no answer within {spec.deadline_s:.3g} s",
                latency_s=spec.deadline_s,
            )
            for a in spec.aspects
            if a.role is Role.DECIDES or slow
        )
    )


def _aspect(spec: ProbeSpec, finding: Finding) -> Aspect | None:
    named = next((a for a in spec.aspects if a.base == finding.aspect), None)
    # What a generic probe finds is called as the file calls it.
    return named or next(iter(spec.aspects if spec.family is Family.GENERIC else ()), None)
