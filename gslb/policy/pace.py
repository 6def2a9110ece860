"""What to probe when: the pace, suspicion, asking the others (evidence.md 3)."""

from dataclasses import replace

from gslb.domain.health import Suspicion, Track, TrackKey, Verdict
from gslb.domain.messages import EventKind
from gslb.domain.topology import Aspect, Family, ProbeId, ProbeSpec, Role, SiteName
from gslb.domain.world import World
from gslb.policy.ledger import Ledger

LASTS_S = 30.0
RESTS_S = 60.0
UNANSWERED_MIN_S = 0.25


def is_suspect(world: World, site: SiteName, now_s: float) -> bool:
    """Is the site being looked at faster, now?"""
    found = world.suspicions.get(site)
    return found is not None and found.active and now_s < found.ends_at_s


def unanswered_after_s(world: World, spec: ProbeSpec) -> float:
    """After how long a run that has not ended is suspect: 3 × p95, at most half the timeout."""
    usual_s = 3 * world.latencies.get(spec.id, 0.0)
    return min(max(usual_s, UNANSWERED_MIN_S), spec.timeout_s / 2)


def most_in_flight(world: World, spec: ProbeSpec, now_s: float) -> int:
    """endtoend never overlaps itself; others may overlap a hung run while the site is suspect."""
    if spec.family is Family.ENDTOEND or not is_suspect(world, spec.site, now_s):
        return 1
    return spec.fall


def pace_s(world: World, spec: ProbeSpec, now_s: float) -> float:
    """How long after the start of a run the next is begun."""
    if not is_suspect(world, spec.site, now_s):
        return spec.pace_s
    return spec.interval_s if spec.family is Family.ENDTOEND else spec.confirm_s


def asked_at_s(world: World, spec: ProbeSpec, last_begun_s: float) -> float | None:
    """When an extra run that was asked for may begin, or None. One for each `confirm`, at most."""
    asked_s = world.asks.get(spec.id)
    if asked_s is None or last_begun_s >= asked_s:
        return None
    spacing_s = spec.interval_s if spec.family is Family.ENDTOEND else spec.confirm_s
    # An endtoend that rests at its own slow pace is asked at once.
    return max(asked_s, last_begun_s + min(spacing_s, spec.confirm_s))


def suspect(
    world: World, spec: ProbeSpec, aspect: Aspect, at_s: float, why: str, ledger: Ledger
) -> World:
    """Begin to look closer, if not already so, at rest, or known to be down."""
    before = world.suspicions.get(spec.site)
    if before is not None and at_s < (before.ends_at_s if before.active else before.rests_until_s):
        return world
    if before is not None and before.active and at_s < before.rests_until_s:
        return world  # it ran out of time a moment ago: a gray store is not probed fast for ever
    track = world.tracks.get(TrackKey(spec.site, aspect.name, world.topology.vantage), Track())
    if aspect.role is not Role.DECIDES or track.verdict is Verdict.DOWN:
        return world
    found = Suspicion(
        site=spec.site,
        since_s=at_s,
        ends_at_s=at_s + LASTS_S,
        rests_until_s=at_s + LASTS_S + RESTS_S,
        aspect=aspect.name,
        probe=spec.id,
    )
    ledger.say(EventKind.SUSPECT, f"{spec.site}: {why}; looking closer", site=spec.site)
    return replace(
        world,
        suspicions={**world.suspicions, spec.site: found},
        asks={**world.asks, **_asks(world, spec, aspect, at_s)},
    )


def relax(world: World, spec: ProbeSpec, *, passed: bool, turned_down: bool) -> World:
    """A suspicion ends with a verdict, or after 2 × `fall` passes of what was suspect."""
    found = world.suspicions.get(spec.site)
    if found is None or not found.active:
        return world
    if turned_down:
        after = replace(found, active=False, rests_until_s=0.0)
    elif spec.id == found.probe:
        passes = found.passes + 1 if passed else 0
        over = passes >= 2 * spec.fall
        after = replace(
            found,
            passes=passes,
            active=not over,
            rests_until_s=0.0 if over else found.rests_until_s,
        )
    else:
        return world
    return replace(world, suspicions={**world.suspicions, spec.site: after})


def _asks(world: World, spec: ProbeSpec, aspect: Aspect, at_s: float) -> dict[ProbeId, float]:
    """The site's own endtoend at once, and what is needed at all other sites once."""
    asks: dict[ProbeId, float] = {}
    for probe in world.topology.probes:
        if probe.site == spec.site:
            wanted = probe.family is Family.ENDTOEND
        elif probe.family is Family.ENDTOEND:
            wanted = aspect.family is Family.ENDTOEND or not _store_is_known(world, probe.site)
        else:
            wanted = any(a.role is Role.DECIDES for a in probe.aspects)
        if wanted:
            asks[probe.id] = at_s
    return asks


def _store_is_known(world: World, site: SiteName) -> bool:
    keys = (TrackKey(site, a.name, world.topology.vantage) for a in _store_aspects(world, site))
    verdicts = [world.tracks.get(key, Track()).verdict for key in keys]
    return bool(verdicts) and Verdict.UNKNOWN not in verdicts


def _store_aspects(world: World, site: SiteName) -> list[Aspect]:
    return [
        a
        for p in world.topology.probes
        if p.site == site and p.family is Family.STORE
        for a in p.aspects
        if a.role is Role.DECIDES
    ]
