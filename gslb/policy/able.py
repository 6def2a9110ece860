"""Is a site able for a service, who holds it out, and what brakes its return?"""

from enum import StrEnum

from gslb.domain.control import Action, Override, OwnerKind
from gslb.domain.health import Loss, SiteState
from gslb.domain.topology import Ability, Freeze, Service, SiteName
from gslb.domain.world import Memory, World
from gslb.policy.evidence import Look, Looks, concerns, needed, takes_from
from gslb.policy.moment import Moment
from gslb.policy.window import frozen_until

DAY_S = 86_400.0
HOUR_S = 3600.0


class Able(StrEnum):
    """For one service."""

    YES = "yes"
    NO = "no"
    UNKNOWN = "unknown"


def losses_of(state: SiteState, service: Service, needs: tuple[Ability, ...]) -> tuple[Loss, ...]:
    """What the site has lost that this service needs there."""
    return tuple(
        x for x in state.losses if concerns(x.service, service) and takes_from(x.takes, needs)
    )


def able(
    world: World, site: SiteName, service: Service, needs: tuple[Ability, ...] | None = None
) -> Able:
    """By what diagnosis says of the site; a site that never had an ability has it not."""
    needs = service.needs if needs is None else needs
    state = world.states.get(site)
    if state is None:
        return Able.UNKNOWN
    if any(ability not in world.topology.site(site).abilities for ability in needs):
        return Able.NO
    losses = losses_of(state, service, needs)
    if any(not x.never_passed for x in losses):
        return Able.NO
    if losses or any(
        concerns(where, service) and takes_from(takes, needs) for _, where, takes in state.unknown
    ):
        return Able.UNKNOWN
    return Able.YES


def word_on(world: World, site: SiteName, service: Service, moment: Moment) -> Override | None:
    """The override in force: a person's beats an alert's, the newest of persons' wins, and
    among alerts drain holds while any does (evidence.md 7)."""
    said = words_on(world, site, service, moment)
    return said[0] if said else None


def words_on(
    world: World, site: SiteName, service: Service | None, moment: Moment
) -> tuple[Override, ...]:
    """All that speak of this site (and service) and have not ended, the one in force first."""
    said = [
        o
        for o in world.overrides
        if o.site == site
        and (service is None or o.covers(service.name))
        and not moment.reached(o.ends_at_s)
    ]
    persons = [o for o in said if o.owner.kind is not OwnerKind.ALERT]
    alerts = [o for o in said if o.owner.kind is OwnerKind.ALERT]
    # By the order in which the store took them: a wall clock may be set back.
    persons.sort(key=lambda o: (-o.version, -o.created_wall_s, o.key))
    alerts.sort(key=lambda o: (o.action is not Action.DRAIN, o.created_wall_s, o.key))
    return (*persons, *alerts)


def quiet_s(world: World, memory: Memory, now_s: float) -> float:
    """How long a site must be without a fail before it returns: doubled by each flap."""
    timing = world.topology.site(memory.site).timing
    lately = [t for t in memory.drains if now_s - t < 4 * timing.quiet_max_s]
    doubled = timing.quiet_s * 2.0 ** max(len(lately) - 1, 0)
    return float(min(doubled, max(timing.quiet_max_s, timing.quiet_s)))


def brake(
    world: World, looks: Looks, service: Service, site: SiteName, moment: Moment
) -> tuple[str, str] | None:
    """(guard, sentence) that keeps an able site from returning now, or None (evidence.md 5)."""
    memory = world.memories.get(site, Memory(site=site))
    relevant = [x for x in looks[site] if _is_relevant(x, looks[site], service)]
    for x in relevant:
        failed = memory.fell_at_s is not None or x.track.last_fail_s is not None
        if failed and x in needed(looks[site]) and x.track.rises < x.aspect.rise:
            text = f"{x.aspect.name} has {x.track.rises} of {x.aspect.rise} passes"
            return "hold_down", text
    times = [x.track.last_fail_s for x in relevant] + [memory.failed_at_s]
    last_s = max((t for t in times if t is not None), default=None)
    if last_s is not None:
        wanted_s = quiet_s(world, memory, moment.now_s)
        if not moment.reached(last_s + wanted_s):
            left_s = last_s + wanted_s - moment.now_s
            return "hold_down", f"quiet for {wanted_s:.0f} s is wanted, {left_s:.0f} s are left"
    if memory.needs_ack:
        return "ack", "a second automatic drain within `block`: it waits for `gslb ack`"
    return _budget(world, service, moment) or _window(world, moment)


def _is_relevant(seen: Look, looks: tuple[Look, ...], service: Service) -> bool:
    if not concerns(seen.aspect.service, service):
        return False
    return seen.aspect.base.startswith("store.") or seen in needed(looks)


def _budget(world: World, service: Service, moment: Moment) -> tuple[str, str] | None:
    most = service.limits.changes_per_hour
    lately = sorted(
        at_s
        for name, at_s in world.returns
        if name == service.name and moment.now_s - at_s < HOUR_S
    )
    if not most or len(lately) < most or moment.reached(lately[-most] + HOUR_S):
        return None
    return "budget", f"{len(lately)} returns in the last hour, {most} are allowed"


def _window(world: World, moment: Moment) -> tuple[str, str] | None:
    until = frozen_until(world, moment)
    if until is None:
        return None
    freeze, text = until
    return ("window", text) if freeze in (Freeze.RETURNS, Freeze.ALL) else None


def ramp_share(world: World, service: Service, site: SiteName, moment: Moment) -> int:
    """How many per cent of its weight a returning site has now; 100 when it is not in a ramp."""
    memory = world.memories.get(site)
    began_s = dict(memory.ramps).get(service.name) if memory is not None else None
    timing = world.topology.site(site).timing
    if began_s is None:
        # It enters by the first step, not in full: its ramp begins with the change itself.
        weighted = any(b.shape.weights for b in world.topology.backends if b.name in service.via)
        out = memory is not None and any(name == service.name for name, *_ in memory.left)
        return timing.ramp[0] if weighted and out else 100
    for number, share in enumerate(timing.ramp):
        last = number == len(timing.ramp) - 1
        if last or not moment.reached(began_s + (number + 1) * timing.ramp_step_s):
            return share
    return 100
