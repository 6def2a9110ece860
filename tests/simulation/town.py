"""Three sites in memory, with the causes and the pace of real ones, for the real core and loop.

Faults have the names of the demo. Everything random comes from the dice that are given.
"""

import asyncio
import random
from collections.abc import Sequence
from dataclasses import dataclass, field

from gslb.backends.memory import Memory as MemoryBackend
from gslb.controller.loop import Loop
from gslb.controller.pacer import Pacer
from gslb.domain.control import Mode, Now
from gslb.domain.health import Cause, Finding, Outcome, RegistryFacts, Seen
from gslb.domain.messages import Event, LeaseChanged, Remembered
from gslb.domain.topology import (
    Ability,
    Aspect,
    AspectName,
    BackendName,
    BackendSpec,
    Endpoint,
    Family,
    Limits,
    ProbeId,
    ProbeSpec,
    Role,
    Scope,
    Service,
    ServiceName,
    Site,
    SiteName,
    Timing,
    Topology,
    VantageName,
)
from gslb.domain.traffic import Shape
from gslb.domain.world import World
from gslb.ports import Probe
from gslb.stores.memory import MemoryStore

SITES = ("eu", "us", "ap")
NAME = ServiceName("quay.demo")
DNS = BackendName("dns")
DEMO = Timing(
    interval_s=1,
    timeout_s=1,
    confirm_s=0.2,
    corroborate_s=0.5,
    fall=3,
    rise=10,
    dwell_local_s=0,
    dwell_path_s=5,
    quiet_s=5,
    quiet_max_s=20,
    ramp=(100,),
    ramp_step_s=30,
    block_s=0,
)
STORE_DEAD = ("refuse", "hang", "500", "503", "404", "507", "lost-writes", "failing-reads", "half")
STORE_FINE = ("403", "slow")
QUAY_DEAD = ("refuse", "hang", "500", "503", "404")
IO = (Outcome.FAIL, Cause.IO)


@dataclass
class Place:
    """One site: what is broken there."""

    name: str
    store: str | None = None
    quay: str | None = None
    path: str | None = None
    """Cut for the controller only."""
    count: int = 0

    @property
    def dead(self) -> bool:
        """Do clients fail there?"""
        return self.store in STORE_DEAD or self.quay in QUAY_DEAD


@dataclass
class Town:
    """All sites and what they share."""

    dice: random.Random
    places: dict[str, Place] = field(default_factory=lambda: {s: Place(s) for s in SITES})
    database: str | None = None
    listed: bool = False
    """Every Quay lists all sites in its preference: one dead store turns them all false."""


class StoreProbe:
    """put, get, sentinel, list, delete, each within a second."""

    def __init__(self, town: Town, place: Place) -> None:
        self.town, self.place = town, place

    async def run(self) -> Seen:
        fault = self.place.path or self.place.store
        if fault == "hang":
            await asyncio.sleep(1.0)
            return _store(Outcome.FAIL, Cause.TIMEOUT, "put: timeout after 1.0 s")
        await asyncio.sleep(0.01 * self.town.dice.random())
        match fault:
            case "refuse":
                return _store(Outcome.FAIL, Cause.REFUSED, "put: connection refused")
            case "403":
                return _store(Outcome.BLIND, Cause.DENIED, "put: 403")
            case "500" | "503":
                return _store(Outcome.FAIL, Cause.IO, f"put: {fault}")
            case "404":
                return _store(Outcome.FAIL, Cause.MISSING, "put: NoSuchBucket")
            case "507" | "lost-writes":
                return _store(*IO, f"put: {fault}", read=(Outcome.PASS, None))
            case "failing-reads":
                return _store(Outcome.PASS, None, "", read=IO)
            case "half":
                self.place.count += 1
                return _store(*(IO if self.place.count % 2 else (Outcome.PASS, None)), "put: 500")
            case _:
                if fault == "slow":
                    await asyncio.sleep(0.6)
                return _store(Outcome.PASS, None, "")


