"""A change on its way: its stages on one clock, and which resolvers show it. It decides nothing."""

from collections.abc import Mapping
from dataclasses import replace

from gslb.domain.messages import EventKind, ResolverAnswered
from gslb.domain.topology import ServiceName, SiteName
from gslb.domain.traffic import Change, Plan
from gslb.domain.words import Section
from gslb.domain.world import Spread, Stages, World
from gslb.policy.ledger import Ledger

MARGIN_S = 10.0
KEPT_MAX = 16
STAGES = ("first_fail", "verdict", "decided", "saved", "written", "read_back", "seen")
PHASES = {
    "detect": ("first_fail_s", "verdict_s"),
    "decide": ("verdict_s", "decided_s"),
    "apply": ("decided_s", "written_s"),
    "read_back": ("written_s", "read_back_s"),
    "resolvers": ("read_back_s", "seen_s"),
}
"""The parts of the time budget, from stage to stage."""


def figures(stages: Stages) -> tuple[tuple[str, float], ...]:
    """Each stage in seconds since the first."""
    found = [(f"{name}_s", at_s - stages[0][1]) for name, at_s in stages]
    total = dict(found).get("read_back_s") if stages[0][0] == "first_fail" else None
    return (*found, *([("failover_s", total)] if total is not None else []))


def begin(world: World, plan: Plan, stages: Stages, ledger: Ledger) -> World:
    """Every authoritative server shows it: from now on the resolvers are asked."""
    shape = next(b.shape for b in world.topology.backends if b.name == plan.backend)
    if not world.topology.resolvers or not shape.addresses:
        return world
    names = _names(plan)
    before = [
        _over(s, ledger) if not s.done and names & _names(s.plan) else s for s in world.spreads
    ]
    until_s = stages[-1][1] + max(c.pool.ttl_s for c in plan.changes) + MARGIN_S
    after = Spread(
        plan=plan, stages=stages, until_s=until_s, said=dict.fromkeys(world.topology.resolvers)
    )
    return replace(world, spreads=(*before, after)[-KEPT_MAX:])


def asked(world: World) -> tuple[ServiceName, ...]:
    """What resolvers are asked for now."""
    names = (c.pool.service for s in world.spreads if not s.done for c in s.plan.changes)
    return tuple(dict.fromkeys(names)) if world.topology.resolvers else ()


def answered(world: World, seen: ResolverAnswered, ledger: Ledger) -> World:
    """One resolver has its say on everything that is on its way."""
    spreads = tuple(s if s.done else _told(s, seen, ledger) for s in world.spreads)
    return replace(world, spreads=spreads)


def words(spread: Spread) -> str:
    """`4 of 5 resolvers answer without fra; 192.0.2.1 still has 192.0.2.20, TTL 8 s left`."""
    sites = [
        (set(c.before.sites if c.before else ()), set(c.after.sites)) for c in spread.plan.changes
    ]
    out = sorted({site for before, after in sites for site in before - after})
    came = sorted({site for before, after in sites for site in after - before})
    how = " and ".join(
        f"{word} {', '.join(some)}" for word, some in (("without", out), ("with", came)) if some
    )
    late = [f"{name} {said}" for name, said in spread.said.items() if said]
    first = f"{spread.shown} of {len(spread.said)} resolvers answer {how or 'as planned'}"
    return "; ".join((first, *late))


def about(
    world: World, site: SiteName | None = None, service: ServiceName | None = None
) -> tuple[Spread, ...]:
    """The last change that moved this site, or this service."""
    found = [
        s
        for s in world.spreads
        for c in s.plan.changes
        if service in (None, c.pool.service) and (site is None or moves(c, site))
    ]
    return tuple(found[-1:]) if world.topology.resolvers else ()


def section(
    world: World, site: SiteName | None = None, service: ServiceName | None = None
) -> tuple[Section, ...]:
    """The step `seen` of an explanation; nothing where no resolver is configured."""
    return tuple(
        Section(title="seen", lines=(words(s),), outcome="waiting" if s.waiting else "ok")
        for s in about(world, site, service)
    )


def moves(change: Change, site: SiteName) -> bool:
    """Does the site enter or leave?"""
    return (change.before is not None and site in change.before.sites) != (
        site in change.after.sites
    )


def _told(spread: Spread, seen: ResolverAnswered, ledger: Ledger) -> Spread:
    if seen.resolver not in spread.said:
        return spread
    late = [text for c in spread.plan.changes if (text := _late(c, seen.answers))]
    silent = any(c.pool.service not in seen.answers for c in spread.plan.changes)
    said = f"does not answer: {seen.error}" if silent else (late or [""])[0]
    shown = spread.shown
    spread = replace(spread, said={**spread.said, seen.resolver: said})
    if spread.shown > shown:
        spread = replace(spread, seen_at_s=seen.at_s)
    whole = spread.shown == len(spread.said)
    return _over(spread, ledger) if whole or seen.at_s >= spread.until_s else spread


def _late(change: Change, answers: Mapping[ServiceName, tuple[tuple[str, ...], float]]) -> str:
    values, ttl_s = answers.get(change.pool.service, ((), 0.0))
    after = {t.value for t in change.after.targets}
    before = {t.value for t in change.before.targets} if change.before else set()
    left = f"TTL {ttl_s:.0f} s left"
    if old := sorted((before - after) & {*values}):
        return f"still has {', '.join(old)}, {left}"
    new = sorted(after - before - {*values})
    return f"does not have {', '.join(new)} yet, {left}" if new else ""


def _over(spread: Spread, ledger: Ledger) -> Spread:
    stages = spread.stages
    if spread.shown and not spread.waiting:
        stages = (*stages, ("seen", spread.seen_at_s))
    text = f"{spread.plan.backend}: {', '.join(sorted(_names(spread.plan)))}: {words(spread)}"
    counts = (("resolvers", float(len(spread.said))), ("shown", float(spread.shown)))
    ledger.say(
        EventKind.SEEN,
        text,
        backend=spread.plan.backend,
        plan=spread.plan.digest,
        figures=(*(f for f in figures(stages) if f[0] != "failover_s"), *counts),
    )
    return replace(spread, stages=stages, done=True)


def _names(plan: Plan) -> set[ServiceName]:
    return {c.pool.service for c in plan.changes}
