"""What would follow from a word or a fault, by the very function that gives the orders."""

from collections.abc import Collection
from dataclasses import replace

from gslb.domain.control import Mode, Now, Override, OwnerKind
from gslb.domain.health import Cause, Loss, Reason, SiteState, SiteVerdict, Track, Verdict
from gslb.domain.topology import Ability, Aspect, AspectName, Family, ProbeId, SiteName
from gslb.domain.traffic import Generation
from gslb.domain.words import Fate, GuardWord, Preview, PreviewChange
from gslb.domain.world import BackendView, Refusal, World
from gslb.policy.act import Weighed, weigh
from gslb.policy.believe import believe
from gslb.policy.case import Move
from gslb.policy.evidence import Look, Looks
from gslb.policy.guard import GUARDS
from gslb.policy.ledger import Ledger
from gslb.policy.moment import Moment
from gslb.policy.outcome import digest_of
from gslb.policy.plan import change_of, skippable

ASSUMED = AspectName("assumed")
WAYS = {
    "foreign": "gslb adopt {backend} --reason …",
    "ack": "gslb ack {site} --reason …",
    "paused": "gslb resume",
}
"""What a person can say to a guard that waits for one."""


def preview(
    world: World,
    now: Now,
    *,
    add: tuple[Override, ...] = (),
    drop: tuple[SiteName, ...] = (),
    down: tuple[SiteName, ...] = (),
    live: bool = False,
    whole: bool = False,
) -> Preview:
    """The changes and the guards' words if these overrides were said (`add`), all persons'
    overrides of these sites released (`drop`), these sites `down`, or the mode were `live`;
    once every backend has been read and nothing is under way there.

    The guards' words are those on the sites that are named; `live` or `whole`: on every move. A
    drain of the last site is refused in observe, too.
    """
    moment, ledger = Moment(now.boot_s), Ledger(now)
    said, looks = believe(_said(world, add, drop), moment, ledger)
    for site in down:
        said, looks = _fallen(said, looks, site, now.boot_s)
    views = {name: _at_rest(said, view, now.boot_s) for name, view in said.backends.items()}
    said = replace(said, backends=views, mode=Mode.LIVE if live else said.mode)
    _, weighed = weigh(said, looks, moment, ledger)
    sites = None if live or whole else {o.site for o in add} | set(drop)
    return Preview(
        changes=tuple(c for w in weighed for c in _changes(said, w)),
        guards=tuple(g for w in weighed for g in _words(said, w, sites)),
        notes=_notes(world, bool(down)),
    )


def _said(world: World, add: tuple[Override, ...], drop: tuple[SiteName, ...]) -> World:
    keys = {o.key for o in add}
    kept = tuple(
        o
        for o in world.overrides
        if o.key not in keys and (o.site not in drop or o.owner.kind is OwnerKind.ALERT)
    )
    new = tuple(replace(o, version=world.revision + 1) for o in add)
    return replace(world, overrides=(*kept, *new))


def _fallen(world: World, looks: Looks, site: SiteName, now_s: float) -> tuple[World, Looks]:
    """As if the site had just been found down by a fault of its own, and the others, asked at
    once, had said what they say now (a first fail at no time makes every verdict fresh)."""
    takes = (Ability.READ, Ability.WRITE)
    aspect = Aspect(site=site, name=ASSUMED, probe=ProbeId(""), family=Family.GENERIC)
    track = Track(verdict=Verdict.DOWN, since_s=now_s, last_fail_s=now_s, has_passed=True)
    seen = Look(aspect=aspect, verdict=Verdict.DOWN, track=track)
    why = Reason(aspect=ASSUMED, cause=Cause.IO, text="assumed to be down", since_s=now_s)
    loss = Loss(
        takes=takes, service=None, aspect=ASSUMED, reason=why, first_fail_s=0.0, moves_at_s=now_s
    )
    state = SiteState(
        site=site, verdict=SiteVerdict.DOWN, since_s=now_s, reasons=(why,), losses=(loss,)
    )
    world = replace(world, states={**world.states, site: state})
    return world, {**looks, site: (*looks[site], seen)}


