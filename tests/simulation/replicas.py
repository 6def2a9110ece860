"""Two replicas of the real house on one shared store and one backend, each a process of its own."""

import asyncio
import json
import random
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from gslb.backends.memory import Memory as MemoryBackend
from gslb.backends.memory import Settings
from gslb.controller.documents import remembered
from gslb.controller.leader import Leader
from gslb.controller.loop import Loop
from gslb.domain.control import Now
from gslb.domain.health import Cause, Outcome, Seen
from gslb.domain.messages import Event
from gslb.domain.topology import Topology
from gslb.domain.traffic import Plan
from gslb.domain.world import World
from gslb.ports import Probe
from gslb.reporters.history import History
from gslb.stores.memory import MemoryStore, Shared
from tests.history import config_of
from tests.simulation.links import FarBackend, FarStore, Wire, virtual
from tests.simulation.town import DNS, NAME, Town, make_probes
from tests.simulation.virtual import context_of

BOOT_S = 1000.0
WALL_S = 1.8e9
WHOLE_AFTER_S = 100.0
LIES_APART = 40


class Bad(AssertionError):
    """What was violated."""


@dataclass
class Clock:
    """The boot clock is everybody's; each replica has a wall clock of its own."""

    jumped_s: float = 0.0

    def now(self) -> Now:
        boot_s = asyncio.get_running_loop().time() + BOOT_S
        return Now(boot_s, boot_s + WALL_S + self.jumped_s)


@dataclass
class Lying:
    """A probe one of whose findings is now and then wrong, but never two within one fall."""

    probe: Probe
    dice: random.Random
    lies: float
    since: int = 0

    async def run(self) -> Seen:
        seen = await self.probe.run()
        self.since += 1
        if self.since < LIES_APART or self.dice.random() >= self.lies:
            return seen
        self.since = 0
        number = self.dice.randrange(len(seen.findings))
        told = seen.findings[number]
        if told.outcome is Outcome.PASS:
            lie = replace(told, outcome=Outcome.FAIL, cause=Cause.IO, detail="a lie")
        else:
            lie = replace(told, outcome=Outcome.PASS, cause=None, detail="")
        findings = (*seen.findings[:number], lie, *seen.findings[number + 1 :])
        return replace(seen, findings=findings)


@dataclass
class Scene:
    """All that the replicas share, what is told of it, and what is known to be wrong with it."""

    seed: int
    topology: Topology
    town: Town
    lies: float = 0.0
    steps: int = 0
    story: list[tuple[float, str, str]] = field(default_factory=list)
    lines: list[dict[str, Any]] = field(default_factory=list)
    bad: list[str] = field(default_factory=list)
    """What was violated at the server, where nobody hears an exception."""
    trouble: set[str] = field(default_factory=set)
    """What keeps automation from its work just now: faults, and words of people."""
    moved: asyncio.Event = field(default_factory=asyncio.Event)
    """Something was served, broken or mended."""

    def __post_init__(self) -> None:
        self._said: dict[str, Any] = {}
        self.shared = Shared(instance=f"sim{self.seed:09}")
        addresses = {str(NAME): tuple(s.addresses[0] for s in self.topology.sites)}
        self.backend = MemoryBackend(Settings(answers=addresses))
        told = config_of(self.topology, whole_after_s=WHOLE_AFTER_S)
        self.line("config", **told)
        self.tell_served()

    @property
    def now_s(self) -> float:
        return asyncio.get_running_loop().time()

    def say(self, text: str, who: str = "TOWN") -> None:
        self.story.append((self.now_s, who, text))

    def line(self, kind: str, **told: Any) -> None:
        self.lines.append({"t": self.now_s + BOOT_S, "who": "driver", "kind": kind, **told})

    def tell_served(self) -> None:
        targets = [t.value for t in self.backend.answers[NAME]]
        self.line("served", server="memory", service=NAME, targets=targets)
        self.moved.set()

    def tell_truth(self, site: str) -> None:
        place = self.town.places[site]
        self.line("truth", site=site, able=not place.dead, why=place.store or place.quay)
        self.moved.set()

    def tell_words(self) -> None:
        """What people said is in force once the store has it, whoever has learned it."""
        now = {k: json.loads(d) for k, d in self.shared.documents.items() if k[:8] == "control/"}
        old, self._said = self._said, now
        for key in {**old, **now}:
            word, on = now.get(key) or old[key], key in now
            if old.get(key) == now.get(key) or key == "control/mode":
                continue
            if key == "control/pause":
                self.line("pause", on=on)
                self.say("paused" if on else "resumed", "STORE")
                continue
            who = ":".join(word["owner"].values())
            told = {k: word[k] for k in ("site", "action", "services", "skip")}
            self.line("word", key=key, owner=who, ends=None, on=on, **told)
            self.say(
                f"{who}: {word['action']} {word['site']} is {'said' if on else 'gone'}", "STORE"
            )
        (self.trouble.add if len(now) > 1 else self.trouble.discard)("words")
        self.moved.set()

    @property
    def served(self) -> set[str]:
        """The sites in the answer."""
        sites = {s.addresses[0]: str(s.name) for s in self.topology.sites}
        return {sites[t.value] for t in self.backend.answers[NAME]}

    @property
    def whole(self) -> set[str]:
        return {s for s, p in self.town.places.items() if not p.dead}


