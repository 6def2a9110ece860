"""One day of the simulation: dice for everything that goes wrong, and a judge at its end."""

import asyncio
import contextlib
import random
from collections.abc import Callable
from dataclasses import dataclass, replace

from gslb.domain.control import Action, Mode, Override, Owner, OwnerKind, Pause
from gslb.domain.errors import StoreError
from gslb.domain.topology import Limits, ServiceName, SiteName, Timing
from tests.history import judge
from tests.simulation.replicas import WALL_S, Bad, Replica, Scene
from tests.simulation.town import (
    DEMO,
    NAME,
    QUAY_DEAD,
    SITES,
    STORE_DEAD,
    STORE_FINE,
    Town,
    topology,
)
from tests.simulation.virtual import live

STEPS = 2000
BACK_WITHIN_S = 180.0
DEAD_ONLY_MAX_S = 150.0
BAD_DAY = replace(DEMO, interval_s=2.0, endtoend_pace_s=10.0)
QUIET_DAY = replace(Timing(), ramp=(100,), block_s=0.0)
KIM = Owner(OwnerKind.PERSON, "kim")
LEE = Owner(OwnerKind.PERSON, "lee")


@dataclass
class Day:
    """What happened, and what was wrong with it (None: nothing)."""

    scene: Scene
    bad: str | None = None

    def told(self, last: int | None = None) -> str:
        rows = [f"{t:9.2f} {who:6} {text}" for t, who, text in self.scene.story]
        return "\n".join(rows[-last:] if last else rows)


def live_day(seed: int, steps: int = STEPS, *, hours: float | None = None) -> Day:
    """Live one day; with `hours`, a long and quiet one of the normal profile."""
    found: list[Day] = []

    async def main() -> None:
        limits = Limits(min_sites=1, changes_per_hour=0)
        topo = topology(QUIET_DAY if hours else BAD_DAY, limits, mode=None)
        town = Town(dice=random.Random(f"town {seed}"), listed=seed % 3 == 0)
        scene = Scene(seed, topo, town, lies=0.001 if hours else 0.02)
        found.append(Day(scene))
        await _Drama(scene, random.Random(f"drama {seed}"), hours).play(steps)

    try:
        live(main())
    except* Bad as bad:
        found[0].bad = str(_first(bad))
    day = found[0]
    if day.bad is None and day.scene.bad:
        day.bad = day.scene.bad[0]
    if day.bad is None:
        violations = judge(day.scene.lines)
        day.bad = str(violations[0]) if violations else None
    return day


def _first(error: BaseException) -> BaseException:
    return _first(error.exceptions[0]) if isinstance(error, BaseExceptionGroup) else error


