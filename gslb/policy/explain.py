"""World + site, service or backend -> why it is as it is, and what comes next.

Six steps, as in the console: evidence, verdict, guards, plan, applied, and who has a say. The same
sentences answer *why not*: a site that is in although something is wrong says what keeps it in.
"""

from gslb.domain.control import Action, Now, OwnerKind
from gslb.domain.health import SiteVerdict, Verdict
from gslb.domain.topology import Service, ServiceName, SiteName
from gslb.domain.words import Explanation, Section
from gslb.domain.world import World
from gslb.policy import spread
from gslb.policy.able import able, losses_of, words_on
from gslb.policy.evidence import Look, look
from gslb.policy.explain_backend import applied_section, explain_backend, plan_section
from gslb.policy.learn_backends import say_answer
from gslb.policy.moment import Moment
from gslb.policy.pace import is_suspect
from gslb.policy.summary import length, traffic
from gslb.policy.told import ago, at, columns, owner_words


def explain_site(world: World, site: SiteName, now: Now) -> Explanation:
    """Why a site is in or out, and what would bring it back. Raises KeyError."""
    world.topology.site(site)
    state = world.states.get(site)
    memory = world.memories.get(site)
    seen = traffic(world, site, now)
    sections = (
        Section(title="evidence", lines=_evidence(world, site, now)),
        _verdict(world, site, now),
        _guards(world, site),
        plan_section(world, [s for s in world.topology.services if s.endpoint(site)]),
        applied_section(world, now),
        *spread.section(world, site=site),
        _say(world, site, now),
    )
    down = state is not None and state.verdict is SiteVerdict.DOWN
    return Explanation(
        kind="site",
        name=site,
        headline=_site_headline(world, site, now),
        sections=sections,
        next=seen.next
        or ("nothing to wait for" if seen.state == "in" else "it waits for evidence"),
        you_can=_you_can(world, site, down),
        incident=memory.incident if memory is not None else None,
    )


def explain_service(world: World, name: ServiceName, now: Now) -> Explanation:
    """Why a name is answered as it is. Raises KeyError."""
    service = world.topology.service(name)
    return Explanation(
        kind="service",
        name=name,
        headline=_service_headline(world, service, now),
        sections=(
            Section(title="sites", lines=_steering(world, service)),
            _service_guards(world, service),
            plan_section(world, [service]),
            applied_section(world, now, service),
            *spread.section(world, service=name),
        ),
        next=_service_next(world, service),
        you_can=tuple(f"gslb explain {e.site}" for e in service.endpoints[:3]),
    )


def _site_headline(world: World, site: SiteName, now: Now) -> tuple[str, ...]:
    seen = traffic(world, site, now)
    state = world.states.get(site)
    memory = world.memories.get(site)
    since = "" if seen.since_s is None else f" since {at(seen.since_s, now)}"
    first = f"{site} is {_where(seen.state)}{since}{owner_words(seen, now)}."
    if memory is not None and memory.incident is not None:
        first += f" Incident {memory.incident}."
    lines = [first]
    if state is None or state.verdict is SiteVerdict.UP:
        lines.append(f"It is up: {_passes(world, site)}.")
    else:
        why = "; ".join(r.text for r in state.reasons[:3]) or "no evidence yet"
        own = _others(world, site) if state.losses else ""
        lines.append(f"It is {state.verdict} because {why}.{own}")
    return (*lines, *_why_not(world, site, seen.state))


def _others(world: World, site: SiteName) -> str:
    """A fault is a site's own when others pass."""
    up = [s for s, x in world.states.items() if s != site and x.verdict is SiteVerdict.UP]
    if not up:
        return " No other site is up."
    return f" The fault is its own: {' and '.join(up)} {'passes' if len(up) == 1 else 'pass'}."


def _where(state: str) -> str:
    return {"in": "in", "out": "out", "part": "partly in"}.get(state, "served nobody knows how")


def _passes(world: World, site: SiteName) -> str:
    names = [
        k.aspect for k, t in world.tracks.items() if k.site == site and t.verdict is Verdict.UP
    ]
    return f"{len(names)} aspects pass ({', '.join(sorted(names))})" if names else "no evidence yet"


def _why_not(world: World, site: SiteName, state: str) -> tuple[str, ...]:
    """What keeps a site that is not whole in, or one that is up out."""
    held = [r for r in world.refusals if r.site == site]
    if state != "out" and held:
        return tuple(f"It is not taken out: {r.guard} refuses: {r.text}." for r in held[:2])
    if state == "out" and held and world.states[site].verdict is not SiteVerdict.DOWN:
        return (f"It is not back yet: {held[0].guard}: {held[0].text}.",)
    alarms = [a for a in world.alarms if a.site in (site, None)]
    if state == "in" and alarms:
        return tuple(f"It is not taken out for this: {a.kind}: {a.text}." for a in alarms[:2])
    return ()


def _evidence(world: World, site: SiteName, now: Now) -> tuple[str, ...]:
    looks = look(world, Moment(now.boot_s))[site]
    rows = [_row(x, now) for x in looks]
    legend = f"{'every aspect, newest result last':<40} + pass  x fail  . blind"
    lines = (legend, *columns(rows))
    facts = [f for k, f in world.facts.items() if k.startswith(f"{site} ")]
    said = [
        f"Quay says of itself: {f.version or 'no version'}{', read-only' if f.readonly else ''}"
        for f in facts
    ]
    if is_suspect(world, site, now.boot_s):
        said.append("suspect: it is looked at faster for now")
    return (*lines, *said)


