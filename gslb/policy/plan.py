"""What is served and what is wanted give moves; what the guards let through is the plan."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from gslb.domain.control import OwnerKind
from gslb.domain.topology import BackendSpec, Service, SiteName
from gslb.domain.traffic import Answer, Change, Generation, Plan, Pool
from gslb.domain.world import BackendView, Refusal, Wish, World
from gslb.policy.able import Able, able
from gslb.policy.case import Case, Move
from gslb.policy.evidence import Looks
from gslb.policy.fit import fit, pool_of, same
from gslb.policy.guard import GUARDS, first_no
from gslb.policy.moment import Moment
from gslb.policy.steer import no_site_able, steer


@dataclass(frozen=True, slots=True, kw_only=True)
class Decided:
    """What was decided for one service at one backend."""

    service: Service
    pool: Pool
    wishes: tuple[Wish, ...]
    served: Answer | None
    wanted: Answer | None
    """None: nothing can be said (no member is in the pool, or nothing may be)."""
    refusals: tuple[Refusal, ...]
    moves: tuple[Move, ...]
    """Those that were let through."""
    skipped: tuple[str, ...] = ()

    @property
    def differs(self) -> bool:
        """Would something have to be written?"""
        return self.wanted is not None and not same(self.served, self.wanted)


def decide(
    world: World,
    looks: Looks,
    service: Service,
    backend: BackendSpec,
    moment: Moment,
    *,
    bold: bool = False,
) -> Decided:
    """One service at one backend. `bold`: guards that may be skipped are (a confirmed plan)."""
    view = world.backends[backend.name]
    served = (view.served or {}).get(service.name)
    wishes = steer(world, looks, service, served.sites if served is not None else (), moment)
    pool = pool_of(world.topology, service, backend)
    current = _current(wishes, service, pool, backend, served)
    case = Case(
        world=world,
        looks=looks,
        service=service,
        view=view,
        wishes=wishes,
        moment=moment,
        nobody_able=no_site_able(wishes)
        and not any(able(world, site, service) is Able.YES for site in current),
    )
    running, refusals, moves = _walk(case, backend, pool, current, served, bold)
    wanted = fit(running, service, pool, backend, served)
    if not moves and not refusals and wanted is not None and not same(served, wanted):
        refusals = _touch_up(case, backend, running, bold)
        wanted = served if refusals else wanted
    foreign = served is not None and any(t.site is None for t in served.targets)
    kept_foreign = foreign and any(r.site is None for r in refusals)
    return Decided(
        service=service,
        pool=pool,
        wishes=wishes,
        served=served,
        wanted=served if kept_foreign else wanted,
        refusals=refusals,
        moves=moves,
        skipped=tuple(sorted({g for w in wishes for g in w.skip if _used(w, moves)})),
    )


def in_full(world: World, service: Service, backend: BackendSpec) -> Answer | None:
    """What would be served if every site were whole and nobody had said a word."""
    lowest = min(e.tier for e in service.endpoints)
    weights = {e.site: e.weight for e in service.endpoints if e.tier == lowest}
    return fit(weights, service, pool_of(world.topology, service, backend), backend, None)


def make_plan(
    world: World,
    view: BackendView,
    changes: Sequence[Change],
    expects: Generation | None,
    reasons: tuple[str, ...],
) -> Plan:
    """The plan for one backend in this term, fenced where the backend can compare."""
    assert world.epoch is not None
    fenced = spec_of(world, view).shape.fencing == "cas"
    # A new term raises it too: whoever finds its own epoch there, and wrote nothing, has a twin.
    leaves = Generation(world.topology.cluster, world.instance, world.epoch, view.seq + 1)
    return Plan(
        backend=view.name,
        epoch=world.epoch,
        changes=tuple(changes),
        expects=expects if fenced else None,
        leaves=leaves if fenced else None,
        digest=digest(view.name, changes),
        reasons=reasons,
    )


def spec_of(world: World, view: BackendView) -> BackendSpec:
    """The configuration of a backend."""
    return next(b for b in world.topology.backends if b.name == view.name)


def digest(backend: str, changes: Sequence[Change]) -> str:
    """`p-…` over (backend, service, before, after): what a person confirms. FNV-1a, 64 bits."""
    text = backend + "".join(f"|{c.pool.service}|{_say(c.before)}|{_say(c.after)}" for c in changes)
    value = 0xCBF29CE484222325
    for byte in text.encode():
        value = ((value ^ byte) * 0x100000001B3) % 2**64
    return f"p-{value:016x}"[:14]


def change_of(decided: Decided) -> Change:
    """The change that a decision wants."""
    assert decided.wanted is not None
    return Change(pool=decided.pool, before=decided.served, after=decided.wanted)


def _current(
    wishes: tuple[Wish, ...],
    service: Service,
    pool: Pool,
    backend: BackendSpec,
    served: Answer | None,
) -> dict[SiteName, int]:
    """The weight of each site that is served, in the measure of the wishes."""
    if served is None:
        return {}
    wished = {w.site: w.weight for w in wishes}
    if not backend.shape.weights:
        return {site: wished.get(site, 1) for site in served.sites}
    kept = {w.site: w.weight for w in wishes if w.stance in ("in", "keep")}
    fitted = fit(kept, service, pool, backend, served)
    if same(served, fitted):
        return {site: wished.get(site, 1) for site in served.sites}
    now = {}
    for site in served.sites:
        equal = fitted is not None and served.weight(site) == fitted.weight(site)
        now[site] = wished.get(site, 1) if equal else served.weight(site)
    return now


def _touch_up(
    case: Case, backend: BackendSpec, running: Mapping[SiteName, int], bold: bool
) -> tuple[Refusal, ...]:
    """Records that differ though no site moves (an edit by others) are put right: is that let?"""
    move = Move(
        site=None, leaving=False, wish=None, kind=OwnerKind.AUTO, before=running, after=running
    )
    no = first_no(case, move, bold=bold)
    if no is None:
        return ()
    return (_refusal(case, backend, move, no[0].id, no[1].text, no[1].figures),)


def _used(wish: Wish, moves: tuple[Move, ...]) -> bool:
    return any(m.site == wish.site for m in moves)


def _walk(
    case: Case,
    backend: BackendSpec,
    pool: Pool,
    current: Mapping[SiteName, int],
    served: Answer | None,
    bold: bool,
) -> tuple[dict[SiteName, int], tuple[Refusal, ...], tuple[Move, ...]]:
    """Enter first, then leave in the order in which sites fell; each is judged in turn."""
    running = dict(current)
    refusals: list[Refusal] = []
    moves: list[Move] = []
    for wish, leaving, after in _wanted(case, pool, current):
        move = _move(case, wish, leaving, running, after)
        no = first_no(case, move, bold=bold)
        if no is None:
            running = dict(move.after)
            moves.append(move)
            if leaving and wish.site not in running:
                case = replace(case, left_now=(*case.left_now, wish.site))
        else:
            refusals.append(_refusal(case, backend, move, no[0].id, no[1].text, no[1].figures))
    if served is not None and any(t.site is None for t in served.targets):
        move = Move(
            site=None, leaving=True, wish=None, kind=OwnerKind.AUTO, before=running, after=running
        )
        no = first_no(case, move, bold=bold)
        if no is not None:
            refusals.append(_refusal(case, backend, move, no[0].id, no[1].text, no[1].figures))
    return running, tuple(refusals), tuple(moves)


def _wanted(
    case: Case, pool: Pool, current: Mapping[SiteName, int]
) -> list[tuple[Wish, bool, int]]:
    """(wish, leaving, weight afterwards) for every site whose share should change, in order."""
    members = {m.site for m in pool.members}
    entering, other, leaving = [], [], []
    for wish in case.wishes:
        now = current.get(wish.site, 0)
        if wish.site not in members:
            continue
        if wish.stance == "in" and not now:
            entering.append((wish, False, wish.weight))
        elif wish.stance in ("out", "standby") and now:
            leaving.append((wish, True, 0))
        elif wish.declined is not None and now:
            other.append((wish, True, 0))
        elif wish.stance in ("in", "keep") and now and wish.weight != now:
            other.append((wish, wish.weight < now, wish.weight))
    entering.sort(key=lambda x: not x[0].at_once)
    leaving.sort(key=lambda x: (x[0].owner is None, x[0].since_s))
    return [*entering, *other, *leaving]


def _move(
    case: Case, wish: Wish, leaving: bool, running: Mapping[SiteName, int], weight: int
) -> Move:
    after = {s: w for s, w in running.items() if s != wish.site}
    if weight:
        after[wish.site] = weight
    kind = OwnerKind.AUTO if wish.owner is None else wish.owner.kind
    if not leaving and wish.owner is None:
        kind = _who_ends(case, wish.site)
    return Move(site=wish.site, leaving=leaving, wish=wish, kind=kind, before=running, after=after)


def _who_ends(case: Case, site: SiteName) -> OwnerKind:
    """A site that a person drained and lets go enters by that person's word, a pause or not."""
    memory = case.world.memories.get(site)
    left = {name: who for name, _, who in memory.left} if memory is not None else {}
    person = left.get(case.service.name) == OwnerKind.PERSON
    return OwnerKind.PERSON if person else OwnerKind.AUTO


def _refusal(
    case: Case,
    backend: BackendSpec,
    move: Move,
    guard: str,
    text: str,
    figures: tuple[tuple[str, float], ...],
) -> Refusal:
    return Refusal(
        guard=guard,
        text=text,
        service=case.service.name,
        backend=backend.name,
        site=move.site,
        leaving=move.leaving,
        since_s=case.moment.now_s,
        figures=figures,
    )


def _say(answer: Answer | None) -> str:
    return "" if answer is None else ",".join(f"{t.value}*{t.weight}" for t in answer.targets)


def skippable(guard: str) -> bool:
    """May a person skip this guard by naming it?"""
    return any(g.id == guard and g.skippable for g in GUARDS)
