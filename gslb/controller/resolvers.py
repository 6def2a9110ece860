"""Asks the configured resolvers for what has changed, until they show it or its time is over."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence

from gslb.controller.loop import Loop
from gslb.domain.errors import WireError
from gslb.domain.messages import ResolverAnswered
from gslb.domain.topology import ServiceName
from gslb.policy import spread

PACE_S = 1.0
ROUND_S = 5.0
LookUp = Callable[[str, str], Awaitable[tuple[tuple[str, ...], float]]]
"""`look_up(resolver, name)`: values, and for how long they are kept (s). Raises WireError."""


async def watch(loop: Loop, look_up: LookUp) -> None:
    """Until cancelled: each resolver is asked one name at a time, a round a second at most."""
    while True:
        await asyncio.sleep(PACE_S)
        names = spread.asked(loop.world)
        async with asyncio.TaskGroup() as tasks:
            for resolver in loop.world.topology.resolvers if names else ():
                tasks.create_task(_ask(loop, look_up, resolver, names))


async def _ask(loop: Loop, look_up: LookUp, resolver: str, names: Sequence[ServiceName]) -> None:
    found, error = {}, f"not all of it within {ROUND_S:.0f} s"
    try:
        async with asyncio.timeout(ROUND_S):
            for name in names:
                found[name] = await look_up(resolver, name)
    except (WireError, TimeoutError) as failed:
        error = str(failed).split(": ", 1)[-1] or error  # it is told beside the resolver's name
    at_s = loop.clock.now().boot_s
    loop.put(ResolverAnswered(resolver=resolver, answers=found, error=error, at_s=at_s))
