"""Worlds with quiet defaults, and a life lived through the real `step` without any loop.

A `Life` has the pacer's rules with probes that answer at once, backends that take 0.1 s, and a
clock in tenths of a second. Everything is deterministic.
"""

from collections.abc import Iterable
from dataclasses import replace

from gslb.domain.control import Action, Mode, Now, Override, Owner, OwnerKind, Pause
from gslb.domain.health import Cause, Observation, Outcome, RegistryFacts
from gslb.domain.messages import (
    AnswersRead,
    Apply,
    BackendFailed,
    ControlChanged,
    Event,
    Input,
    Keep,
    LeaseChanged,
    Order,
    PlanApplied,
    ProbeRan,
    Read,
    Remembered,
)
from gslb.domain.topology import (
    Aspect,
    BackendName,
    Family,
    ProbeSpec,
    Service,
    ServiceName,
    Site,
    SiteName,
    Topology,
    Window,
)
from gslb.domain.traffic import Answer, Generation, Plan, Pool, Reading, Target
from gslb.domain.world import Memory, World
from gslb.policy import pace
from gslb.policy.moment import Moment
from gslb.policy.step import Step, step
from tests.simulation.town import DNS, NAME, topology

START_S = 1000.0
WALL_S = 1.8e9
TENTH = 0.1
EU, US, AP = SiteName("eu"), SiteName("us"), SiteName("ap")
KIM = Owner(OwnerKind.PERSON, "kim")
Look = tuple[Outcome, Cause | None, str]
PASS: Look = (Outcome.PASS, None, "")


def with_sites(topo: Topology, **changes: object) -> Topology:
    """The same with these fields at every site."""
    return replace(topo, sites=tuple(replace(s, **changes) for s in topo.sites))  # type: ignore[arg-type]


def with_service(topo: Topology, **changes: object) -> Topology:
    """The same with these fields at the service."""
    return replace(topo, services=tuple(replace(s, **changes) for s in topo.services))  # type: ignore[arg-type]


def with_limits(topo: Topology, **changes: object) -> Topology:
    """The same with other limits."""
    return with_service(topo, limits=replace(topo.limits, **changes))  # type: ignore[arg-type]


def with_timing(topo: Topology, **changes: object) -> Topology:
    """The same with other times at every site (those that the probes do not take over)."""
    sites = (replace(s, timing=replace(s.timing, **changes)) for s in topo.sites)  # type: ignore[arg-type]
    return replace(topo, sites=tuple(sites))


def with_backend(topo: Topology, **shape: object) -> Topology:
    """The same with another shape of the backend."""
    spec = topo.backends[0]
    return replace(topo, backends=(replace(spec, shape=replace(spec.shape, **shape)),))  # type: ignore[arg-type]


def with_aspects(topo: Topology, base: str, **changes: object) -> Topology:
    """The same with these fields at every aspect of this name."""
    probes = []
    for probe in topo.probes:
        aspects = tuple(replace(a, **changes) if a.base == base else a for a in probe.aspects)  # type: ignore[arg-type]
        probes.append(replace(probe, aspects=aspects))
    return replace(topo, probes=tuple(probes))


def without_probes(topo: Topology, name: str, *sites: str) -> Topology:
    """The same without this probe (at these sites)."""
    gone = {f"{s}/{name}" for s in (sites or [s.name for s in topo.sites])}
    return replace(topo, probes=tuple(p for p in topo.probes if p.id not in gone))


def replace_windows(topo: Topology, *windows: Window) -> Topology:
    """The same with these windows."""
    return replace(topo, windows=windows)


def service_of(topo: Topology) -> Service:
    return topo.services[0]


def answer(topo: Topology, **weights: int) -> Answer:
    """`answer(topo, eu=1, us=1)`."""
    addresses = {s.name: s.addresses for s in topo.sites}
    found = [
        Target(value, weight, SiteName(site))
        for site, weight in weights.items()
        for value in addresses[SiteName(site)]
    ]
    return Answer(name=NAME, targets=tuple(found))


