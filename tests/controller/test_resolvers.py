"""The round of the resolvers: each at its own pace, none holds up another, and then silence."""

import asyncio
from dataclasses import dataclass, field, replace
from types import SimpleNamespace
from typing import Any, cast

from gslb.controller.loop import Loop
from gslb.controller.resolvers import watch
from gslb.domain.control import Now
from gslb.domain.errors import WireError
from gslb.domain.messages import ResolverAnswered
from gslb.domain.world import Spread
from tests.api.fake_operator import QUAY, a_world
from tests.kit import until
from tests.policy.test_spread import LEFT, WITHOUT


@dataclass
class Asked:
    """A loop that learns nothing, with a change on its way."""

    heard: list[ResolverAnswered] = field(default_factory=list)

    def __post_init__(self) -> None:
        way = Spread(plan=LEFT, stages=(), until_s=1e9, said={})
        world = a_world()
        topology = replace(world.topology, resolvers=("a", "b", "c"))
        self.world = replace(world, topology=topology, spreads=(way,))
        self.clock = SimpleNamespace(now=lambda: Now(1.0, 1.0))

    def put(self, seen: Any) -> None:
        self.heard.append(seen)


async def test_each_says_what_it_has_or_why_it_says_nothing() -> None:
    asked: list[tuple[str, str]] = []

    async def look_up(resolver: str, name: str) -> tuple[tuple[str, ...], float]:
        asked.append((resolver, name))
        if resolver == "b":
            raise WireError("refused", "b:53: Connection refused")
        return WITHOUT

    loop = Asked()
    watching = asyncio.create_task(watch(cast(Loop, loop), look_up))
    await until(lambda: len(loop.heard) == 3)
    told = {seen.resolver: (dict(seen.answers), seen.error) for seen in loop.heard}
    assert told["a"][0] == told["c"][0] == {QUAY: WITHOUT}
    assert told["b"] == ({}, "Connection refused")
    loop.world = replace(
        loop.world, spreads=tuple(replace(s, done=True) for s in loop.world.spreads)
    )
    count = len(asked)
    await asyncio.sleep(0)
    watching.cancel()
    await asyncio.gather(watching, return_exceptions=True)
    assert len(asked) == count == 3
