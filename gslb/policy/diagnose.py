"""Verdicts at all sites give the state of each: whose trouble is it (evidence.md, section 4)?"""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from gslb.domain.health import (
    Alarm,
    AlarmKind,
    Cause,
    Loss,
    Reason,
    SiteState,
    SiteVerdict,
    Verdict,
)
from gslb.domain.topology import Role, Scope, SiteName
from gslb.domain.world import World
from gslb.policy.evidence import Look, Looks, loss, needed, stores, words
from gslb.policy.judge import is_slow
from gslb.policy.moment import Moment
from gslb.policy.shared import Trouble, shared_trouble
from gslb.policy.silence import at_front, at_store
from gslb.policy.storage import at_quay, blamed_before, since_passed


def diagnose(
    world: World, looks: Looks, moment: Moment
) -> tuple[Mapping[SiteName, SiteState], tuple[Alarm, ...]]:
    """The state of every site with its reasons, and what asks for a person."""
    trouble = shared_trouble(looks)
    at_quays, alarms = at_quay(world, looks)
    states = {}
    for site in world.topology.sites:
        losses, notes, more = _losses(world, looks, site.name, moment)
        losses += at_quays.get(site.name, ())
        losses += _own_shared(world, trouble, looks, site.name)
        states[site.name] = _state(world, looks[site.name], site.name, losses, notes, trouble)
        alarms += more
    alarms += _alarms(world, looks, trouble, states)
    return states, tuple(dict.fromkeys(alarms))


def _losses(
    world: World, looks: Looks, site: SiteName, moment: Moment
) -> tuple[tuple[Loss, ...], tuple[Reason, ...], tuple[Alarm, ...]]:
    """By the site's own store, front and generic probes; what only degrades is a note."""
    losses: list[Loss] = []
    notes: list[Reason] = []
    alarms: list[Alarm] = []
    for seen in looks[site]:
        aspect = seen.aspect
        if not seen.down or aspect.base == "quay.storage" or aspect.scope is Scope.SHARED:
            continue
        if aspect.role is Role.DEGRADES:
            notes.append(_note(seen, words(seen)))
        elif not seen.silent:
            losses.append(loss(seen, words(seen), seen.track.since_s, aspect.dwell_local_s))
        else:
            start_s, why = (at_store if seen in stores(looks[site]) else at_front)(
                world, looks, seen, moment
            )
            if why is None:
                losses.append(loss(seen, words(seen), start_s, aspect.dwell_path_s))
            else:
                notes.append(_note(seen, why))
                if why.startswith("our path"):
                    alarms.append(Alarm(kind=AlarmKind.STORE_DISPUTED, site=site, text=why))
    return tuple(losses), tuple(notes), tuple(alarms)


def _own_shared(
    world: World, trouble: Sequence[Trouble], looks: Looks, site: SiteName
) -> tuple[Loss, ...]:
    """A shared aspect that is down here only, and was seen to pass everywhere else since (4.4)."""
    found = []
    for each in (t for t in trouble if t.own == site):
        for seen in looks[site]:
            ours = seen.aspect.name in each.aspects and seen.down
            # Not what was said while it failed elsewhere, too: whoever heals last is not to blame.
            ours = ours and (blamed_before(world, seen) or since_passed(each.others, seen))
            if ours and seen.aspect.role is Role.DECIDES:
                text = f"{words(seen)}; every other site passes it"
                found.append(loss(seen, text, seen.track.since_s, seen.aspect.dwell_path_s))
    return tuple(found)