class Life:
    """What a controller lives through."""

    def __init__(
        self,
        topo: Topology | None = None,
        *,
        served: Iterable[str] | None = ("eu", "us", "ap"),
        epoch: int | None = 1,
        settle_s: float = 20.0,
        mode: Mode = Mode.LIVE,
        generation: Generation | None = None,
    ) -> None:
        self.topo = topo = topo if topo is not None else topology()
        self.tenth = 0
        self.wall_jump_s = 0.0
        self.looks: dict[tuple[str, str], Look] = {}
        self.facts: dict[str, RegistryFacts] = {}
        self.begun: dict[str, float] = {}
        self.due: dict[str, float] = {}
        self.events: list[Event] = []
        self.orders: list[Order] = []
        self.coming: list[tuple[int, Input]] = []
        self.memories: dict[SiteName, Memory] = {}
        self.adopted: dict[BackendName, tuple[ServiceName, ...]] = {}
        self.conflicts: dict[BackendName, str] = {}
        self.incidents = 0
        self.held: Answer | None = answer(topo, **dict.fromkeys(served, 1)) if served else None
        self.generation = generation
        self.backend_fault: str | None = None
        self.plans: list[Plan] = []
        self.overrides: tuple[Override, ...] = ()
        self.pause: Pause | None = None
        self.mode = mode
        self.epoch = 0
        self.wake_at_s: float | None = None
        self.world = World(topology=topo, started_s=START_S)
        self.restart(epoch)
        self.wait(settle_s)

    @property
    def now(self) -> Now:
        boot_s = START_S + self.tenth * TENTH
        return Now(boot_s, WALL_S + boot_s + self.wall_jump_s)

    @property
    def served(self) -> str:
        """`eu,us`: what the backend really answers."""
        return ",".join(self.held.sites) if self.held is not None else ""

    @property
    def moment(self) -> Moment:
        return Moment(self.now.boot_s)

    def restart(self, epoch: int | None = None) -> None:
        """A new process with what was kept."""
        self.world = World(topology=self.topo, started_s=self.now.boot_s)
        self.begun, self.coming, self.wake_at_s = {}, [], None
        self.due = {p.id: self.now.boot_s + 0.1 for p in self.topo.probes}
        kept = Remembered(
            instance="i1",
            memories=tuple(self.memories.values()),
            adopted=self.adopted,
            conflicts=self.conflicts,
            incidents=self.incidents,
        )
        self.tell(kept)
        self.control()
        self.lead(self.epoch + 1 if epoch is None else epoch)

    def lead(self, epoch: int | None) -> None:
        self.epoch = epoch or self.epoch
        self.tell(LeaseChanged(epoch=epoch))

    def tell(self, *inputs: Input) -> Step:
        """One step with these inputs, now."""
        taken = step(self.world, inputs, self.now)
        self.world, self.wake_at_s = taken.world, taken.wake_at_s
        self.events += taken.events
        self.orders += taken.orders
        for order in taken.orders:
            self._carry_out(order)
        return taken

    def wait(self, seconds: float) -> None:
        """Let time pass: probes run, backends answer, and the core is woken when it asked to be."""
        for _ in range(round(seconds / TENTH)):
            self.tenth += 1
            inputs = [i for at, i in self.coming if at <= self.tenth]
            self.coming = [(at, i) for at, i in self.coming if at > self.tenth]
            inputs += [
                self._run(p, normal)
                for p in self.topo.probes
                if (normal := self._due(p)) is not None
            ]
            woken = self.wake_at_s is not None and self.now.boot_s >= self.wake_at_s
            if inputs or woken:
                self.tell(*inputs)

    # ── probes ──────────────────────────────────────────────────────────────────────────────────

    def break_(
        self, site: str, aspect: str, cause: Cause, detail: str = "", *, blind: bool = False
    ) -> None:
        """From now on. `store` stands for `store.write` and `store.read`."""
        outcome = Outcome.BLIND if blind else Outcome.FAIL
        for name in _names(aspect):
            self.looks[site, name] = (outcome, cause, detail or f"{cause}")

    def mend(self, site: str, aspect: str) -> None:
        for name in _names(aspect):
            self.looks.pop((site, name), None)

    def see(self, site: str, probe: str, look: Look | None = None, *, normal: bool = False) -> None:
        """One run of a probe, now; all its aspects look so."""
        spec = next(p for p in self.topo.probes if p.id == f"{site}/{probe}")
        self.tell(self._run(spec, normal, look))

    def _due(self, spec: ProbeSpec) -> bool | None:
        """Is the probe due now, and by the normal pace?"""
        now_s = self.now.boot_s
        begun_s = self.begun.get(spec.id, -1e9)
        if now_s >= self.due[spec.id] - 1e-6:
            self.due[spec.id] += spec.pace_s
            return True
        next_s = begun_s + pace.pace_s(self.world, spec, now_s)
        if pace.is_suspect(self.world, spec.site, now_s) and now_s >= next_s - 1e-6:
            return False
        asked_s = pace.asked_at_s(self.world, spec, begun_s)
        return False if asked_s is not None and now_s >= asked_s - 1e-6 else None

    def _run(self, spec: ProbeSpec, normal: bool, look: Look | None = None) -> ProbeRan:
        now_s = self.now.boot_s
        self.begun[spec.id] = now_s
        found = [self._observed(spec, a, look) for a in spec.aspects]
        if look is None and (spec.site, "store.write") in self.looks:
            found = [o for o in found if o.aspect != "store.list"]  # the run ended before it
        facts = self.facts.get(spec.site) if spec.family is Family.FRONT else None
        return ProbeRan(
            probe=spec.id, observations=tuple(found), facts=facts, normal=normal, latency_s=0.01
        )

    def _observed(self, spec: ProbeSpec, aspect: Aspect, look: Look | None) -> Observation:
        outcome, cause, detail = look or self.looks.get((spec.site, aspect.base), PASS)
        return Observation(
            site=spec.site,
            aspect=aspect.name,
            vantage=self.topo.vantage,
            outcome=outcome,
            cause=cause,
            detail=detail,
            begun_s=self.now.boot_s,
            ended_s=self.now.boot_s,
        )

    # ── the backend ─────────────────────────────────────────────────────────────────────────────

    def _carry_out(self, order: Order) -> None:
        match order:
            case Keep():
                self.memories |= {m.site: m for m in order.memories}
                self.adopted |= order.adopted
                self.conflicts |= {
                    b: text for b, text in order.conflicts.items() if text is not None
                }
                self.incidents = self.incidents if order.incidents is None else order.incidents
                self.overrides = tuple(o for o in self.overrides if o.key not in order.dropped)
            case Read():
                self._after(self._read(order))
            case Apply():
                self._after(self._apply(order.plan))

    def _after(self, seen: Input) -> None:
        self.coming.append((self.tenth + 1, seen))

    def _read(self, order: Read) -> Input:
        if self.backend_fault == "fails":
            return BackendFailed(
                backend=order.backend, epoch=order.epoch, error="timeout after 2 s"
            )
        (pool,) = order.pools
        held = None if self.held is None else _as_seen(self.held, pool)
        reading = Reading(answers={pool.service: held}, generation=self.generation)
        return AnswersRead(
            backend=order.backend, epoch=order.epoch, reading=reading, begun_s=self.now.boot_s
        )

    def _apply(self, plan: Plan) -> Input:
        if self.backend_fault == "fails":
            return BackendFailed(
                backend=plan.backend, epoch=plan.epoch, error="timeout after 2 s", plan=plan
            )
        if plan.expects != self.generation and plan.leaves is not None:
            return BackendFailed(
                backend=plan.backend, epoch=plan.epoch, error="YXRRSET", fenced=True, plan=plan
            )
        self.plans.append(plan)
        if self.backend_fault != "ignores":
            for change in plan.changes:
                self.held = change.after
        if plan.leaves is not None:
            self.generation = plan.leaves
        return PlanApplied(plan=plan, begun_s=self.now.boot_s)

    # ── people ──────────────────────────────────────────────────────────────────────────────────

    def control(self) -> None:
        """What the store holds is learned."""
        self.tell(
            ControlChanged(
                revision=self.world.revision + 1,
                overrides=self.overrides,
                pause=self.pause,
                mode=self.mode,
            )
        )

    def say(
        self,
        action: str,
        site: str,
        who: str = "person:kim",
        for_s: float = 7200.0,
        skip: tuple[str, ...] = (),
        services: tuple[ServiceName, ...] = (),
    ) -> None:
        """A person (or `alert:NAME`) drains or forces in."""
        kind, _, name = who.partition(":")
        word = Override(
            site=SiteName(site),
            action=Action(action),
            owner=Owner(OwnerKind(kind), name),
            services=services,
            reason="works",
            created_wall_s=self.now.wall_s,
            ends_wall_s=self.now.wall_s + for_s,
            skip=skip,
            version=self.tenth,
        )
        self.overrides = (*(o for o in self.overrides if o.key != word.key), word)
        self.control()

    def release(self, site: str, who: str = "person:kim") -> None:
        self.overrides = tuple(o for o in self.overrides if (o.site, str(o.owner)) != (site, who))
        self.control()

    def set_pause(self, for_s: float | None = None, *, on: bool = True) -> None:
        wall_s = self.now.wall_s
        ends_s = None if for_s is None else wall_s + for_s
        self.pause = None
        if on:
            self.pause = Pause(owner=KIM, reason="works", created_wall_s=wall_s, ends_wall_s=ends_s)
        self.control()

    # ── what came of it ─────────────────────────────────────────────────────────────────────────

    def refusals(self) -> set[tuple[str, str]]:
        """(guard, site) of what is held back now."""
        return {(r.guard, str(r.site)) for r in self.world.refusals}

    def verdict(self, site: str) -> str:
        return str(self.world.states[SiteName(site)].verdict)

    def alarms(self) -> set[str]:
        return {str(a.kind) for a in self.world.alarms}

    def told(self, kind: str) -> list[str]:
        """The texts of all events of a kind."""
        return [e.text for e in self.events if e.kind == kind]


def _names(aspect: str) -> tuple[str, ...]:
    return ("store.write", "store.read") if aspect == "store" else (aspect,)


def _as_seen(held: Answer, pool: Pool) -> Answer:
    """Sites as the adapter tells them: by the pool."""
    return Answer(
        name=held.name,
        targets=tuple(Target(t.value, t.weight, pool.site_of(t.value)) for t in held.targets),
    )


__all__ = [
    "AP",
    "DNS",
    "EU",
    "KIM",
    "NAME",
    "PASS",
    "US",
    "Life",
    "Site",
    "answer",
    "service_of",
    "topology",
]
