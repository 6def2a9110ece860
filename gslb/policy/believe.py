"""From tracks to what we believe now: blindness, the states of sites, what has ended."""

from dataclasses import replace

from gslb.domain.control import OwnerKind
from gslb.domain.health import Alarm, AlarmKind, SiteState, SiteVerdict, Verdict
from gslb.domain.messages import EventKind
from gslb.domain.topology import Role, Service, SiteName
from gslb.domain.world import Memory, World
from gslb.policy import drift
from gslb.policy.able import Able, able, word_on
from gslb.policy.diagnose import diagnose
from gslb.policy.evidence import Looks, look, needed, unseen
from gslb.policy.ledger import Ledger
from gslb.policy.moment import Moment

CLOCK_JUMP_S = 5.0
REFERENCE_STALE_S = 30.0


def believe(world: World, moment: Moment, ledger: Ledger) -> tuple[World, Looks]:
    """Everything that follows from tracks and time without deciding anything."""
    world = _clock(world, ledger)
    world = _ended(world, moment, ledger)
    looks = look(world, moment)
    blind = _blind(world, looks, moment)
    if blind is not None:
        looks = unseen(looks)
    world = world if blind == world.blind else replace(world, blind=blind)
    states, alarms = diagnose(world, looks, moment)
    states = {s: _same_or_new(world.states.get(s), state) for s, state in states.items()}
    for site, state in states.items():
        world = _turned(world, looks, world.states.get(site), state, ledger)
    world = replace(world, states=states)
    for service in world.topology.services:
        alarms += _service_alarms(world, service, moment)
    alarms += drift.alarms(world)
    _say_alarms(world.alarms, alarms, ledger)
    world = replace(world, alarms=alarms, settled=_settled(world, looks, moment))
    return _ramps_end(world, moment, ledger), looks


def _clock(world: World, ledger: Ledger) -> World:
    """A jump of the wall clock is said; it moves no expiry of a running process."""
    offset_s = ledger.now.wall_s - ledger.now.boot_s
    if world.offset_s is not None and abs(offset_s - world.offset_s) <= CLOCK_JUMP_S:
        return world
    if world.offset_s is not None:
        jump_s = offset_s - world.offset_s
        ledger.say(EventKind.CLOCK, f"the wall clock jumped by {jump_s:+.0f} s; no expiry moves")
    return replace(world, offset_s=offset_s)


def _ended(world: World, moment: Moment, ledger: Ledger) -> World:
    """Overrides and a pause that have run out."""
    gone = [o for o in world.overrides if moment.reached(o.ends_at_s)]
    for o in gone:
        text = f"{o.owner}'s {o.action} of {o.site} has ended by itself"
        ledger.say(EventKind.OVERRIDE, text, site=o.site, owner=o.owner, after="ended")
        ledger.drop_override(o.key)
    memories = dict(world.memories)
    for o in gone:
        memory = memories.get(o.site)
        if memory is not None and memory.left:
            # It returns by automation's word from now on: what ends in a pause waits for resume.
            left = tuple((s, at_s, str(OwnerKind.AUTO)) for s, at_s, _ in memory.left)
            memories[o.site] = replace(memory, left=left)
            ledger.keep_memory(memories[o.site])
    if gone:
        kept = tuple(o for o in world.overrides if o not in gone)
        world = replace(world, overrides=kept, memories=memories)
    if world.pause is not None and moment.reached(world.pause.ends_at_s):
        ledger.say(EventKind.PAUSE, "the pause has ended by itself", after="resumed")
        ledger.drop_override("pause")
        world = replace(world, pause=None)
    confirmed = {d: t for d, t in world.confirmed.items() if not moment.reached(t)}
    return world if len(confirmed) == len(world.confirmed) else replace(world, confirmed=confirmed)


def _blind(world: World, looks: Looks, moment: Moment) -> str | None:
    """Is it us? No site's front and no store answers at all, or too few references do."""
    asked = [
        x
        for site in looks.values()
        for x in site
        if x.aspect.base.startswith(("store.", "quay.front", "http"))
        and x.aspect.role is Role.DECIDES  # `store.list` is not asked while reading fails
        and (x.track.counted_s is not None or x.track.blind_s is not None)
    ]
    sites = {x.aspect.site for x in asked}
    if len(sites) > 1 and len(sites) == len(looks) and all(x.unanswered for x in asked):
        return "no site's front and no store answers us at all: it is our own network"
    heard = [
        ok for at_s, ok in world.references.values() if not moment.reached(at_s + REFERENCE_STALE_S)
    ]
    named = world.topology.references
    if named and len(heard) == len(named) and sum(heard) * 2 <= len(heard):
        return f"{sum(heard)} of {len(heard)} references answer: it is our own network"
    return None


def _same_or_new(before: SiteState | None, after: SiteState) -> SiteState:
    """Keep the identity of what did not change, so that deciding can tell."""
    return before if before == after and before is not None else after