def _row(seen: Look, now: Now) -> tuple[str, ...]:
    track = seen.track
    counted_s = track.counted_s
    last = "no result yet" if counted_s is None else f"last {ago(now.boot_s - counted_s)}"
    blind = track.blind_s is not None and track.blind_s > (counted_s or 0.0)
    if seen.verdict is Verdict.UP and not blind and not track.fails:
        detail = f"{track.latency_s * 1000:.0f} ms"
    else:
        detail = track.detail
    return (seen.aspect.name, str(seen.verdict), track.strip[-20:] or "-", last, detail)


def _verdict(world: World, site: SiteName, now: Now) -> Section:
    state = world.states.get(site)
    if state is None:
        return Section(title="verdict", lines=("nothing was seen yet",), outcome="waiting")
    lines = [f"{state.verdict} since {at(state.since_s, now)}"]
    aspects = {a.name: a for a in world.topology.aspects if a.site == site}
    for x in state.losses:
        wait = x.moves_at_s - now.boot_s
        dwell = "" if wait <= 0 else f"; may move traffic in {length(wait)} if it goes on"
        dwell = "; passes have come since, so it moves nothing" if wait == float("inf") else dwell
        fall = aspects[x.aspect].fall if x.aspect in aspects else 0
        takes = "no writes there" if x.takes == ("write",) else "neither reads nor writes there"
        lines.append(f"{x.aspect} is down ({fall} in a row): {takes}{dwell}")
    lines += [r.text for r in state.shared]
    lines += [f"{a.kind}: {a.text}" for a in world.alarms if a.site == site]
    bad = state.verdict in (SiteVerdict.DOWN, SiteVerdict.UNKNOWN)
    return Section(title="verdict", lines=tuple(lines), outcome="failed" if bad else "ok")


def _guards(world: World, site: SiteName) -> Section:
    held = [r for r in world.refusals if r.site == site]
    lines = [
        f"refuse {r.guard} ({'leaving' if r.leaving else 'entering'} {r.service} at {r.backend}): "
        f"{r.text}"
        for r in held
    ]
    lines += world.passed_guards.get(site, ())
    lines = lines or ["no move was asked of them since the start"]
    return Section(title="guards", lines=tuple(lines), outcome="refused" if held else "ok")


def _service_guards(world: World, service: Service) -> Section:
    held = [r for r in world.refusals if r.service == service.name]
    limits = service.limits
    lines = [
        f"refuse {r.guard}: {r.site} {'leaving' if r.leaving else 'entering'}: {r.text}"
        for r in held
    ]
    lines.append(
        f"at least {limits.min_sites} able, at most {limits.max_drained} out by automation, "
        f"one site in {length(limits.change_window_s)}"
    )
    return Section(title="guards", lines=tuple(lines), outcome="refused" if held else "ok")


def _say(world: World, site: SiteName, now: Now) -> Section:
    lines = [
        f"{o.action} by {o.owner} for another {length(o.ends_at_s - now.boot_s)}: {o.reason}"
        + ("" if not o.services else f" (only {', '.join(o.services)})")
        for o in words_on(world, site, None, Moment(now.boot_s))
    ]
    if world.paused is not None:
        lines.append(f"automation is off: {world.paused}")
    if not world.live():
        lines.append("mode observe: nothing is written")
    return Section(
        title="words",
        lines=tuple(lines) or ("nobody has said a word",),
        outcome="ok" if lines else "none",
    )


def _you_can(world: World, site: SiteName, down: bool) -> tuple[str, ...]:
    said = words_on(world, site, None, Moment(0.0))
    memory = world.memories.get(site)
    lines = []
    if any(o.owner.kind is OwnerKind.PERSON and o.action is Action.DRAIN for o in said):
        lines.append(f"gslb undrain {site}")
    else:
        keep = " (keep it out)" if down else ""
        lines.append(f"gslb drain {site} --for 4h --reason …{keep}")
    if memory is not None and memory.needs_ack:
        lines.append(f"gslb ack {memory.incident or site} --reason …")
    if memory is not None and memory.incident is not None:
        lines.append(f"gslb events --incident {memory.incident}")
    return tuple(lines)


def _service_headline(world: World, service: Service, now: Now) -> tuple[str, ...]:
    lines = []
    for name in service.via:
        view = world.backends.get(name)
        if view is None or view.served is None:
            lines.append(f"{service.name} at {name}: not read yet.")
            continue
        since_s = view.served_since_s.get(service.name, now.boot_s)
        answer = say_answer(view.served.get(service.name))
        lines.append(f"{service.name} is answered by {answer} at {name} since {at(since_s, now)}.")
    return tuple(lines) or (f"{service.name} is in no backend.",)


def _steering(world: World, service: Service) -> tuple[str, ...]:
    rows = []
    for wish in world.wishes.get(service.name, ()):
        endpoint = service.endpoint(wish.site)
        tier = f"tier {endpoint.tier}" if endpoint is not None else ""
        can = f"able {able(world, wish.site, service)}"
        rows.append((str(wish.site), tier, can, f"wanted {wish.stance}", wish.reason))
    return columns(rows) or ("not decided yet",)


def _service_next(world: World, service: Service) -> str:
    lost = [
        f"{e.site} returns when {losses[0].aspect} passes again"
        for e in service.endpoints
        if (state := world.states.get(e.site)) is not None
        and (losses := losses_of(state, service, service.needs))
    ]
    return "; ".join(lost) or "nothing to wait for"


__all__ = ["explain_backend", "explain_service", "explain_site"]
