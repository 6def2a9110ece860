"""What would follow from a word, by the very functions that make the plan."""

from dataclasses import replace

from gslb.domain.control import Now, Override, OwnerKind
from gslb.domain.topology import BackendName, SiteName
from gslb.domain.words import GuardWord, Preview, PreviewChange
from gslb.domain.world import World
from gslb.policy.case import Move
from gslb.policy.evidence import look
from gslb.policy.fit import same
from gslb.policy.guard import GUARDS
from gslb.policy.moment import Moment
from gslb.policy.plan import Decided, decide


def preview(
    world: World,
    now: Now,
    *,
    add: tuple[Override, ...] = (),
    drop: tuple[SiteName, ...] = (),
    live: bool | None = None,
) -> Preview:
    """The changes and the guards' words if these overrides were said (`add`), all persons'
    overrides of these sites released (`drop`), or the mode were live.

    A word's own guards are asked even where nothing would change: in observe, too, a drain of the
    last site is refused.
    """
    moment = Moment(now.boot_s)
    said = _said(world, add, drop)
    sites = {o.site for o in add} | set(drop)
    changes: list[PreviewChange] = []
    guards: list[GuardWord] = []
    notes: list[str] = []
    for backend in world.topology.backends:
        view = said.backends.get(backend.name)
        if view is None or view.served is None:
            notes.append(f"{backend.name} could not be read yet: what it serves is unknown")
            continue
        looks = look(said, moment)
        for service in said.topology.services:
            if backend.name not in service.via:
                continue
            after = decide(said, looks, service, backend, moment)
            if after.wanted is not None and not same(after.wanted, after.served):
                changes.append(
                    PreviewChange(
                        service=service.name,
                        backend=backend.name,
                        before=after.served,
                        after=after.wanted,
                    )
                )
            guards += _words(after, backend.name, sites, live)
    return Preview(changes=tuple(changes), guards=tuple(guards), notes=tuple(notes))


def _said(world: World, add: tuple[Override, ...], drop: tuple[SiteName, ...]) -> World:
    keys = {o.key for o in add}
    kept = tuple(
        o
        for o in world.overrides
        if o.key not in keys and (o.site not in drop or o.owner.kind is OwnerKind.ALERT)
    )
    return replace(world, overrides=(*kept, *add))


def _words(
    after: Decided, backend: BackendName, sites: set[SiteName], live: bool | None
) -> list[GuardWord]:
    """What each guard says of the moves that the word would bring."""
    found = [
        GuardWord(
            guard=r.guard,
            verdict="refuse",
            text=r.text,
            service=r.service,
            backend=r.backend,
            figures=r.figures,
            skippable=any(g.id == r.guard and g.skippable for g in GUARDS),
        )
        for r in after.refusals
        if r.site in sites or live
    ]
    for move in after.moves:
        if move.site not in sites and not live:
            continue
        found += [
            GuardWord(
                guard=g.id,
                verdict="skipped" if move.wish is not None and g.id in move.wish.skip else "pass",
                text=_figures(g.rule, move),
                service=after.service.name,
                backend=backend,
                skippable=g.skippable,
            )
            for g in GUARDS
            if g.applies(move)
        ]
    return found


def _figures(rule: str, move: Move) -> str:
    names = ", ".join(move.after) or "nobody"
    return f"{rule} (left: {names})"
