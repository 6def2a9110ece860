"""An Operator in memory over a world built by hand: words are kept at once, and told to feeds."""

import asyncio
import itertools
from collections.abc import AsyncIterator, Sequence
from dataclasses import replace

from gslb.controller.keeper import event_document
from gslb.controller.operator import Told
from gslb.domain.control import Mode, Now, Override, Owner, OwnerKind, Pause
from gslb.domain.errors import StoreConflict, StoreError
from gslb.domain.health import (
    Cause,
    Finding,
    Loss,
    Reason,
    Seen,
    SiteState,
    SiteVerdict,
    Track,
    TrackKey,
    Verdict,
)
from gslb.domain.messages import Event, EventKind
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
    Service,
    ServiceName,
    Site,
    SiteName,
    Topology,
    VantageName,
)
from gslb.domain.traffic import Answer, Generation, Shape, Target
from gslb.domain.world import BackendView, World
from gslb.ports import Entry, Query

EU, US, AP = SiteName("eu"), SiteName("us"), SiteName("ap")
QUAY, DNS, HERE = ServiceName("quay.demo"), BackendName("dns"), VantageName("here")
STORE = AspectName("store.write")
ADDRESS = {EU: "192.0.2.1", US: "192.0.2.2", AP: "192.0.2.3"}
WALL_S = 1_800_000_000.0


def spec(site: SiteName) -> ProbeSpec:
    """The store's probe at one site."""
    probe = ProbeId(f"{site}/store")
    aspect = Aspect(site=site, name=STORE, probe=probe, family=Family.STORE)
    return ProbeSpec(
        id=probe,
        site=site,
        family=Family.STORE,
        pace_s=5.0,
        deadline_s=3.0,
        confirm_s=1.0,
        interval_s=5.0,
        fall=3,
        timeout_s=3.0,
        aspects=(aspect,),
    )


def answer(*sites: SiteName, name: ServiceName = QUAY) -> Answer:
    """What a name answers with these sites in."""
    return Answer(name=name, targets=tuple(Target(ADDRESS[s], 1, s) for s in sites))


def a_world(services: Sequence[ServiceName] = (QUAY,), *, mode: Mode = Mode.LIVE) -> World:
    """Three sites that are up and in."""
    limits = Limits(min_sites=1)
    ends = tuple(Endpoint(site=s) for s in ADDRESS)
    topology = Topology(
        cluster="test",
        vantage=HERE,
        vantages={HERE: None},
        sites=tuple(Site(name=s, addresses=(a,)) for s, a in ADDRESS.items()),
        services=tuple(
            Service(name=n, endpoints=ends, limits=limits, via=(DNS,)) for n in services
        ),
        probes=tuple(spec(s) for s in ADDRESS),
        backends=(BackendSpec(name=DNS, kind="rfc2136", shape=Shape(weights=False)),),
        limits=limits,
        digest="9f3c1a",
    )
    up = Track(
        verdict=Verdict.UP,
        passes=20,
        rises=20,
        strip="+" * 20,
        last_pass_s=99.0,
        pass_begun_s=98.9,
        has_passed=True,
    )
    served = {n: answer(*ADDRESS, name=n) for n in services}
    view = BackendView(
        name=DNS,
        known=True,
        served=served,
        wanted=dict(served),
        read_at_s=99.0,
        generation=Generation("test", "fake", 3, 1),
        had_generation=True,
        seq=1,
        adopted=frozenset(services),
    )
    return World(
        topology=topology,
        started_s=0.0,
        offset_s=WALL_S - 100.0,
        instance="fake",
        version=7,
        epoch=3,
        mode=mode,
        settled=True,
        tracks={TrackKey(s, STORE, HERE): up for s in ADDRESS},
        states={s: SiteState(site=s, verdict=SiteVerdict.UP, since_s=10.0) for s in ADDRESS},
        backends={DNS: view},
    )


def down(world: World, site: SiteName) -> World:
    """The same with a dead store at `site`."""
    text = "put: timeout after 2.0 s"
    reason = Reason(aspect=STORE, cause=Cause.TIMEOUT, text=text, since_s=90.0)
    loss = Loss(
        takes=(Ability.READ, Ability.WRITE),
        service=None,
        aspect=STORE,
        reason=reason,
        first_fail_s=90.0,
        moves_at_s=91.0,
    )
    state = SiteState(
        site=site, verdict=SiteVerdict.DOWN, since_s=91.0, reasons=(reason,), losses=(loss,)
    )
    key = TrackKey(site, STORE, HERE)
    track = replace(
        world.tracks[key],
        verdict=Verdict.DOWN,
        since_s=91.0,
        fails=3,
        passes=0,
        rises=0,
        causes=(Cause.TIMEOUT,) * 3,
        first_fail_s=90.0,
        last_fail_s=99.0,
        counted_begun_s=99.0,
        last_pass_s=89.0,
        detail=text,
        strip="+++xxx",
    )
    return replace(
        world,
        states={**world.states, site: state},
        tracks={**world.tracks, key: track},
    )