class FrontProbe:
    """GET /health/instance."""

    def __init__(self, town: Town, place: Place) -> None:
        self.town, self.place = town, place

    async def run(self) -> Seen:
        match self.place.quay:
            case "refuse":
                return _seen("quay.front", Outcome.FAIL, Cause.REFUSED)
            case "hang":
                await asyncio.sleep(1.0)
                return _seen("quay.front", Outcome.FAIL, Cause.TIMEOUT)
            case "500" | "503" | "404":
                return _seen("quay.front", Outcome.FAIL, Cause.GATEWAY)
            case _:
                await asyncio.sleep(0.01)
                facts = RegistryFacts(version="3.18.0")
                return Seen(
                    findings=(Finding(aspect="quay.front", outcome=Outcome.PASS),), facts=facts
                )


class EndtoendProbe:
    """GET /health/endtoend of 3.18: every store one after another, with the SDK's retries."""

    def __init__(self, town: Town, place: Place) -> None:
        self.town, self.place = town, place

    async def run(self) -> Seen:
        if self.place.quay is not None:
            return self._all(Outcome.BLIND, Cause.SLOW)
        storage = True
        for place in self.town.places.values():
            fine, took_s = self._validate(place)
            if took_s >= 60:
                await asyncio.sleep(60)
                return self._all(Outcome.BLIND, Cause.SLOW)
            await asyncio.sleep(took_s)
            if not fine and (place is self.place or self.town.listed):
                storage = False
        database = self.town.database is None
        found = [_finding("quay.storage", storage), _finding("quay.database", database)]
        return Seen(findings=tuple(found))

    def _validate(self, place: Place) -> tuple[bool, float]:
        dice = self.town.dice
        match place.store:
            case "refuse":
                return False, dice.uniform(3, 13)
            case "hang":
                return False, 312
            case "500" | "503":
                return False, dice.uniform(6, 12)
            case "404" | "507" | "lost-writes":
                return False, 0.05
            case "half":
                return True, dice.uniform(0, 2)
            case "slow":
                return True, 1.2
            case _:
                return True, 0.02

    def _all(self, outcome: Outcome, cause: Cause) -> Seen:
        names = ("quay.storage", "quay.database")
        found = tuple(Finding(aspect=n, outcome=outcome, cause=cause, detail="slow") for n in names)
        return Seen(findings=found)


class LoopClock:
    """Both clocks by the event loop's time, which a test may make virtual."""

    def __init__(self, wall_s: float = 1.8e9) -> None:
        self.wall_s = wall_s

    def now(self) -> Now:
        boot_s = asyncio.get_running_loop().time() + 1000.0
        return Now(boot_s, boot_s + self.wall_s)


class Diary:
    """A reporter that keeps every event."""

    def __init__(self) -> None:
        self.events: list[Event] = []

    def report(self, world: World, events: Sequence[Event]) -> None:
        self.events += events

    def lines(self) -> list[str]:
        return [f"{e.boot_s - 1000:8.1f} {e.kind:8} {e.text}" for e in self.events]


def topology(timing: Timing = DEMO, limits: Limits | None = None, **changes: object) -> Topology:
    """Three sites, one service, one backend without weights; as the demo has them."""
    limits = limits or Limits(min_sites=1, changes_per_hour=0)
    sites = tuple(
        Site(name=SiteName(s), addresses=(f"127.0.0.1{n}",), timing=timing)
        for n, s in enumerate(SITES, 1)
    )
    endpoints = tuple(Endpoint(site=s.name) for s in sites)
    service = Service(name=NAME, endpoints=endpoints, limits=limits, via=(DNS,))
    given: dict[str, object] = {
        "cluster": "demo",
        "vantage": VantageName("here"),
        "vantages": {VantageName("here"): None},
        "sites": sites,
        "services": (service,),
        "probes": tuple(p for s in sites for p in probes(s.name, timing)),
        "backends": (BackendSpec(name=DNS, kind="memory", shape=Shape(weights=False)),),
        "limits": limits,
        "mode": "live",
    }
    return Topology(**{**given, **changes})  # type: ignore[arg-type]


