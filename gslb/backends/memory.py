"""A backend in this process, fenced like the real ones: for tests, simulation and trials.

Its faults are plain attributes: set one, and the next call behaves so.
"""

import asyncio
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import replace
from typing import Any

from pydantic import BaseModel

from gslb.domain.errors import BackendError, BackendFenced, BackendRefused
from gslb.domain.topology import ServiceName
from gslb.domain.traffic import Answer, Fencing, Generation, Plan, Pool, Reading, Shape, Target
from gslb.ports import Adapter


class Settings(BaseModel, frozen=True, extra="forbid"):
    """What it can say; and what it serves at first: a name and its values, weight 1 each."""

    weight_max: int = 1
    ttl_min_s: float = 0.0
    fenced: bool = True
    answers: Mapping[str, tuple[str, ...]] = {}


class Memory:
    """Holds answers and a generation; `history` has each plan that was carried out."""

    def __init__(self, settings: Settings | None = None) -> None:
        self.settings = settings or Settings()
        self.answers: dict[ServiceName, tuple[Target, ...]] = {
            ServiceName(name): tuple(Target(value) for value in values)
            for name, values in self.settings.answers.items()
        }
        self.generation: Generation | None = None
        self.foreign_generation: str | None = None
        self.behind: dict[ServiceName, tuple[str, ...]] = {}
        self.history: list[Plan] = []
        self.failing: str | None = None
        """Every call ends in a BackendError with this text."""
        self.refusing: str | None = None
        """Every apply ends in a BackendRefused with this text."""
        self.hang = False
        """Calls do not return until they are cancelled."""
        self.lose_reply = False
        """An apply is carried out, but its caller hears of a timeout."""

    async def read(self, pools: Sequence[Pool]) -> Reading:
        await self._trouble()
        return Reading(
            answers={pool.service: self._answer(pool) for pool in pools},
            generation=self.generation,
            foreign_generation=self.foreign_generation,
            behind=dict(self.behind),
        )

    async def apply(self, plan: Plan) -> None:
        await self._trouble()
        if self.refusing is not None:
            raise BackendRefused(self.refusing)
        # From here on nothing awaits: all of it or nothing, as in the real ones.
        held: object = self.foreign_generation or self.generation
        if self.settings.fenced and held != plan.expects:
            raise BackendFenced(f"holds {held or 'no generation'}, expected {plan.expects}")
        for change in plan.changes:
            served = self._answer(change.pool)
            if served != change.before:
                raise BackendFenced(f"{change.pool.service} is not as expected: {served}")
        for change in plan.changes:
            self.answers[change.pool.service] = change.after.targets
        self.generation = plan.leaves
        self.history.append(plan)
        if self.lose_reply:
            raise BackendError("no answer in time")

    def _answer(self, pool: Pool) -> Answer | None:
        held = self.answers.get(pool.service)
        if held is None:
            return None
        known = tuple(replace(target, site=pool.site_of(target.value)) for target in held)
        return Answer(name=pool.service, targets=known)

    async def _trouble(self) -> None:
        await asyncio.sleep(0)
        if self.hang:
            await asyncio.Event().wait()
        if self.failing is not None:
            raise BackendError(self.failing)


def open_memory(settings: Settings, wire: Any) -> nullcontext[Memory]:
    return nullcontext(Memory(settings))


def shape(settings: Settings) -> Shape:
    """Weights when `weight_max` is above 1."""
    return Shape(
        weights=settings.weight_max > 1,
        weight_max=settings.weight_max,
        ttl_min_s=settings.ttl_min_s,
        fencing=Fencing.CAS if settings.fenced else Fencing.TIME,
    )


ADAPTER = Adapter(kind="memory", settings=Settings, open=open_memory, shape=shape)