class _Drama:
    def __init__(self, scene: Scene, dice: random.Random, hours: float | None) -> None:
        self.scene, self.dice, self.hours = scene, dice, hours
        self.replicas = [Replica(n, scene, random.Random(dice.random())) for n in ("a", "b")]
        self.tasks: set[asyncio.Task[None]] = set()

    async def play(self, steps: int) -> None:
        for replica in self.replicas:
            await replica.start()
        await self.replicas[0].near.commit({"control/mode": {"mode": str(Mode.LIVE)}})  # type: ignore[union-attr]  # it is started
        for site in SITES:
            self.scene.tell_truth(site)
        async with asyncio.TaskGroup() as group:
            self.group = group
            watching = group.create_task(self._watch())
            await asyncio.sleep(40)
            while not self._over(steps):
                await self.dice.choices(self.acts, self.weights)[0](self)
                await asyncio.sleep(self._pause_s())
                for replica in self.replicas:
                    replica.raise_failure()
            await self._quiet()
            watching.cancel()
        for replica in self.replicas:
            await replica.close()

    def _over(self, steps: int) -> bool:
        if self.hours:
            return self.scene.now_s >= self.hours * 3600
        return self.scene.steps >= steps

    def _pause_s(self) -> float:
        if self.hours:
            return self.dice.expovariate(1 / 2400)
        return self.dice.choice((0.3, 2, 5, 10, 20)) * self.dice.random()

    # ── what is judged while it happens ─────────────────────────────────────────────────────────

    async def _watch(self) -> None:
        """Dead sites only are served for no longer than the bound while a whole one is there."""
        scene, bound_s = self.scene, DEAD_ONLY_MAX_S
        while True:
            hurts = scene.whole and not scene.whole & scene.served and not scene.trouble
            scene.moved.clear()
            try:
                async with asyncio.timeout(bound_s if hurts else None):
                    await scene.moved.wait()
                    while hurts and scene.whole and not scene.whole & scene.served:
                        if scene.trouble:
                            break
                        scene.moved.clear()
                        await scene.moved.wait()
            except TimeoutError:
                raise Bad(f"{scene.served} dead only, {scene.whole} whole, {bound_s} s") from None

    async def _quiet(self) -> None:
        """Everything is mended; every site must be back."""
        scene = self.scene
        scene.say("quiet: everything is mended, every word taken back")
        for replica in self.replicas:
            replica.stops = ("", 0.0)
        for site in SITES:
            self._mend(site)
        await asyncio.gather(*self.tasks)
        await asyncio.sleep(40)  # who was stopped at a plan goes on
        await asyncio.sleep(5)
        while "words" in scene.trouble:
            with contextlib.suppress(StoreError):
                loop = self.dice.choice(self.replicas).loop
                assert loop is not None
                await loop.spoken.drop(loop.world.overrides)
                await loop.spoken.set_pause(None)
            await asyncio.sleep(1)
        back_s = 1500.0 if self.hours else BACK_WITHIN_S
        ends_s = scene.now_s + back_s
        while scene.served != set(SITES):
            if scene.now_s > ends_s:
                raise Bad(f"{set(SITES) - scene.served} whole and not back after {back_s:.0f} s")
            await asyncio.sleep(0.5)

    # ── what goes wrong ─────────────────────────────────────────────────────────────────────────

    def _for(self, trouble: str, lasts_s: float, undo: Callable[[], None]) -> None:
        """Trouble for a while; a second of the same kind at the same time is none of its own."""
        self.scene.trouble.add(trouble)
        self.scene.moved.set()

        async def end() -> None:
            await asyncio.sleep(lasts_s)
            undo()
            self.scene.trouble.discard(trouble)
            self.scene.moved.set()

        task = self.group.create_task(end())
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)

    async def _site(self) -> None:
        site = self.dice.choice(SITES)
        place = self.scene.town.places[site]
        if place.store or place.quay:
            self._mend(site)
            return
        if self.dice.random() < 0.7:
            place.store = self.dice.choice(STORE_DEAD + STORE_FINE)
        else:
            place.quay = self.dice.choice(QUAY_DEAD)
        self.scene.say(f"break {site}: store {place.store} quay {place.quay}")
        self.scene.tell_truth(site)

    def _mend(self, site: str) -> None:
        place = self.scene.town.places[site]
        if place.store or place.quay:
            place.store = place.quay = None
            self.scene.say(f"mend {site}")
            self.scene.tell_truth(site)

    async def _freeze(self) -> None:
        replica = self._somebody()
        if replica.frozen or f"{replica.name} frozen" in self.scene.trouble:
            return
        lasts_s, who = self.dice.choice((1, 8, 20, 45)) * self.dice.random(), replica.who
        replica.freeze()
        self._for(f"{replica.name} frozen", lasts_s, lambda: replica.thaw_if(who))

    async def _freeze_at_plan(self) -> None:
        """Stopped while it saves its next plan, or after its last look at the lease."""
        where, lasts_s = self.dice.choice(("save", "send")), self.dice.choice((2, 20, 40, 40))
        self._somebody().stops = (where, lasts_s * self.dice.random())

    async def _wire(self) -> None:
        replica, dice = self._somebody(), self.dice
        store = dice.random() < 0.6
        name = f"{replica.name} to {'store' if store else 'backend'}"
        if name in self.scene.trouble:
            return
        wire = replica.to_store if store else replica.to_backend
        wire.late_s = dice.choice((0, 0.5, 3, 25))
        wire.lost = dice.choice((0, 0.1, 0.5))
        wire.cut = dice.random() < 0.2
        self.scene.say(f"wire {name}: late {wire.late_s} s, lost {wire.lost}, cut {wire.cut}")

        def undo() -> None:
            wire.late_s, wire.lost, wire.cut = 0.0, 0.0, False
            self.scene.say(f"wire {name} is well")

        self._for(name, dice.choice((3, 15, 40)) * dice.random(), undo)

    async def _backend(self) -> None:
        backend, dice = self.scene.backend, self.dice
        if "backend" in self.scene.trouble:
            return
        fault = dice.choice(("failing", "refusing", "hang", "lose_reply"))
        setattr(backend, fault, "out of order" if fault in ("failing", "refusing") else True)
        self.scene.say(f"backend: {fault}")

        def undo() -> None:
            backend.failing = backend.refusing = None
            backend.hang = backend.lose_reply = False
            self.scene.say("backend is well")

        self._for("backend", dice.choice((2, 10, 30)) * dice.random(), undo)

    async def _store(self) -> None:
        replica = self._somebody()
        near, name = replica.near, f"{replica.name} store error"
        if name in self.scene.trouble or near is None:
            return
        near.error = "the disk is full"
        self.scene.say("the store fails", replica.who)

        def undo() -> None:
            near.error = None

        self._for(name, self.dice.choice((2, 10, 30)) * self.dice.random(), undo)

    async def _wall(self) -> None:
        replica = self._somebody()
        replica.clock.jumped_s = self.dice.choice((0, 0, 40, -40, 3600, -3600))
        self.scene.say(f"wall clock at {replica.clock.jumped_s:+.0f} s", replica.who)

    async def _restart(self) -> None:
        replica = self._somebody()
        if replica.frozen and self.dice.random() < 0.5:
            return
        await replica.end(killed=self.dice.random() < 0.7)
        lasts_s = self.dice.choice((0.1, 5, 30)) * self.dice.random()
        name = f"{replica.name} starts"
        self.scene.trouble.add(name)
        await asyncio.sleep(lasts_s)
        await replica.start()
        self._for(name, 40.0, lambda: None)

    async def _word(self) -> None:
        """A person drains or forces in, takes it back, pauses or resumes, at either replica."""
        loop, dice = self._somebody().loop, self.dice
        assert loop is not None
        spoken, words, wall_s = loop.spoken, loop.world.overrides, self.scene.now_s + WALL_S
        try:
            async with asyncio.timeout(5):
                if words and dice.random() < 0.6:
                    await spoken.drop((dice.choice(words),))
                elif loop.world.pause is not None or dice.random() < 0.4:
                    pause = Pause(owner=KIM, reason="", created_wall_s=wall_s)
                    await spoken.set_pause(pause if loop.world.pause is None else None)
                else:
                    word = Override(
                        site=SiteName(dice.choice(SITES)),
                        action=dice.choice((Action.DRAIN, Action.FORCE_IN)),
                        owner=dice.choice((KIM, LEE)),
                        services=dice.choice(((), (ServiceName(NAME),))),
                        reason="because",
                        created_wall_s=wall_s,
                        ends_wall_s=wall_s + 500_000,
                    )
                    await spoken.set_override(word, replace_other=dice.random() < 0.5)
        except (StoreError, TimeoutError) as error:
            self.scene.say(f"a word was not kept: {error!r}")

    def _somebody(self) -> Replica:
        """The one that leads, more often than not."""
        leading = [r for r in self.replicas if r.near is self.scene.shared.holder]
        return self.dice.choice(self.replicas + leading)

    acts = (_site, _freeze, _freeze_at_plan, _wire, _backend, _store, _wall, _restart, _word)
    weights = (10, 3, 3, 4, 2, 1, 1, 2, 3)