def _at_rest(world: World, view: BackendView, now_s: float) -> BackendView:
    """As it is once it has been read, nothing is under way, and the term has been raised there."""
    if view.served is None:
        return view
    ours = Generation(world.topology.cluster, world.instance, world.epoch or 0, view.seq)
    found = view.generation
    mine = found is not None and replace(found, epoch=0, seq=0) == replace(ours, epoch=0, seq=0)
    lost = found is None and view.had_generation
    if lost or (found and (found == view.takeover or (mine and found.epoch < ours.epoch))):
        view = replace(view, generation=ours)
    return replace(view, known=True, busy=False, rest_until_s=0.0, read_at_s=now_s)


def _notes(world: World, assumed: bool) -> tuple[str, ...]:
    notes = []
    if world.epoch is None:
        notes.append("this replica does not lead: only the leader can say what it would do")
    for backend in world.topology.backends:
        view = world.backends.get(backend.name)
        if view is None or view.served is None:
            notes.append(f"{backend.name} could not be read yet: what it serves is unknown")
        elif view.sent is not None:
            notes.append(f"{backend.name}: {view.sent.digest} is under way, not read back yet")
    if assumed:
        notes.append("assumed: the other sites say at that moment what they say now")
    return tuple(notes)


def _changes(world: World, w: Weighed) -> list[PreviewChange]:
    """What is written, would be, or waits. What a guard refused is no change, though it waits."""
    fate, change = w.fate, change_of(w.let) if w.fate is not None and w.let.differs else None
    if change is None and w.waits is not None and not w.decided.refusals:
        fate, change = Fate.WAITS, w.waits
    if change is None or fate is None:
        return []
    return [
        PreviewChange(
            service=w.let.service.name,
            backend=w.backend,
            before=change.before,
            after=change.after,
            fate=fate,
            digest=_digest(world, w) if fate is Fate.WAITS else None,
        )
    ]


def _digest(world: World, w: Weighed) -> str | None:
    return None if w.waits is None else digest_of(world, world.backends[w.backend], [w.waits])


def _words(world: World, w: Weighed, sites: Collection[SiteName] | None) -> list[GuardWord]:
    """What each guard says of the moves (of these sites)."""
    found = [
        GuardWord(
            guard=r.guard,
            verdict="refuse",
            text=r.text,
            service=r.service,
            backend=r.backend,
            site=r.site,
            figures=r.figures,
            skippable=skippable(r.guard),
            next=_way_on(world, r, _digest(world, w)),
        )
        for r in w.let.refusals
        if sites is None or r.site in sites
    ]
    for move in w.let.moves:
        if sites is not None and move.site not in sites:
            continue
        found += [
            GuardWord(
                guard=g.id,
                verdict="skipped" if move.wish is not None and g.id in move.wish.skip else "pass",
                text=_figures(g.rule, move),
                service=w.let.service.name,
                backend=w.backend,
                site=move.site,
                skippable=g.skippable,
            )
            for g in GUARDS
            if g.applies(move)
        ]
    return found


def _way_on(world: World, r: Refusal, digest: str | None) -> str:
    who = r.site or "what nobody configured"
    if r.leaving:
        stays = f"{who} stays in {r.service} at {r.backend}, GslbDrainRefused fires"
        waits = any(p.digest == digest for p in world.waiting.values())
        return f"{stays}; gslb confirm {digest} --reason … lets it go" if waits else stays
    way = WAYS.get(r.guard, "until that is over").format(site=r.site, backend=r.backend)
    return f"{who} stays as it is in {r.service} at {r.backend}: {way}"


def _figures(rule: str, move: Move) -> str:
    names = ", ".join(move.after) or "nobody"
    return f"{rule} (left: {names})"
