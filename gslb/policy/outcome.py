"""What is remembered and said when a decision is carried out, refused, or a site is back."""

from collections.abc import Sequence
from dataclasses import replace

from gslb.domain.control import OwnerKind
from gslb.domain.health import SiteVerdict
from gslb.domain.messages import EventKind
from gslb.domain.topology import BackendSpec, ServiceName, SiteName
from gslb.domain.traffic import Change, Plan
from gslb.domain.world import BackendView, Memory, Refusal, World
from gslb.policy.able import DAY_S
from gslb.policy.case import Move
from gslb.policy.guard import GUARDS
from gslb.policy.learn_backends import say_answer
from gslb.policy.ledger import Ledger
from gslb.policy.moment import Moment
from gslb.policy.plan import Decided, change_of, make_plan

BRAKES = frozenset({"hold_down", "ramp", "budget", "settled", "all_down"})


def carried_out(
    world: World,
    d: Decided,
    backend: BackendSpec,
    plan: Plan,
    moment: Moment,
    ledger: Ledger,
) -> World:
    """Remember who left and who came, and say it."""
    assert d.wanted is not None
    before = d.served.sites if d.served is not None else ()
    for move in d.moves:
        if move.site is None:
            continue
        left, came = move.site in before, move.site in d.wanted.sites
        if left and not came:
            world = _leaves(world, d.service.name, move, moment, ledger)
        elif came and not left:
            world = _enters(world, d.service.name, move, backend, moment, ledger)
        if left != came:
            world = _let_through(world, d, move, backend)
    _say(world, d, backend, plan, ledger)
    return world


def _let_through(world: World, d: Decided, move: Move, backend: BackendSpec) -> World:
    """For explain: who was asked, and what was left."""
    assert move.site is not None
    asked = " ".join(g.id for g in GUARDS if g.applies(move))
    limits = d.service.limits
    line = (
        f"pass when it {'left' if move.leaving else 'entered'} {d.service.name} at {backend.name} "
        f"({', '.join(move.after)} in; at least {limits.min_sites} wanted): {asked}"
    )
    return replace(world, passed_guards={**world.passed_guards, move.site: (line,)})


def say_refusals(world: World, refusals: tuple[Refusal, ...], ledger: Ledger) -> None:
    """Each refusal once; what only brakes a return is shown, not told."""
    known = {(r.guard, r.service, r.backend, r.site) for r in world.refusals}
    for r in refusals:
        told = r.leaving or r.guard not in BRAKES
        if told and (r.guard, r.service, r.backend, r.site) not in known:
            what = "leaves" if r.leaving else "enters"
            who = "a foreign record" if r.site is None else str(r.site)
            text = f"{r.backend}: {who} {what} {r.service}: refused by {r.guard}: {r.text}"
            ledger.say(
                EventKind.REFUSED,
                text,
                guard=r.guard,
                site=r.site,
                service=r.service,
                backend=r.backend,
                figures=r.figures,
            )


def returned(world: World, ledger: Ledger) -> World:
    """A site that is up and serves wherever it left is back: its incident is over."""
    memories = dict(world.memories)
    for site, memory in world.memories.items():
        state = world.states.get(site)
        out = tuple(
            x
            for x in memory.left
            if not _stands_by(world, site, x[0]) and not _is_back(world, x[0], site)
        )
        if out != memory.left:
            memory = replace(memory, left=out)
            memories[site] = memory
            ledger.keep_memory(memory)
        over = memory.fell_at_s is not None and not out and not memory.ramps
        if over and state is not None and state.verdict in (SiteVerdict.UP, SiteVerdict.DEGRADED):
            now_s = ledger.now.boot_s
            drains = tuple(t for t in memory.drains if now_s - t < DAY_S)
            memory = replace(memory, fell_at_s=None, incident=None, drains=drains, left=())
            memories[site] = memory
            ledger.keep_memory(memory)
    return replace(world, memories=memories)


def _stands_by(world: World, site: SiteName, service: ServiceName) -> bool:
    return any(w.site == site and w.stance == "standby" for w in world.wishes.get(service, ()))


def _leaves(
    world: World, service: ServiceName, move: Move, moment: Moment, ledger: Ledger
) -> World:
    assert move.site is not None
    memory = world.memories.get(move.site, Memory(site=move.site))
    now_s = moment.now_s
    stands_by = move.wish is not None and move.wish.owner is None
    if not stands_by and service not in {name for name, *_ in memory.left}:
        memory = replace(memory, left=(*memory.left, (service, now_s, str(move.kind))))
    memory = replace(memory, ramps=tuple(r for r in memory.ramps if r[0] != service))
    failed = move.kind is OwnerKind.AUTO and move.wish is not None and move.wish.since_s > 0
    if failed and not any(t >= (memory.fell_at_s or 0.0) for t in memory.drains):
        block_s = world.topology.site(move.site).timing.block_s
        again = any(now_s - t < block_s for t in memory.drains)
        memory = replace(
            memory, drains=(*memory.drains, now_s), needs_ack=memory.needs_ack or again
        )
    ledger.keep_memory(memory)
    return replace(world, memories={**world.memories, move.site: memory})


