"""`storage: false` at Quay is not yet the site's trouble (evidence.md 4.1)."""

from collections.abc import Mapping, Sequence

from gslb.domain.health import Alarm, AlarmKind, Loss, Verdict
from gslb.domain.topology import SiteName
from gslb.domain.world import World
from gslb.policy.evidence import Look, Looks, loss, stores


def at_quay(
    world: World, looks: Looks
) -> tuple[Mapping[SiteName, tuple[Loss, ...]], tuple[Alarm, ...]]:
    """What each site loses by what its Quay says of its storage, and what is disputed."""
    registries: dict[str | None, list[Look]] = {}
    for seen in (x for site in looks.values() for x in site):
        if seen.aspect.base == "quay.storage":
            registries.setdefault(seen.aspect.registry, []).append(seen)
    losses: dict[SiteName, tuple[Loss, ...]] = {}
    alarms: tuple[Alarm, ...] = ()
    for group in registries.values():
        falses = [x for x in group if x.down]
        for seen in falses:
            found, more = _at_site(world, looks, seen, falses)
            losses[seen.aspect.site] = losses.get(seen.aspect.site, ()) + found
            alarms += more
    return losses, alarms


def _at_site(
    world: World, looks: Looks, seen: Look, falses: list[Look]
) -> tuple[tuple[Loss, ...], tuple[Alarm, ...]]:
    site = seen.aspect.site
    own = stores(looks[site])
    if any(x.down for x in own):
        return (), ()  # its store is to blame, and is blamed by its own probe
    alarms = None if blamed_before(world, seen) else _acquitted(looks, seen, own, falses)
    if alarms is not None:
        return (), alarms
    if own and all(x.verdict is Verdict.UP for x in own):
        return (_seen_by_quay_only(seen),), ()
    alarm = Alarm(
        kind=AlarmKind.UNCORROBORATED,
        site=site,
        text=f"Quay at {site} says storage: false, and no own store probe can confirm it",
    )
    text = f"{seen.aspect.name}: Quay says storage: false (uncorroborated: no own store probe)"
    dwell_s = 2 * seen.aspect.dwell_local_s
    return (loss(seen, text, seen.track.since_s, dwell_s),), (alarm,)


def _acquitted(
    looks: Looks, seen: Look, own: tuple[Look, ...], falses: list[Look]
) -> tuple[Alarm, ...] | None:
    """Why the site is not to blame for what its Quay says, as alarms; None: it is."""
    site = seen.aspect.site
    if own and not since_passed(own, seen):
        return ()  # said while its store failed, and not asked again since
    dead = [name for name, all_of_it in looks.items() if any(x.down for x in stores(all_of_it))]
    if dead:
        text = (
            f"Quay at {site} says storage: false while its own store passes and "
            f"{', '.join(dead)}'s is down: its preference list names another site's store"
        )
        return (Alarm(kind=AlarmKind.PREFERENCE, site=site, text=text),)
    if not since_passed([x for look in looks.values() for x in stores(look)], seen):
        return ()  # said while some store failed: not yet known whose it is
    if len(falses) > 1:
        names = ", ".join(x.aspect.site for x in falses)
        text = f"Quay says storage: false at {names}, while every store that we can probe passes"
        return (Alarm(kind=AlarmKind.STORAGE_DISPUTED, text=text),)
    return None


def _seen_by_quay_only(seen: Look) -> Loss:
    text = (
        f"{seen.aspect.name}: Quay says storage: false, seen by Quay only: its store passes "
        "for us, so its Quay cannot use it (key, route, CA)"
    )
    return loss(seen, text, seen.track.since_s, seen.aspect.dwell_local_s)


def blamed_before(world: World, seen: Look) -> bool:
    state = world.states.get(seen.aspect.site)
    return state is not None and any(x.aspect == seen.aspect.name for x in state.losses)


def since_passed(asked: Sequence[Look], seen: Look) -> bool:
    """Were the last `fall` fails of `seen` all begun when none of these stores failed any more?

    A false that was said while a store was dead outlives it by minutes, at the slow pace of
    endtoend: it must not be held against whoever heals last.
    """
    if seen.track.fails < seen.aspect.fall or any(x.track.fails for x in asked):
        return False
    healed_s = max((x.track.last_fail_s or 0.0 for x in asked), default=0.0)
    return min(seen.track.fail_begins) >= healed_s