def _turned(
    world: World, looks: Looks, before: SiteState | None, after: SiteState, ledger: Ledger
) -> World:
    """Say that a site's state has changed, and remember what must survive."""
    was = before.verdict if before is not None else SiteVerdict.UNKNOWN
    if was is after.verdict:
        return world
    memory = world.memories.get(after.site, Memory(site=after.site))
    said = after.reasons and after.verdict is not SiteVerdict.UP
    why = f" because {after.reasons[0].text}" if said else ""
    if after.verdict is SiteVerdict.DOWN:
        world, memory = _falls(world, memory, ledger)
    elif was is SiteVerdict.DOWN:
        last_s = [x.track.last_fail_s for x in looks[after.site] if x.track.last_fail_s is not None]
        memory = replace(memory, failed_at_s=max(last_s, default=memory.failed_at_s))
        ledger.keep_memory(memory)
    cause = after.reasons[0].cause if after.reasons else None
    ledger.say(
        EventKind.SITE,
        f"{after.site} {was} → {after.verdict}{why}",
        site=after.site,
        before=str(was),
        after=str(after.verdict),
        incident=memory.incident,
        cause=None if cause is None else str(cause),
    )
    return replace(world, memories={**world.memories, after.site: memory})


def _falls(world: World, memory: Memory, ledger: Ledger) -> tuple[World, Memory]:
    now_s = ledger.now.boot_s
    if memory.incident is None:
        world = replace(world, incidents=world.incidents + 1)
        memory = replace(memory, incident=f"i-{world.incidents}")
        ledger.keep_incidents(world.incidents)
    memory = replace(memory, fell_at_s=now_s, failed_at_s=now_s)
    ledger.keep_memory(memory)
    return world, memory


def _say_alarms(before: tuple[Alarm, ...], after: tuple[Alarm, ...], ledger: Ledger) -> None:
    def name(alarm: Alarm) -> tuple[object, ...]:
        return (alarm.kind, alarm.site, alarm.service, alarm.aspect)

    known, present = {name(a) for a in before}, {name(a) for a in after}
    for a in after:
        if name(a) not in known:
            ledger.say(EventKind.ALARM, a.text, site=a.site, service=a.service, after=str(a.kind))
    for a in before:
        if name(a) not in present:
            text = f"over: {a.text}"
            ledger.say(EventKind.ALARM, text, site=a.site, service=a.service, before=str(a.kind))


def _service_alarms(world: World, service: Service, moment: Moment) -> tuple[Alarm, ...]:
    """Nobody is able, or only a site that a person drained."""
    can = {e.site: able(world, e.site, service) for e in service.endpoints}
    if any(x is Able.UNKNOWN for x in can.values()):
        return ()
    whole = [s for s, x in can.items() if x is Able.YES]
    readable = [s for s in can if able(world, s, service, service.accept) is Able.YES]
    if not whole and readable:
        text = f"{service.name}: no site takes writes; {', '.join(readable)} can be read"
        return (Alarm(kind=AlarmKind.READ_ONLY, text=text, service=service.name),)
    if not whole:
        text = f"{service.name}: no site is able; what is served stays"
        return (Alarm(kind=AlarmKind.ALL_DOWN, text=text, service=service.name),)
    words = [word_on(world, s, service, moment) for s in whole]
    if all(
        w is not None and w.action == "drain" and w.owner.kind is OwnerKind.PERSON for w in words
    ):
        text = f"{service.name}: the only able site is drained by hand ({', '.join(whole)})"
        kind = AlarmKind.ONLY_HEALTHY_DRAINED
        return (Alarm(kind=kind, text=text, service=service.name, site=whole[0]),)
    return ()


def _settled(world: World, looks: Looks, moment: Moment) -> bool:
    """Once every needed aspect has a verdict, or after `settle_max`; then for good."""
    if world.settled or moment.reached(world.started_s + world.topology.settle_max_s):
        return True
    return all(x.verdict is not Verdict.UNKNOWN for site in looks.values() for x in needed(site))


def _ramps_end(world: World, moment: Moment, ledger: Ledger) -> World:
    if not any(m.ramps for m in world.memories.values()):
        return world
    memories = dict(world.memories)
    for site, memory in world.memories.items():
        kept = tuple(r for r in memory.ramps if not _ramp_is_over(world, site, r[1], moment))
        if len(kept) < len(memory.ramps):
            memories[site] = replace(memory, ramps=kept)
            ledger.keep_memory(memories[site])
    return replace(world, memories=memories)


def _ramp_is_over(world: World, site: SiteName, began_s: float, moment: Moment) -> bool:
    found = [s for s in world.topology.sites if s.name == site]
    if not found:
        return True
    timing = found[0].timing
    return moment.reached(began_s + (len(timing.ramp) - 1) * timing.ramp_step_s)