def _state(
    world: World,
    looks: tuple[Look, ...],
    site: SiteName,
    losses: tuple[Loss, ...],
    notes: tuple[Reason, ...],
    trouble: Sequence[Trouble],
) -> SiteState:
    """Put together; the state before is kept whole while nothing in it changed."""
    passed = world.memories[site].passed if site in world.memories else ()
    digests = {x.aspect.name: x.aspect.digest for x in looks}
    losses = tuple(
        replace(x, never_passed=x.never_passed and f"{x.aspect} {digests[x.aspect]}" not in passed)
        for x in losses
    )
    blamed = {x.aspect for x in losses}
    missing = tuple(
        (x.aspect.name, x.aspect.service, x.aspect.takes)
        for x in needed(looks)
        if x.verdict is Verdict.UNKNOWN
        # Silent without a ground to blame the site: we cannot tell.
        or (x.down and x.aspect.name not in blamed and not _disputed(notes, x))
    )
    notes += tuple(_note(x, _slow(x)) for x in looks if is_slow(x.track, x.aspect) and not x.down)
    shared = tuple(t.reason for t in trouble if t.shared and site in t.sites)
    reasons = (*(x.reason for x in losses), *notes, *_unknown_reasons(looks, missing), *shared)
    verdict = (
        SiteVerdict.DOWN
        if losses
        else SiteVerdict.UNKNOWN
        if missing
        else SiteVerdict.DEGRADED
        if notes
        else SiteVerdict.UP
    )
    before = world.states.get(site)
    since_s = before.since_s if before is not None and before.verdict is verdict else None
    return SiteState(
        site=site,
        verdict=verdict,
        since_s=_since(looks, losses) if since_s is None else since_s,
        reasons=reasons,
        losses=losses,
        unknown=missing,
        shared=shared,
    )


def _disputed(notes: tuple[Reason, ...], seen: Look) -> bool:
    return any(n.aspect == seen.aspect.name and n.text.startswith("our path") for n in notes)


def _since(looks: tuple[Look, ...], losses: tuple[Loss, ...]) -> float:
    times = [x.reason.since_s for x in losses] or [x.track.since_s for x in looks]
    return max(times, default=0.0)


def _note(seen: Look, text: str) -> Reason:
    cause = seen.track.causes[-1] if seen.down and seen.track.causes else None
    return Reason(aspect=seen.aspect.name, cause=cause, text=text, since_s=seen.track.since_s)


def _slow(seen: Look) -> str:
    return (
        f"{seen.aspect.name}: slow, {seen.aspect.fall} answers in a row "
        f"later than {seen.aspect.slow_s:.2g} s; slow is not down"
    )


def _unknown_reasons(
    looks: tuple[Look, ...], missing: tuple[tuple[str, object, object], ...]
) -> tuple[Reason, ...]:
    names = {name for name, *_ in missing}
    found = []
    for seen in looks:
        track = seen.track
        if seen.aspect.name not in names or seen.down:
            continue
        blind = track.blind_s is not None and track.blind_s >= (track.counted_s or 0.0)
        what = f"cannot tell: {track.detail}" if blind else "no fresh result"
        cause = track.blind_cause if blind else None
        text = f"{seen.aspect.name}: {what}"
        found.append(Reason(aspect=seen.aspect.name, cause=cause, text=text, since_s=track.since_s))
    return tuple(found)


def _alarms(
    world: World,
    looks: Looks,
    trouble: Sequence[Trouble],
    states: Mapping[SiteName, SiteState],
) -> tuple[Alarm, ...]:
    found = [
        Alarm(kind=AlarmKind.SHARED_OUTAGE, text=t.reason.text, aspect=t.reason.aspect)
        for t in trouble
        if t.shared
    ]
    if world.blind is not None:
        found.append(Alarm(kind=AlarmKind.BLIND, text=world.blind))
    for site, state in states.items():
        for each in state.losses:
            if each.never_passed:
                text = f"{each.aspect} at {site} has never passed since it was configured"
                found.append(Alarm(kind=AlarmKind.NEVER_HEALTHY, site=site, text=text))
        for seen in looks[site]:
            found += _blind_alarm(seen, site)
            if seen.down and "sentinel" in seen.track.detail and _lost(seen):
                text = f"{words(seen)}; did the bucket come back empty? `gslb ack {site}`"
                found.append(Alarm(kind=AlarmKind.SENTINEL, site=site, text=text))
    return tuple(found)


def _lost(seen: Look) -> bool:
    return bool(seen.track.causes) and seen.track.causes[-1] in (Cause.MISSING, Cause.MISMATCH)


def _blind_alarm(seen: Look, site: SiteName) -> list[Alarm]:
    track = seen.track
    if track.blind_s is None or track.blind_s < (track.counted_s or 0.0):
        return []
    text = f"{seen.aspect.name} at {site}: {track.detail}; this never drains"
    if track.blind_cause is Cause.DENIED:
        return [Alarm(kind=AlarmKind.CREDENTIALS, site=site, text=text)]
    if track.blind_cause is Cause.CLOCK:
        return [Alarm(kind=AlarmKind.CLOCK, site=site, text=text)]
    return []
