"""The world in a few sentences: problems, and the traffic of each site."""

from gslb.domain.control import Action, Now, Owner, OwnerKind
from gslb.domain.health import AlarmKind, SiteVerdict
from gslb.domain.topology import SiteName
from gslb.domain.words import Problem, Traffic
from gslb.domain.world import Wish, World
from gslb.policy.able import Able, able, quiet_s, words_on
from gslb.policy.moment import Moment
from gslb.policy.steer import AUTO

PAGES = (AlarmKind.SHARED_OUTAGE, AlarmKind.ALL_DOWN, AlarmKind.ONLY_HEALTHY_DRAINED)


def traffic(world: World, site: SiteName, now: Now) -> Traffic:
    """What is served of a site, who holds it out and until when, and what comes next."""
    inside, places, shares, since = 0, 0, [], []
    for service in world.topology.services:
        if service.endpoint(site) is None:
            continue
        for name in service.via:
            view = world.backends.get(name)
            answer = None if view is None or view.served is None else view.served.get(service.name)
            if view is None or answer is None:
                continue
            places += 1
            inside += site in answer.sites
            total = sum(answer.weight(s) for s in answer.sites)
            shares.append(answer.weight(site) / total if total else 0.0)
            since.append(view.served_since_s.get(service.name, now.boot_s))
    state = "unknown" if not places else "in" if inside == places else "part" if inside else "out"
    owners = holders(world, site, now)
    wish = _wish(world, site)
    return Traffic(
        site=site,
        state=state,
        share=sum(shares) / len(shares) if shares else 0.0,
        owner=owners[0] if owners else None,
        owners=owners,
        until_wall_s=_until(world, site, now),
        since_s=max(since, default=None),
        because=_because(world, site, wish),
        next=_next(world, site, now, state),
    )


def holders(world: World, site: SiteName, now: Now) -> tuple[Owner, ...]:
    """Everybody who would hold the site out, the one in force first."""
    said = words_on(world, site, None, Moment(now.boot_s))
    forced = bool(said) and said[0].action is Action.FORCE_IN
    owners = [] if forced else [o.owner for o in said if o.action is Action.DRAIN]
    if not forced and (_is_down(world, site) or _waits(world, site)):
        owners.append(AUTO)
    return tuple(dict.fromkeys(owners))


def problems(world: World, now: Now) -> tuple[Problem, ...]:
    """Worst first; empty when all is as wanted."""
    found = [*_site_problems(world, now), *_alarm_problems(world), *_refusal_problems(world)]
    found += [*_backend_problems(world, now), *_house_problems(world)]
    order = {"page": 0, "warn": 1, "note": 2}
    return tuple(sorted(dict.fromkeys(found), key=lambda p: order[p.severity]))


def _is_down(world: World, site: SiteName) -> bool:
    return any(able(world, site, s) is Able.NO for s in world.topology.services if s.endpoint(site))


def _waits(world: World, site: SiteName) -> bool:
    """Is it able, and held back from returning?"""
    return any(w.site == site and w.brake is not None for ws in world.wishes.values() for w in ws)


def _wish(world: World, site: SiteName) -> Wish | None:
    found = [w for ws in world.wishes.values() for w in ws if w.site == site]
    return min(found, key=lambda w: w.stance == "in" and w.brake is None, default=None)


def _until(world: World, site: SiteName, now: Now) -> float | None:
    said = words_on(world, site, None, Moment(now.boot_s))
    return said[0].ends_wall_s if said else None


def _because(world: World, site: SiteName, wish: Wish | None) -> str:
    state = world.states.get(site)
    if wish is not None and wish.owner is not None and wish.owner.kind is not OwnerKind.AUTO:
        return wish.reason
    if state is not None and state.reasons:
        return state.reasons[0].text
    return "" if wish is None or wish.reason == "up" else wish.reason


def _next(world: World, site: SiteName, now: Now, state: str) -> str:
    """What would bring it back, with figures."""
    said = words_on(world, site, None, Moment(now.boot_s))
    if said and said[0].action is Action.DRAIN:
        return f"ends by itself in {length(said[0].ends_at_s - now.boot_s)}"
    held = [r for r in world.refusals if r.site == site]
    leaving = [r for r in held if r.leaving]
    if leaving:
        return f"stays in: refused by {leaving[0].guard}: {leaving[0].text}"
    if _is_down(world, site) or _waits(world, site):
        return back_after(world, site, now)
    return f"held back by {held[0].guard}: {held[0].text}" if held and state != "in" else ""


