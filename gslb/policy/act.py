"""Deciding: for each backend, what is to be read, changed, waited for, or only said."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from gslb.domain.messages import Apply, Read
from gslb.domain.topology import BackendName, BackendSpec
from gslb.domain.traffic import Change, Fencing, Generation, Plan
from gslb.domain.words import Fate
from gslb.domain.world import BackendView, Refusal, Stages, World
from gslb.policy import drift
from gslb.policy.evidence import Looks
from gslb.policy.fit import pool_of, same
from gslb.policy.learn_backends import in_conflict, put, view_of
from gslb.policy.ledger import Ledger
from gslb.policy.moment import Moment
from gslb.policy.outcome import (
    carried_out,
    digest_of,
    returned,
    say_refusals,
    say_waiting,
    say_would,
)
from gslb.policy.plan import Decided, change_of, decide, in_full, make_plan

REREAD_S = 1.0
REASSERT_S = 5.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Weighed:
    """One decision, what of it may go, and what becomes of that."""

    backend: BackendName
    decided: Decided
    let: Decided
    fate: Fate | None = None
    waits: Change | None = None
    """A change that a person may confirm."""


def act(world: World, looks: Looks, moment: Moment, ledger: Ledger) -> World:
    """Decide for every backend; what is refused is said once."""
    world, weighed = weigh(world, looks, moment, ledger)
    decided = [w.decided for w in weighed]
    refusals = tuple(r for d in decided for r in d.refusals)
    # A backend that is busy or unknown was not decided on: its refusals stand as they were.
    awake = {w.backend for w in weighed}
    kept = tuple(r for r in world.refusals if r.backend not in awake)
    say_refusals(world, refusals, ledger)
    wishes = {d.service.name: d.wishes for d in reversed(decided)}
    world = replace(
        world, refusals=_since(world, (*kept, *refusals)), wishes={**world.wishes, **wishes}
    )
    return returned(world, ledger)


def weigh(
    world: World, looks: Looks, moment: Moment, ledger: Ledger
) -> tuple[World, list[Weighed]]:
    """What is decided at each backend that can be decided on, ordered at once. A preview is this
    too, on a world that is thrown away."""
    weighed: list[Weighed] = []
    for backend in world.topology.backends:
        world, found = _at_backend(world, looks, backend, moment, ledger)
        weighed += found
    return world, weighed


def _at_backend(
    world: World, looks: Looks, backend: BackendSpec, moment: Moment, ledger: Ledger
) -> tuple[World, list[Weighed]]:
    view = view_of(world, backend.name)
    world = put(world, view)
    if world.epoch is None or view.busy or not moment.reached(view.rest_until_s):
        return world, []
    services = [s for s in world.topology.services if backend.name in s.via]
    if _must_read(world, view, backend, moment):
        pools = tuple(pool_of(world.topology, s, backend) for s in services)
        ledger.orders.append(Read(backend=view.name, epoch=world.epoch, pools=pools))
        return put(world, replace(view, busy=True, busy_since_s=moment.now_s)), []
    world, view, raised = _fence(world, view, backend, moment, ledger)
    if raised:
        return world, []
    decided = [decide(world, looks, s, backend, moment) for s in services]
    wanted = {d.service.name: d.wanted for d in decided if d.wanted is not None}
    view = replace(view, wanted=wanted)
    world = put(world, view)
    weighed = [_weigh_one(world, looks, view, backend, d, moment) for d in decided]
    return _carry_out(world, view, backend, weighed, moment, ledger), weighed


def _must_read(world: World, view: BackendView, backend: BackendSpec, moment: Moment) -> bool:
    if not view.known or view.read_at_s is None:
        return True
    again_s = REREAD_S if view.sent is not None or any(view.behind.values()) else backend.resync_s
    return moment.reached(view.read_at_s + again_s)


def _fence(
    world: World, view: BackendView, backend: BackendSpec, moment: Moment, ledger: Ledger
) -> tuple[World, BackendView, bool]:
    """Whose is the backend (evidence.md 8)? A new term first raises the epoch there, alone."""
    if backend.shape.fencing is not Fencing.CAS or view.conflict is not None:
        return world, view, False
    found = view.generation
    foreign = _foreign(world, view, found)
    if foreign is not None:
        view = in_conflict(view, foreign, ledger)
        return put(world, view), view, False
    taking_over = found is not None and found == view.takeover
    ours = found is not None and (found.epoch < (world.epoch or 0) or taking_over)
    lost = found is None and view.had_generation and bool(view.adopted)
    if not (ours or lost) or not world.live(backend=backend.name) or world.paused is not None:
        return world, view, False
    plan = make_plan(world, view, (), found, ("a new term raises the generation",))
    return _order(world, view, plan, moment, ledger, ()), view, True


def _foreign(world: World, view: BackendView, found: Generation | None) -> str | None:
    if found is None or found == view.takeover:
        return None
    if found.cluster != world.topology.cluster:
        return f"it belongs to the cluster {found.cluster} (generation {found})"
    if found.instance != world.instance:
        return f"it belongs to another instance of this cluster, {found.instance}"
    assert world.epoch is not None
    if found.epoch > world.epoch:
        return (
            f"its epoch {found.epoch} is above our {world.epoch}: was our store cloned or restored?"
        )
    if found.epoch == world.epoch and found.seq > view.seq:
        return f"its sequence {found.seq} is above any that we wrote in epoch {found.epoch}"
    return None


def _weigh_one(
    world: World,
    looks: Looks,
    view: BackendView,
    backend: BackendSpec,
    d: Decided,
    moment: Moment,
) -> Weighed:
    if not world.live(d.service.name, backend.name):
        return Weighed(backend=backend.name, decided=d, let=d, fate=Fate.WOULD)
    let, waits = _let(world, looks, view, backend, d, moment)
    fate = Fate.GOES if let.differs or _lags(world, view, backend, let, moment) else None
    if let.differs and drift.rests(view, backend, let):
        fate = Fate.RESTS
    return Weighed(backend=backend.name, decided=d, let=let, fate=fate, waits=waits)


def _carry_out(
    world: World,
    view: BackendView,
    backend: BackendSpec,
    weighed: Sequence[Weighed],
    moment: Moment,
    ledger: Ledger,
) -> World:
    """Order what may go now; show what would go, and what waits for a person."""
    going = [w.let for w in weighed if w.fate is Fate.GOES]
    waiting = [w.waits for w in weighed if w.waits is not None]
    would = [w.let for w in weighed if w.fate is Fate.WOULD and w.let.differs]
    for one in weighed:
        if one.waits is None and one.fate is not Fate.WOULD:
            world, view = _adopt(world, view, one.let, ledger)
    world = say_waiting(world, view, waiting, ledger)
    world = say_would(world, view, would, ledger)
    new_here = not view.had_generation and view.generation is None and bool(view.adopted)
    fenced = backend.shape.fencing is Fencing.CAS and view.conflict is None
    if not going and not (new_here and fenced and world.live(backend=backend.name)):
        return world
    if not going and world.paused is not None:
        return world
    reasons = tuple(w.reason for d in going for m in d.moves if (w := m.wish) is not None)
    plan = make_plan(world, view, [change_of(d) for d in going], view.generation, reasons)
    for d in going:
        world = carried_out(world, d, backend, plan, moment, ledger)
    # A confirmation is good for one plan only.
    used = {digest_of(world, view, [c]) for c in plan.changes}
    confirmed = {k: t for k, t in world.confirmed.items() if k not in used}
    world = replace(world, confirmed=confirmed) if used & {*world.confirmed} else world
    falls = [
        (("first_fail", m.wish.since_s), ("verdict", world.states[m.site].since_s))
        for d in going
        for m in d.moves
        if m.leaving and m.site is not None and m.wish is not None and m.wish.since_s
    ]
    return _order(world, view, plan, moment, ledger, min(falls, default=()))


def _order(
    world: World,
    view: BackendView,
    plan: Plan,
    moment: Moment,
    ledger: Ledger,
    began: Stages,
) -> World:
    ledger.orders.append(Apply(plan=plan, revision=world.revision))
    seq = plan.leaves.seq + max(len(plan.changes) - 1, 0) if plan.leaves is not None else view.seq
    names = {c.pool.service for c in plan.changes}
    view = replace(
        view,
        busy=True,
        busy_since_s=moment.now_s,
        sent=plan if plan.changes else None,
        sent_at_s=moment.now_s,
        seq=seq,
        stages=(*began, ("decided", moment.now_s)),
        repaired={**view.repaired, **drift.repairs(view, plan, moment.now_s)},
        verified={n: a for n, a in view.verified.items() if n not in names},
    )
    return put(world, view)


def _lags(
    world: World, view: BackendView, backend: BackendSpec, d: Decided, moment: Moment
) -> bool:
    """Is one of several balancers to be told again? DNS servers copy from each other; they do not.

    A secondary that lags holds nothing up: the next plan is made on what the primary serves.
    """
    told = backend.shape.fencing is Fencing.TIME and bool(view.behind.get(d.service.name))
    if not told or d.differs or d.wanted is None or world.paused is not None:
        return False
    return view.conflict is None and moment.reached(view.sent_at_s + REASSERT_S)


def _let(
    world: World,
    looks: Looks,
    view: BackendView,
    backend: BackendSpec,
    d: Decided,
    moment: Moment,
) -> tuple[Decided, Change | None]:
    """What of a decision may go now, and the change that waits for a person's confirm."""
    bold = decide(world, looks, d.service, backend, moment, bold=True) if d.refusals else d
    if not _is_ours(world, view, backend, d):
        # Before it is settled, what is wanted is no more than what is known so far.
        if not bold.differs or not world.settled:
            return replace(d, wanted=None), None  # held for now: nothing is adopted by that
        change = change_of(bold)
        if _is_confirmed(world, view, change):
            return bold, None
        return replace(d, wanted=d.served), change
    leaving = any(r.leaving for r in d.refusals)
    if not leaving or not bold.differs or same(bold.wanted, d.wanted):
        return d, None
    change = change_of(bold)
    return (bold, None) if _is_confirmed(world, view, change) else (d, change)


