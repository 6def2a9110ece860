"""One story: whole, a fault, what follows and why, whole again."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import pytest

from gslb.config.load import load
from gslb.wiring.parts import KINDS
from tests.history import Violation, config_of, judge, read
from tests.kit import until
from tests.lab.bounds import Sight, bound_s
from tests.lab.faults import Fault
from tests.lab.town import ALL, SERVERS, SITES, Town
from tests.lab.watch import boot_s

REASON_WITHIN_S = 60.0
WHOLE_AFTER_S = 20.0
Step = Callable[[Town], Awaitable[None]]


@dataclass(frozen=True, kw_only=True)
class Story:
    """`leaves`: the sites that go, in all servers; empty: nothing moves. `says`: words that stand
    together in one line of `gslb explain` of `about`, or of one event."""

    name: str
    site: str
    fault: Fault
    says: tuple[str, ...]
    sight: Sight
    leaves: frozenset[str] = frozenset()
    dead: frozenset[str] | None = None
    """The sites that are in truth not able; default: those that leave."""
    about: str = ""
    """Default: the site."""
    then: Step | None = None
    """Further steps while the fault lasts, once the reason was found."""
    told: tuple[tuple[str, ...], ...] = ()
    """Further lines that must be said."""
    more_s: float = 0.0
    """What is added to the bound: the start of a process that was killed."""
    path: tuple[frozenset[str], ...] | None = None
    """What is served between whole and whole, in its order; default: once without `leaves`."""
    forgets: frozenset[str] = frozenset()
    """Servers that were killed themselves: what they served is not looked at."""
    ci: bool = False

    @property
    def effect(self) -> str:
        return f"{' '.join(sorted(self.leaves))} leaves" if self.leaves else "nothing moves"

    @property
    def wanted(self) -> frozenset[str]:
        return ALL - self.leaves


@dataclass(frozen=True, kw_only=True)
class Told:
    """How it went."""

    story: Story
    store: str
    reason: str
    took_s: float
    bound_s: float


async def live(town: Town, story: Story) -> Told:
    """Raises when anything is otherwise than the story has it."""
    await town.whole()
    dead = story.leaves if story.dead is None else story.dead
    limit_s = bound_s(town.config, story.site, story.sight) + story.more_s
    begun_s = boot_s()
    for site in dead:
        town.write("truth", site=site, able=False, why=story.name)
    async with story.fault(town):
        broken_s = boot_s()
        for site in dead:
            town.write("truth", site=site, able=False, why=story.name, within_s=limit_s)
        if story.leaves:
            what = f"{story.effect}\n{town.controller.tail}"
            await until(lambda: town.serves(story.wanted), limit_s, what=what)
        took_s = boot_s() - broken_s
        reason = await is_said(town, story.about or story.site, story.says, begun_s)
        for words in story.told:
            await is_said(town, story.about or story.site, words, begun_s)
        if not story.leaves:  # as long as it would have taken
            enough_s = broken_s + limit_s / 2
            await until(lambda: boot_s() > enough_s, limit_s, what="time passes")
        assert town.serves(story.wanted), f"{story.effect}: {town.watch.seen}"
        if story.then is not None:
            await story.then(town)
    for site in dead:
        town.write("truth", site=site, able=True, why="mended")
    await town.whole()
    check(town, story, begun_s)
    store = town.stores[story.site].kind
    return Told(story=story, store=store, reason=reason, took_s=took_s, bound_s=limit_s)


async def is_said(town: Town, about: str, words: tuple[str, ...], since_s: float) -> str:
    """The line of an event since then, or of `gslb explain`, in which all these words stand."""
    lines: list[str] = []

    async def found() -> str | None:
        lines[:] = [f"{e.get('guard', '')} {e['text']}".strip() for e in town.events(since_s)]
        lines.extend(await town.explained(about))
        return next((line for line in lines if all(w in line for w in words)), None)

    try:
        return str(await until(found, REASON_WITHIN_S, 0.3, what=f"it is said: {words}"))
    except pytest.fail.Exception as late:
        late.add_note("\n".join(lines))
        raise


def check(town: Town, story: Story, begun_s: float) -> None:
    """No more changes than the story has: each server went out and in once."""
    path = ((story.wanted,) if story.leaves else ()) if story.path is None else story.path
    for server in SERVERS:
        seen = town.watch.since(server, begun_s)
        expected = [ALL, *path, *([ALL] if path else [])]
        assert server in story.forgets or seen == expected, f"{server}: {seen}"


def begin(town: Town) -> None:
    """The lines from which the judge knows what is configured and true."""
    topology = load(town.config, KINDS).topology
    whole = {"out_within_s": 1e9, "whole_after_s": WHOLE_AFTER_S}
    town.write("config", **config_of(topology, **whole))
    for site in SITES:
        town.write("truth", site=site, able=True, why="all is whole")
    town.watch.begin(town.write)


def judged(town: Town) -> list[Violation]:
    """What the judge of histories finds in all that was written so far."""
    return judge(read([town.history, town.folder / "seen"]))
