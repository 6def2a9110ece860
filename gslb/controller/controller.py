"""The running house as the API sees it: the `Operator` over a loop."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence

from gslb.controller.keeper import event_document
from gslb.controller.loop import Loop
from gslb.controller.operator import Told
from gslb.domain.control import Mode, Now, Override, Owner, OwnerKind, Pause
from gslb.domain.errors import ConfigError, StoreError
from gslb.domain.health import Seen
from gslb.domain.messages import Acknowledged, Adopted, Event, EventKind, Input, PlanConfirmed
from gslb.domain.topology import BackendName, ProbeId, ServiceName, SiteName
from gslb.domain.world import World
from gslb.ports import Entry, Query

FEED_MAX = 1000
Reload = Callable[[Sequence[SiteName], bool, bool, Owner], Awaitable[tuple[str, ...]]]


class Controller:
    """Looks at the world, and takes a person's word. See `Operator` for what each call promises."""

    def __init__(self, loop: Loop) -> None:
        self.loop = loop
        self._reload: Reload | None = None
        self.acknowledges: Callable[[SiteName], None] = lambda site: None
        """What else an acknowledgement does: a store that came back empty gets a new sentinel."""
        self._feeds: set[asyncio.Queue[Told | None]] = set()
        self._last_version = -1
        loop.reporters.append(self)

    @property
    def world(self) -> World:
        return self.loop.world

    def now(self) -> Now:
        return self.loop.clock.now()

    def loop_age_s(self) -> float:
        return self.now().boot_s - self.loop.passed_at_s

    def settled(self) -> bool:
        return self.world.settled

    def store_error(self) -> str | None:
        return self.world.store_error

    def report(self, world: World, events: Sequence[Event]) -> None:
        """As a reporter: pass on what happened to whoever follows."""
        if world.version == self._last_version:
            return
        self._last_version = world.version
        told = Told(
            world=world, events=tuple(events), first_seq=self.loop.keeper.next_seq - len(events)
        )
        for feed in tuple(self._feeds):
            if feed.full():
                self._feeds.discard(feed)
                feed.get_nowait()
                feed.put_nowait(None)
            else:
                feed.put_nowait(told)

    async def set_override(self, override: Override, *, replace: bool = False) -> Override:
        kept = await self.loop.spoken.set_override(override, replace_other=replace)
        await self.learned()
        return kept

    async def drop_override(
        self, site: SiteName, owner: Owner | None = None, services: tuple[ServiceName, ...] = ()
    ) -> tuple[Override, ...]:
        words = tuple(
            o
            for o in self.world.overrides
            if o.site == site
            and (o.owner == owner if owner is not None else o.owner.kind is not OwnerKind.ALERT)
            and (not services or o.services == services)
        )
        gone = await self.loop.spoken.drop(words)
        await self.learned()
        return gone

    async def set_pause(self, pause: Pause | None) -> None:
        await self.loop.spoken.set_pause(pause)
        await self.learned()

    async def set_mode(self, mode: Mode, owner: Owner, *, adopt: bool = False) -> None:
        if mode is Mode.LIVE and self.world.topology.mode == Mode.OBSERVE:
            raise ConfigError(("`mode: observe` stands in the file; take that line out first",))
        await self.loop.spoken.set_mode(mode)
        await self.learned()
        if adopt:
            await self.changed(self.world.version, 1.0)
            for plan in tuple(self.world.waiting.values()):
                await self.confirm(plan.digest, owner, "yes at going live")

    async def acknowledge(
        self, site: SiteName | None, owner: Owner, reason: str, backend: BackendName | None = None
    ) -> None:
        await self._say(Acknowledged(site=site, backend=backend, owner=owner, reason=reason))
        if site is not None:
            self.acknowledges(site)

    async def look(self, probe: ProbeId) -> Seen:
        return await self.loop.pacer.once(probe)

    async def confirm(self, digest: str, owner: Owner, reason: str) -> None:
        await self._say(PlanConfirmed(digest=digest, owner=owner, reason=reason))

    async def adopt(self, backend: BackendName, owner: Owner, reason: str) -> None:
        await self._say(Adopted(backend=backend, owner=owner, reason=reason))

    async def reload(
        self, *, remove: Sequence[SiteName] = (), loosen: bool = False, dry_run: bool = False
    ) -> tuple[str, ...]:
        assert self._reload is not None
        return await self._reload(remove, loosen, dry_run, Owner(OwnerKind.PERSON))

    def reloads_with(self, reload: Reload) -> None:
        """What reads the file again: wiring knows how."""
        self._reload = reload

    async def events(self, query: Query) -> Sequence[Entry]:
        return await self.loop.store.read(query)

    async def told(self) -> AsyncIterator[Told]:
        feed: asyncio.Queue[Told | None] = asyncio.Queue(FEED_MAX)
        self._feeds.add(feed)
        try:
            while (told := await feed.get()) is not None:
                yield told
        finally:
            self._feeds.discard(feed)

    async def changed(self, after: int, timeout_s: float) -> World:
        async def newer() -> None:
            async with self.loop.passed:
                await self.loop.passed.wait_for(lambda: self.world.version > after)

        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(timeout_s):
                await newer()
        return self.world

    async def learned(self) -> None:
        """Until the loop has taken in what was said."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(1.0), self.loop.passed:
                await self.loop.passed.wait_for(lambda: not len(self.loop.inbox))

    async def _say(self, word: Input) -> None:
        """A word that is no override: the journal keeps it before it counts."""
        at = self.now()
        text = f"{type(word).__name__}: {word}"
        event = Event(kind=EventKind.CONFIRM, text=text, boot_s=at.boot_s, wall_s=at.wall_s)
        try:
            async with asyncio.timeout(2.0):
                await self.loop.store.append([event_document(event)])
        except TimeoutError as error:
            raise StoreError("the store does not answer; nothing was done") from error
        self.loop.put(word)
        await self.learned()