def probes(site: SiteName, t: Timing) -> tuple[ProbeSpec, ...]:
    """What the configuration makes of `kind: quay` with a store."""

    def spec(
        name: str, family: Family, aspects: tuple[Aspect, ...], pace: float, end: float
    ) -> ProbeSpec:
        return ProbeSpec(
            id=ProbeId(f"{site}/{name}"),
            site=site,
            family=family,
            pace_s=pace,
            deadline_s=end,
            confirm_s=t.confirm_s,
            interval_s=t.interval_s,
            fall=t.fall,
            timeout_s=t.timeout_s,
            aspects=aspects,
        )

    def aspect(name: str, probe: str, family: Family, **given: object) -> Aspect:
        slow = family is Family.ENDTOEND
        base: dict[str, object] = {
            "site": site,
            "name": AspectName(name),
            "probe": ProbeId(f"{site}/{probe}"),
            "family": family,
            "interval_s": t.interval_s,
            "pace_s": t.endtoend_pace_s if slow else t.interval_s,
            "deadline_s": t.endtoend_deadline_s if slow else 5 * t.timeout_s,
            "confirm_s": t.confirm_s,
            "fall": t.fall,
            "rise": 2 if slow else t.rise,
            "slow_s": float("inf") if slow else t.timeout_s / 2,
            "dwell_local_s": t.dwell_local_s,
            "dwell_path_s": t.dwell_path_s,
            "digest": "d",
        }
        return Aspect(**{**base, **given})  # type: ignore[arg-type]

    store = (
        aspect("store.write", "store", Family.STORE, takes=(Ability.WRITE,)),
        aspect("store.read", "store", Family.STORE),
        aspect("store.list", "store", Family.STORE, role=Role.DEGRADES),
    )
    front = (aspect("quay.front", "quay.front", Family.FRONT, service=NAME, registry=NAME),)
    end = (
        aspect("quay.storage", "quay.endtoend", Family.ENDTOEND, service=NAME, registry=NAME),
        aspect(
            "quay.database",
            "quay.endtoend",
            Family.ENDTOEND,
            service=NAME,
            registry=NAME,
            scope=Scope.SHARED,
        ),
    )
    return (
        spec("store", Family.STORE, store, t.interval_s, 5 * t.timeout_s),
        spec("quay.front", Family.FRONT, front, t.interval_s, 3 * t.timeout_s),
        spec("quay.endtoend", Family.ENDTOEND, end, t.endtoend_pace_s, t.endtoend_deadline_s),
    )


def make_probes(town: Town, topo: Topology) -> dict[ProbeId, Probe]:
    """The imitation probe behind each configured one."""
    kinds = {"store": StoreProbe, "quay.front": FrontProbe, "quay.endtoend": EndtoendProbe}
    return {
        p.id: kinds[p.id.split("/", 1)[1]](town, town.places[p.site])  # type: ignore[abstract]
        for p in topo.probes
    }


def make_loop(
    town: Town, topo: Topology, backend: MemoryBackend, store: MemoryStore, diary: Diary
) -> Loop:
    """The real loop over all that, in its first term of this process."""
    clock = LoopClock()
    world = World(topology=topo, started_s=clock.now().boot_s)
    loop = Loop(world, clock, store, {DNS: backend}, reporters=[diary])
    loop.pacer.replace(topo.probes, make_probes(town, topo))
    loop.put(Remembered(instance=store.shared.instance, memories=(), adopted={}, conflicts={}))
    loop.put(LeaseChanged(epoch=store.shared.epoch))
    return loop


def _store(
    outcome: Outcome,
    cause: Cause | None,
    detail: str,
    read: tuple[Outcome, Cause | None] | None = None,
) -> Seen:
    read = (outcome, cause) if read is None else read
    return Seen(
        findings=(
            Finding(aspect="store.write", outcome=outcome, cause=cause, detail=detail),
            Finding(aspect="store.read", outcome=read[0], cause=read[1], detail="get: 500"),
        )
    )


def _seen(aspect: str, outcome: Outcome, cause: Cause) -> Seen:
    return Seen(findings=(Finding(aspect=aspect, outcome=outcome, cause=cause, detail=str(cause)),))


def _finding(aspect: str, fine: bool) -> Finding:
    if fine:
        return Finding(aspect=aspect, outcome=Outcome.PASS)
    return Finding(aspect=aspect, outcome=Outcome.FAIL, cause=Cause.UNHEALTHY, detail="says false")


__all__ = ["DEMO", "DNS", "NAME", "Diary", "Mode", "Pacer", "Town", "make_loop", "topology"]