def back_after(world: World, site: SiteName, now: Now) -> str:
    """`back after 10 passes (3/10) + 5 s quiet`."""
    memory = world.memories.get(site)
    rises = []
    for aspect in world.topology.aspects:
        blamed = {x.aspect for x in world.states[site].losses}
        mine = aspect.site == site and (aspect.name in blamed or aspect.base == "store.write")
        track = next(
            (t for k, t in world.tracks.items() if k.site == site and k.aspect == aspect.name), None
        )
        if mine and track is not None:
            rises.append((min(track.rises, aspect.rise), aspect.rise))
    got, wanted = min(rises, key=lambda r: r[0] / r[1], default=(0, 0))
    quiet = quiet_s(world, memory, now.boot_s) if memory is not None else 0.0
    text = f"back after {wanted} passes ({got}/{wanted}) + {length(quiet)} quiet"
    if memory is not None and memory.needs_ack:
        text += f", then `gslb ack {memory.incident or site}`"
    return text


def length(seconds: float) -> str:
    """`8 s`, `5 min`, `2 h`, `3 d`."""
    seconds = round(seconds, 0)  # a float still: what has no end yet is no error
    for size, unit in ((86_400, "d"), (3600, "h"), (60, "min")):
        if seconds >= 2 * size or seconds == size:
            return f"{seconds / size:.0f} {unit}"
    return f"{max(seconds, 0.0):.0f} s"


def _site_problems(world: World, now: Now) -> list[Problem]:
    found = []
    for site, state in world.states.items():
        seen = traffic(world, site, now)
        memory = world.memories.get(site)
        hint = f"gslb explain {site}"
        if state.verdict is SiteVerdict.DOWN:
            text = f"{site} is down and {_place(seen)}: {seen.because}"
            severity = "warn" if seen.state == "out" else "page"
            found.append(Problem(severity=severity, text=text, hint=hint, site=site))
        elif state.verdict in (SiteVerdict.UNKNOWN, SiteVerdict.DEGRADED) and state.reasons:
            text = f"{site} is {state.verdict}: {state.reasons[0].text}"
            found.append(Problem(severity="warn", text=text, hint=hint, site=site))
        elif seen.state in ("out", "part"):
            severity = "note" if not (memory and memory.needs_ack) else "warn"
            text = f"{site} is up and {_place(seen)}: {seen.because or seen.next}"
            found.append(Problem(severity=severity, text=text, hint=hint, site=site))
    return found


def _place(seen: Traffic) -> str:
    return {"in": "still in", "part": "partly in"}.get(seen.state, seen.state)


def _alarm_problems(world: World) -> list[Problem]:
    return [
        Problem(
            severity="page" if a.kind in PAGES else "warn",
            text=f"{a.kind}: {a.text}",
            site=a.site,
            service=a.service,
        )
        for a in world.alarms
    ]


def _refusal_problems(world: World) -> list[Problem]:
    found = []
    for r in world.refusals:
        if r.leaving and r.guard not in ("shared_outage", "settled"):
            text = f"{r.site} stays in {r.service} at {r.backend}: refused by {r.guard}: {r.text}"
            found.append(Problem(severity="page", text=text, site=r.site, service=r.service))
    for name, plan in world.waiting.items():
        text = f"{plan.digest} at {name} waits for a person"
        hint = f"gslb confirm {plan.digest} --reason …"
        found.append(Problem(severity="warn", text=text, hint=hint))
    return found


def _backend_problems(world: World, now: Now) -> list[Problem]:
    found = []
    for name, view in world.backends.items():
        hint = f"gslb explain {name}"
        if view.conflict is not None:
            text = f"{name} is in conflict: {view.conflict}"
            found.append(Problem(severity="page", text=text, hint=f"gslb adopt {name} --reason …"))
        elif view.error is not None:
            age = length(now.boot_s - (view.down_since_s or now.boot_s))
            text = f"{name} does not answer for {age}: {view.error}"
            found.append(Problem(severity="warn", text=text, hint=hint))
        for service, behind in view.behind.items():
            for why in behind:
                found.append(Problem(severity="warn", text=f"{name}: {why}", service=service))
    return found


def _house_problems(world: World) -> list[Problem]:
    found = []
    if world.store_error is not None:
        text = f"the store takes no writes: {world.store_error}; overrides are refused"
        found.append(Problem(severity="page", text=text))
    if world.paused is not None:
        text = f"automation is off: {world.paused}"
        found.append(Problem(severity="warn", text=text, hint="gslb resume"))
    return found