def _is_ours(world: World, view: BackendView, backend: BackendSpec, d: Decided) -> bool:
    """Has our store served this name, or is there nothing that somebody would miss?"""
    if d.service.name in view.adopted or d.served is None:
        return True
    wanted = world.settled and not d.refusals and same(d.served, d.wanted)
    return wanted or same(d.served, in_full(world, d.service, backend))


def _is_confirmed(world: World, view: BackendView, change: Change) -> bool:
    return digest_of(world, view, [change]) in world.confirmed


def _adopt(
    world: World, view: BackendView, d: Decided, ledger: Ledger
) -> tuple[World, BackendView]:
    if d.service.name in view.adopted or d.wanted is None or view.conflict is not None:
        return world, view
    if not world.settled:
        return world, view
    view = replace(view, adopted=view.adopted | {d.service.name})
    ledger.keep_adopted(view.name, view.adopted)
    return put(world, view), view


def _since(world: World, refusals: tuple[Refusal, ...]) -> tuple[Refusal, ...]:
    """A refusal that stands keeps its beginning."""
    began = {(r.guard, r.service, r.backend, r.site): r.since_s for r in world.refusals}
    return tuple(
        replace(r, since_s=began.get((r.guard, r.service, r.backend, r.site), r.since_s))
        for r in refusals
    )