class Replica:
    """One process: started, frozen, thawed, ended and killed; each start is a new one."""

    def __init__(self, name: str, scene: Scene, dice: random.Random) -> None:
        self.name, self.scene, self.dice = name, scene, dice
        self.clock = Clock()
        self.to_store = Wire(random.Random(dice.random()))
        self.to_backend = Wire(random.Random(dice.random()))
        self.near: MemoryStore | None = None
        self.starts = 0
        self.frozen = False
        self.stops: tuple[str, float] = ("", 0.0)
        """Where its next plan stops it (`save`, `send`), and for how long."""
        self.loop: Loop | None = None
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """A new process with an empty memory."""
        self.starts += 1
        self.who = f"{self.name}{self.starts}"
        scene = self.scene
        self.near = MemoryStore(1000, scene.shared)
        self.store = FarStore(self.near, self.to_store, said=scene.tell_words, saving=self._saving)
        self.far = FarBackend(
            scene.backend, self.to_backend, sent=self._sent, accepted=self._accepted
        )
        self.history = History(scene.lines.append, self.who, self.clock)
        world = World(topology=scene.topology, started_s=self.clock.now().boot_s)
        self.loop = loop = Loop(
            world,
            self.clock,
            self.store,
            {DNS: self.far},
            embedded=False,
            reporters=[self, self.history],
            observers=[self.history.call],
            passed=self._passed,
        )
        self.far.term = lambda: loop.world.epoch
        found = make_probes(scene.town, scene.topology)
        probes: dict[Any, Probe] = {
            k: Lying(p, random.Random(self.dice.random()), scene.lies) for k, p in found.items()
        }
        self.loop.pacer.replace(scene.topology.probes, probes)
        self.loop.put(remembered(await self.near.load(), self.clock.now()))
        self.leader = Leader(self.store, self.loop)
        run = self._run(self.loop, self.leader)
        self._task = virtual().create_task(run, context=context_of(self.who))
        scene.say("starts", self.who)
        scene.lines.append(
            {
                "t": self.clock.now().boot_s,
                "who": self.who,
                "kind": "start",
                "epoch": None,
                "instance": scene.shared.instance,
                "cluster": scene.topology.cluster,
            }
        )

    async def _run(self, loop: Loop, leader: Leader) -> None:
        async with asyncio.TaskGroup() as house:
            house.create_task(loop.run())
            house.create_task(leader.run())

    def freeze(self) -> None:
        self.frozen = True
        self.scene.say("is stopped", self.who)
        virtual().freeze(self.who)

    def thaw(self) -> None:
        self.frozen = False
        self.scene.trouble.discard(f"{self.name} stopped")
        self.scene.say("goes on", self.who)
        virtual().thaw(self.who)

    async def end(self, *, killed: bool) -> None:
        """kill -9, or a stop in good order, which lets another lead at once."""
        assert self._task is not None
        self.store.dead = self.far.dead = killed
        if self.frozen:
            self.thaw()
        self.scene.say("is killed" if killed else "is stopped in good order", self.who)
        self._task.cancel()
        done = await asyncio.gather(self._task, return_exceptions=True)
        self.raise_failure(done)
        if not killed:
            await self.leader.resign()

    async def close(self) -> None:
        """The end of the day."""
        await self.end(killed=False)
        await self.to_store.close()
        await self.to_backend.close()

    def raise_failure(self, done: Sequence[object] = ()) -> None:
        """A house that fell down by itself."""
        task = self._task
        if task is not None and task.done() and not task.cancelled() and task.exception():
            raise Bad(f"{self.who} fell: {task.exception()!r}") from task.exception()

    def report(self, world: World, events: Sequence[Event]) -> None:
        for event in events:
            self.scene.story.append(
                (event.boot_s - BOOT_S, self.who, f"{event.kind}: {event.text}")
            )

    def _passed(self, seconds: float, waiting: int) -> None:
        self.scene.steps += 1

    def _saving(self) -> None:
        self._stop_at("save")

    def _sent(self, plan: Plan) -> bool:
        """Is it sent by one that has the lease, by the clock of the store?"""
        if self.near is not None and not self.near.leads(plan.epoch) and not self.store.dead:
            raise Bad(f"{self.who} sends a plan of epoch {plan.epoch} without the lease")
        if self.far.read_in != plan.epoch:
            raise Bad(f"{self.who} plans in epoch {plan.epoch} on an answer of {self.far.read_in}")
        return self._stop_at("send")

    def _stop_at(self, place: str) -> bool:
        where, lasts_s = self.stops
        if place != where:
            return False
        self.stops = ("", 0.0)
        self.scene.trouble.add(f"{self.name} stopped")
        self.freeze()
        virtual().call_later(lasts_s, self.thaw_if, self.who, context=context_of(""))
        return True

    def thaw_if(self, who: str) -> None:
        if who == self.who and self.frozen:
            self.thaw()

    def _accepted(self, plan: Plan) -> None:
        sites = ", ".join(sorted(self.scene.served))
        self.scene.say(f"epoch {plan.epoch} of {self.who} is taken: {sites}", "DNS")
        if not self.scene.backend.answers[NAME]:
            self.scene.bad.append("the answer is empty")
        epochs = [p.epoch for p in self.scene.backend.history]
        if len(epochs) > 1 and epochs[-1] < epochs[-2]:
            self.scene.bad.append(f"epoch {epochs[-1]} was taken after {epochs[-2]}")
        self.scene.tell_served()
