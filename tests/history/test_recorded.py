"""A real run of the core and the loop, in virtual time, leaves a history that is clean."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from gslb.domain.control import Action, Override, Owner, OwnerKind, Pause
from gslb.domain.topology import SiteName
from gslb.reporters.history import History
from tests.controller.house import House, running
from tests.history import Line, config_of, judge
from tests.kit import until
from tests.simulation.town import NAME, topology

pytestmark = pytest.mark.looptime
KIM = Owner(OwnerKind.PERSON, "kim")


@asynccontextmanager
async def recorded(lines: list[Line]) -> AsyncIterator[House]:
    """A house whose decisions and calls, and what it serves, are written to `lines`."""
    topo = topology()
    async with running(topo, settle_s=0) as house:
        told = History(lines.append, "a", house.loop.clock)
        house.loop.reporters.append(told)
        house.loop.observers.append(told.call)
        config = config_of(topo, out_within_s=20.0)
        lines.append({"t": now(house), "who": "test", "kind": "config", **config})
        async with asyncio.TaskGroup() as tasks:
            poller = tasks.create_task(poll(house, lines))
            await asyncio.sleep(15)
            yield house
            poller.cancel()


async def poll(house: House, lines: list[Line]) -> None:
    last = None
    while True:
        targets = sorted(t.value for t in house.backend.answers[NAME])
        if targets != last:
            say(house, lines, "served", server="memory", service=NAME, targets=targets)
        last = targets
        await asyncio.sleep(0.05)


def now(house: House) -> float:
    return house.loop.clock.now().boot_s


def say(house: House, lines: list[Line], kind: str, **told: Any) -> None:
    lines.append({"t": now(house), "who": "test", "kind": kind, **told})


def fault(house: House, lines: list[Line], site: str, store: str | None) -> None:
    house.town.places[site].store = store
    say(house, lines, "truth", site=site, able=store is None, why=store)


async def test_a_real_run_with_faults_words_and_a_pause_is_clean() -> None:
    lines: list[Line] = []
    async with recorded(lines) as house:
        fault(house, lines, "eu", "500")
        await until(lambda: house.served == {"us", "ap"}, 20)
        fault(house, lines, "eu", None)
        await until(lambda: house.served == {"eu", "us", "ap"}, 60)
        house.backend.lose_reply = True
        fault(house, lines, "us", "404")
        await until(lambda: house.served == {"eu", "ap"}, 60)
        house.backend.lose_reply = False
        fault(house, lines, "us", None)
        await until(lambda: house.served == {"eu", "us", "ap"}, 60)
        wall_s = house.controller.now().wall_s
        word = Override(
            site=SiteName("ap"),
            action=Action.DRAIN,
            owner=KIM,
            reason="disk swap",
            created_wall_s=wall_s,
            ends_wall_s=wall_s + 100,
        )
        await house.controller.set_override(word)
        await until(lambda: house.served == {"eu", "us"}, 5)
        await until(lambda: house.served == {"eu", "us", "ap"}, 200)
        await house.controller.set_pause(Pause(owner=KIM, reason="work", created_wall_s=wall_s))
        fault(house, lines, "eu", "500")
        await asyncio.sleep(30)
        await house.controller.set_pause(None)
        await until(lambda: house.served == {"us", "ap"}, 20)
    assert [str(v) for v in judge(lines)] == []
    kinds = {line["kind"] for line in lines}
    assert kinds >= {"start", "event", "saved", "call", "word", "pause", "served", "truth"}
    assert sum(line["kind"] == "call" and line["op"] == "apply" for line in lines) >= 7
    assert any(line["kind"] == "call" and line["outcome"] == "failed" for line in lines)