class FakeOperator:
    """A real Operator without a loop: `store_fails` breaks the store, `tell` makes a cycle."""

    def __init__(self, world: World | None = None) -> None:
        self._world = world or a_world()
        self.boot_s = 100.0
        self.age_s = 0.1
        self.store_fails = False
        self.said: list[tuple[object, ...]] = []
        self.journal: list[Entry] = []
        self.diff: tuple[str, ...] = ("~ sites.eu.weight 100 -> 50",)
        self.reload_error: Exception | None = None
        self.looked: list[ProbeId] = []
        self.seen = Seen(findings=(Finding.of("store.write", 0.05),), steps=(("put", 0.014),))
        self._versions = itertools.count(41)
        self._feeds: list[asyncio.Queue[Told | None]] = []
        self._changed = asyncio.Condition()

    @property
    def world(self) -> World:
        return self._world

    def now(self) -> Now:
        return Now(self.boot_s, WALL_S + self.boot_s - 100.0)

    def pass_time(self, seconds: float) -> None:
        """Time in which every probe went on saying what it said last."""
        self.boot_s += seconds
        tracks = {
            key: replace(
                track,
                last_pass_s=track.last_pass_s and track.last_pass_s + seconds,
                pass_begun_s=track.pass_begun_s and track.pass_begun_s + seconds,
                last_fail_s=track.last_fail_s and track.last_fail_s + seconds,
            )
            for key, track in self.world.tracks.items()
        }
        self._world = replace(self._world, tracks=tracks)

    def loop_age_s(self) -> float:
        return self.age_s

    def settled(self) -> bool:
        return self._world.settled

    def store_error(self) -> str | None:
        return "disk full" if self.store_fails else None

    async def become(self, world: World, *events: Event) -> None:
        """One cycle of the loop: a new world, and what was concluded."""
        self._world = replace(world, version=self._world.version + 1)
        first = self.journal[-1].seq + 1 if self.journal else 1
        self.journal += [Entry(first + n, event_document(e)) for n, e in enumerate(events)]
        for feed in self._feeds:
            feed.put_nowait(Told(world=self._world, events=events, first_seq=first))
        async with self._changed:
            self._changed.notify_all()

    async def tell(self, text: str, kind: EventKind = EventKind.SITE, **more: str) -> None:
        """A cycle with one event."""
        now = self.now()
        event = Event(kind=kind, text=text, boot_s=now.boot_s, wall_s=now.wall_s, **more)  # type: ignore[arg-type]  # names only
        await self.become(self._world, event)

    def cut(self) -> None:
        """Cut every feed, as a slow reader's is."""
        for feed in self._feeds:
            feed.put_nowait(None)

    @property
    def feeds(self) -> int:
        return len(self._feeds)

    async def set_override(self, override: Override, *, replace: bool = False) -> Override:
        self._keep("override", override)
        same = [
            o
            for o in self._world.overrides
            if (o.site, o.services) == (override.site, override.services)
        ]
        person = OwnerKind.PERSON
        others = [o for o in same if o.owner.kind is person and o.owner != override.owner]
        if override.owner.kind is person and others and not replace:
            raise StoreConflict(f"{others[0].owner} holds {override.site}")
        kept = _versioned(override, next(self._versions))
        gone = {o.key for o in others} if override.owner.kind is person else set()
        gone |= {kept.key}
        rest = tuple(o for o in self._world.overrides if o.key not in gone)
        await self.become(_with(self._world, (*rest, kept)))
        return kept

    async def drop_override(
        self, site: SiteName, owner: Owner | None = None, services: tuple[ServiceName, ...] = ()
    ) -> tuple[Override, ...]:
        self._keep("drop", site, owner)
        gone = tuple(
            o
            for o in self._world.overrides
            if o.site == site
            and (o.owner == owner if owner else o.owner.kind is OwnerKind.PERSON)
            and services in ((), o.services)
        )
        await self.become(
            _with(self._world, tuple(o for o in self._world.overrides if o not in gone))
        )
        return gone

    async def set_pause(self, pause: Pause | None) -> None:
        self._keep("pause", pause)
        await self.become(replace(self._world, pause=pause))

    async def set_mode(self, mode: Mode, owner: Owner, *, adopt: bool = False) -> None:
        self._keep("mode", mode, owner, adopt)
        await self.become(replace(self._world, mode=mode))

    async def acknowledge(
        self, site: SiteName | None, owner: Owner, reason: str, backend: BackendName | None = None
    ) -> None:
        self._keep("ack", site or backend, owner, reason)

    async def look(self, probe: ProbeId) -> Seen:
        self.looked.append(probe)
        return self.seen

    async def confirm(self, digest: str, owner: Owner, reason: str) -> None:
        self._keep("confirm", digest, owner, reason)

    async def adopt(self, backend: BackendName, owner: Owner, reason: str) -> None:
        self._keep("adopt", backend, owner, reason)

    async def reload(
        self, *, remove: Sequence[SiteName] = (), loosen: bool = False, dry_run: bool = False
    ) -> tuple[str, ...]:
        if self.reload_error:
            raise self.reload_error
        self._keep("reload", tuple(remove), loosen, dry_run)
        return self.diff

    async def events(self, query: Query) -> Sequence[Entry]:
        if self.store_fails:
            raise StoreError("the journal cannot be read")
        found = [
            e
            for e in self.journal
            if query.match.items() <= e.document.items()
            and (query.after is None or e.seq > query.after)
            and (query.since_wall_s is None or e.document["at"] >= query.since_wall_s)
        ]
        return found[-query.limit :] if query.after is None else found[: query.limit]

    async def told(self) -> AsyncIterator[Told]:
        feed: asyncio.Queue[Told | None] = asyncio.Queue()
        self._feeds.append(feed)
        try:
            while (told := await feed.get()) is not None:
                yield told
        finally:
            self._feeds.remove(feed)

    async def changed(self, after: int, timeout_s: float) -> World:
        try:
            async with asyncio.timeout(timeout_s), self._changed:
                await self._changed.wait_for(lambda: self._world.version > after)
        except TimeoutError:
            pass
        return self._world

    def _keep(self, *word: object) -> None:
        if self.store_fails:
            raise StoreError("the store does not take writes: disk full")
        self.said.append(word)


def _versioned(override: Override, version: int) -> Override:
    return replace(override, version=version)


def _with(world: World, overrides: tuple[Override, ...]) -> World:
    return replace(world, overrides=overrides)