def _enters(
    world: World,
    service: ServiceName,
    move: Move,
    backend: BackendSpec,
    moment: Moment,
    ledger: Ledger,
) -> World:
    site = move.site
    assert site is not None
    memory = world.memories.get(site, Memory(site=site))
    back = service in {name for name, *_ in memory.left}
    at_once = move.wish is not None and move.wish.at_once
    ramped = dict(memory.ramps)
    if back and not at_once and backend.shape.weights and service not in ramped:
        ramped[service] = moment.now_s
    memory = replace(memory, ramps=tuple(ramped.items()))
    ledger.keep_memory(memory)
    returns = world.returns
    first = (service, moment.now_s) not in returns and not _is_in(world, service, site)
    if back and not at_once and first:
        returns = (*(r for r in returns if moment.now_s - r[1] < DAY_S), (service, moment.now_s))
    return replace(world, memories={**world.memories, site: memory}, returns=returns)


def _is_in(world: World, service: ServiceName, site: SiteName) -> bool:
    """Is the site in this service at some backend?"""
    answers = [(v.served or {}).get(service) for v in world.backends.values()]
    return any(a is not None and site in a.sites for a in answers)


def _is_back(world: World, service: ServiceName, site: SiteName) -> bool:
    """Is it served, and wanted so, at every backend that was read?"""
    answers = [
        (served, view.wanted.get(service))
        for view in world.backends.values()
        if (served := (view.served or {}).get(service)) is not None
    ]
    return bool(answers) and all(
        site in served.sites and wanted is not None and site in wanted.sites
        for served, wanted in answers
    )


def _say(world: World, d: Decided, backend: BackendSpec, plan: Plan, ledger: Ledger) -> None:
    assert d.wanted is not None
    before = d.served.sites if d.served is not None else ()
    out = [s for s in before if s not in d.wanted.sites]
    came = [s for s in d.wanted.sites if s not in before]
    signs = [*(f"+ {s}" for s in came), *(f"− {s}" for s in out)]
    reasons = {m.site: m.wish.reason for m in d.moves if m.wish is not None}
    owners = {m.site: m for m in d.moves}
    what = " ".join(signs) or "weights or records put right"
    moved = [*out, *came]
    first = moved[0] if moved else None
    why = f": {reasons[first]}" if first in reasons else ""
    kind = owners[first].kind if first in owners else OwnerKind.AUTO
    owner = owners[first].wish.owner if first in owners and owners[first].wish else None  # type: ignore[union-attr]  # checked beside
    memory = world.memories.get(first) if first is not None else None
    ledger.say(
        EventKind.ANSWER,
        f"{d.service.name} {what} at {backend.name} (epoch {plan.epoch}, {plan.digest}){why}",
        service=d.service.name,
        backend=backend.name,
        site=first,
        owner=owner,
        incident=memory.incident if memory is not None else None,
        plan=plan.digest,
        before=",".join(before),
        after=",".join(d.wanted.sites),
        cause=str(kind),
    )


def digest_of(world: World, view: BackendView, changes: Sequence[Change]) -> str:
    """What a person would confirm."""
    return make_plan(world, view, changes, None, ()).digest


def say_waiting(
    world: World, view: BackendView, waiting: Sequence[Change], ledger: Ledger
) -> World:
    """One plan a change, so that each is confirmed by itself: the first waits, the rest follow."""
    plans = {k: v for k, v in world.waiting.items() if k != view.name}
    if waiting:
        plan = make_plan(world, view, waiting[:1], view.generation, ())
        if (
            world.waiting.get(view.name, plan).digest != plan.digest
            or view.name not in world.waiting
        ):
            c = waiting[0]
            text = (
                f"{view.name}: {plan.digest} waits for a person: {c.pool.service} "
                f"{say_answer(c.before)} → {say_answer(c.after)} (gslb confirm {plan.digest})"
            )
            ledger.say(EventKind.CONFIRM, text, backend=view.name, service=c.pool.service)
        plans[view.name] = plan
    return replace(world, waiting=plans)


def say_would(world: World, view: BackendView, would: Sequence[Decided], ledger: Ledger) -> World:
    """Observe: everything runs, and what would be written is said once."""
    shown = digest_of(world, view, [change_of(d) for d in would]) if would else ""
    if shown == world.would.get(view.name, ""):
        return world
    for d in would:
        text = (
            f"{view.name}: would change {d.service.name} from {say_answer(d.served)} "
            f"to {say_answer(d.wanted)} (observe: nothing is written)"
        )
        ledger.say(EventKind.WOULD, text, backend=view.name, service=d.service.name)
    return replace(world, would={**world.would, view.name: shown})
