"""The world as JSON. Times are RFC 3339 in UTC, lengths of time seconds, shares 0..1."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import fields, is_dataclass
from datetime import UTC, datetime
from typing import Any

from gslb.domain.control import Now, Override, Owner, OwnerKind
from gslb.domain.health import SiteState, Track, TrackKey
from gslb.domain.topology import Aspect, BackendName, Service, ServiceName, SiteName
from gslb.domain.traffic import Answer, Generation, Plan
from gslb.domain.words import Fate, Preview
from gslb.domain.world import BackendView, Spread, World
from gslb.policy import spread, summary

Json = dict[str, Any]


def rfc3339(wall_s: float | None) -> str | None:
    """None and "never" have no time."""
    if wall_s is None or wall_s == float("inf"):
        return None
    time = datetime.fromtimestamp(round(wall_s, 3), UTC)
    text = time.isoformat(timespec="milliseconds" if time.microsecond else "seconds")
    return text.replace("+00:00", "Z")


def at(boot_s: float | None, now: Now) -> str | None:
    """A moment on the boot clock as a time for people."""
    return None if boot_s is None else rfc3339(boot_s - now.boot_s + now.wall_s)


def plain(value: object) -> Any:
    """Any of our values without a time in it, field by field."""
    if isinstance(value, Owner | Generation):
        return str(value)
    if isinstance(value, Answer):
        return [plain(target) for target in value.targets]
    if is_dataclass(value):
        return {f.name: plain(getattr(value, f.name)) for f in fields(value)}
    if isinstance(value, Mapping):
        return {str(key): plain(kept) for key, kept in value.items()}
    return [plain(kept) for kept in value] if isinstance(value, tuple | list) else value


def pick(value: object, names: str) -> Json:
    """Some fields of a value."""
    return {name: plain(getattr(value, name)) for name in names.split()}


def site(world: World, name: SiteName, now: Now, *, whole: bool = True) -> Json:
    """One site: state and traffic apart; `whole` with its aspects and services."""
    word, state = summary.traffic(world, name, now), world.states.get(name, SiteState(site=name))
    memory, since_s = world.memories.get(name), word.since_s
    body: Json = {"name": name, "state": state.verdict, "state_since": at(state.since_s, now)}
    body |= {"traffic": word.state} | pick(word, "share owner owners because next")
    body["until"] = rfc3339(word.until_wall_s)
    body["since"] = at(state.since_s if since_s is None else since_s, now)
    body["reasons"] = [
        pick(r, "aspect cause text shared") | {"since": at(r.since_s, now)}
        for r in (*state.reasons, *state.shared)
    ]
    body["overrides"] = [override(world, o) for o in world.overrides if o.site == name]
    body["incident"] = memory.incident if memory else None
    body["needs_ack"] = bool(memory and memory.needs_ack)
    if whole:
        aspects = [a for a in world.topology.aspects if a.site == name]
        body["aspects"] = [row for a in aspects for row in _aspect(world, a, now)]
        served = [s for s in world.topology.services if s.endpoint(name)]
        body["services"] = [_endpoint(world, s, name) for s in served]
    return body


def override(world: World, said: Override) -> Json:
    """A word on a site, and whether it is the one in force."""
    body = pick(said, "site action owner services reason skip version")
    body |= {"created_at": rfc3339(said.created_wall_s), "ends_at": rfc3339(said.ends_wall_s)}
    beaten = any(_beats(other, said) for other in world.overrides)
    return body | {"effective": world.live() and not beaten}


def _beats(other: Override, said: Override) -> bool:
    """Evidence.md 7: a person's beats an alert's, the newest of persons' wins."""
    apart = other.services and said.services and not set(other.services) & set(said.services)
    if other.site != said.site or other.key == said.key or apart:
        return False
    mine, theirs = (o.owner.kind is not OwnerKind.ALERT for o in (said, other))
    newer = (other.version, other.created_wall_s) > (said.version, said.created_wall_s)
    return theirs and (not mine or newer)


def _aspect(world: World, aspect: Aspect, now: Now) -> Iterator[Json]:
    """A row for each vantage."""
    whose = (aspect.site, aspect.name)
    tracks = {k: t for k, t in world.tracks.items() if (k.site, k.aspect) == whose}
    for key, track in sorted(tracks.items()) or [
        (TrackKey(*whose, world.topology.vantage), Track())
    ]:
        cause = track.causes[-1] if track.causes and track.fails else track.blind_cause
        body: Json = {"name": aspect.name, "state": track.verdict, "vantage": key.vantage}
        body |= pick(track, "strip detail latency_s fails") | {"passes": track.rises}
        body |= {"cause": cause, "since": at(track.since_s, now) if tracks else None}
        body |= {"last": at(track.counted_s, now), "last_blind": at(track.blind_s, now)}
        body |= {"last_pass": at(track.last_pass_s, now), "last_fail": at(track.last_fail_s, now)}
        yield body | pick(aspect, "fall rise role scope")


def answers(world: World, of: Service) -> dict[BackendName, Answer | None]:
    """What each backend that was read serves for a service."""
    views = {b: v.served for b, v in world.backends.items() if b in of.via}
    return {b: served.get(of.name) for b, served in views.items() if served is not None}


def _endpoint(world: World, of: Service, name: SiteName) -> Json:
    served = answers(world, of).values()
    count = sum(1 for answer in served if answer and answer.weight(name))
    traffic = "in" if count == len(served) else "part" if count else "out"
    body: Json = {"name": of.name, "traffic": traffic if served else "unknown"}
    return body | pick(of.endpoint(name), "site tier weight trickle")


def service(world: World, of: Service, now: Now, *, whole: bool = True) -> Json:
    """One service: as wanted, reduced, on its last site, or unknown; and what each backend says."""
    ends = [_endpoint(world, of, e.site) for e in of.endpoints]
    inside = [e["site"] for e in ends if e["traffic"] in {"in", "part"}]
    first = min(e.tier for e in of.endpoints)
    without = [e["site"] for e in ends if e["tier"] == first and e["traffic"] == "out"]
    state = "last_site" if len(inside) <= 1 < len(ends) else "reduced" if without else "as_wanted"
    state = state if answers(world, of) else "unknown"
    body: Json = {"name": of.name, "state": state, "in": inside, "without": without}
    body |= {"min_sites": of.limits.min_sites, "live": world.live(of.name)}
    if whole:
        views = [v for b, v in world.backends.items() if b in of.via]
        body |= {"sites": ends} | pick(of, "needs accept ttl_s")
        body["answers"] = [_served(v, of.name) for v in views]
        body["refusals"] = [
            pick(r, "guard text backend site leaving")
            | {"figures": dict(r.figures), "since": at(r.since_s, now)}
            for r in world.refusals
            if r.service == of.name
        ]
    return body


def _served(view: BackendView, name: ServiceName) -> Json:
    now, wanted = (view.served or {}).get(name), view.wanted.get(name)
    body = {"service": name, "backend": view.name, "served": plain(now), "wanted": plain(wanted)}
    return body | {"as_planned": view.served is not None and (wanted is None or wanted == now)}


def backend(world: World, view: BackendView, now: Now, *, whole: bool = True) -> Json:
    """One backend: reachable, pending, fenced by what, and in conflict or not."""
    spec = next((b for b in world.topology.backends if b.name == view.name), None)
    rows = [_served(view, name) for name in sorted({*view.wanted, *(view.served or {})})]
    pending = sum(1 for row in rows if not row["as_planned"])
    state = (
        "unknown" if view.served is None else "pending" if pending or view.sent else "as_planned"
    )
    body: Json = {
        "name": view.name,
        "state": "conflict" if view.conflict else state,
        "pending": pending,
    }
    body |= {"kind": spec and spec.kind, "fencing": spec and spec.shape.fencing}
    body |= {"reachable": view.error is None and view.served is not None}
    body |= {"read_at": at(view.read_at_s, now), "down_since": at(view.down_since_s, now)}
    body |= pick(view, "error conflict generation behind") | {"edited": sorted(view.edited)}
    waits = world.waiting.get(view.name)
    body |= {"live": world.live(backend=view.name), "confirm": waits and waits.digest}
    return body | ({"services": rows} if whole else {})


def seen(world: World, spreads: Iterable[Spread]) -> list[Json]:
    """What the resolvers say of changes that every authoritative server shows."""
    return [
        pick(s, "shown waiting done said")
        | {"plan": s.plan.digest, "backend": s.plan.backend, "text": spread.words(s)}
        for s in spreads
        if world.topology.resolvers
    ]


def overview(world: World, now: Now, cluster: str, replica: str) -> Json:
    """The first screen: mode, problems, sites, services by count, backends."""
    services = [service(world, s, now, whole=False) for s in world.topology.services]
    body: Json = {"cluster": cluster, "replica": replica, "mode": world.topology.mode or world.mode}
    body |= {"leader": leader(world, now, replica), "as_of": rfc3339(now.wall_s)}
    body |= pick(world, "paused epoch version settled store_error blind alarms")
    body["config"] = world.topology.digest
    body["problems"] = plain(summary.problems(world, now))
    body["sites"] = [site(world, s.name, now, whole=False) for s in world.topology.sites]
    body["services"] = counts(services)
    body["backends"] = [backend(world, v, now, whole=False) for v in world.backends.values()]
    last = world.spreads[-1] if world.spreads else None
    under_way = (s for s in world.spreads if not s.done or (s is last and s.waiting))
    body["seen"] = seen(world, under_way)
    return body | {"waiting": [plan(p) for p in world.waiting.values()]}


def leader(world: World, now: Now, replica: str) -> str | None:
    """The replica that holds the term, as far as we know."""
    return replica if world.epoch is not None and now.boot_s < world.lease_until_s else None


def counts(services: Sequence[Json]) -> Json:
    """How many services are in which state, and without which site."""
    states = [s["state"] for s in services]
    missing = [name for s in services for name in s["without"]]
    kinds = ("as_wanted", "reduced", "last_site", "unknown")
    without = {name: missing.count(name) for name in dict.fromkeys(missing)}
    return {"total": len(states), **{k: states.count(k) for k in kinds}, "without": without}


def plan(waits: Plan) -> Json:
    """A plan that waits for a person, by its digest."""
    changes = [pick(c, "before after") | {"service": c.pool.service} for c in waits.changes]
    return pick(waits, "backend digest epoch reasons") | {"changes": changes}


def preview(world: World, words: Preview) -> Json:
    """What would follow, the guards' words, and each site's share before and after."""
    guards = [
        {"id": g.guard, "figures": dict(g.figures)}
        | pick(g, "verdict text service backend site skippable next")
        for g in words.guards
    ]
    topology = world.topology
    served = {(b, s.name): a for s in topology.services for b, a in answers(world, s).items()}
    goes = [c for c in words.changes if c.fate in (Fate.GOES, Fate.WOULD)]
    after = served | {(c.backend, c.service): c.after for c in goes}
    shares = {s.name: [_share(a, s.name) for a in (served, after)] for s in topology.sites}
    body = {"changes": plain(words.changes), "guards": guards, "notes": list(words.notes)}
    return body | {"shares": {name: s for name, s in shares.items() if s[0] != s[1]}}


def _share(served: Mapping[Any, Answer | None], name: SiteName) -> float:
    parts = [a.weight(name) / sum(map(a.weight, a.sites)) for a in served.values() if a and a.sites]
    return round(sum(parts) / len(parts), 4) if parts else 0.0


def event(seq: int, kept: Mapping[str, Any]) -> Json:
    """A line of the journal (its `at` is wall time) for people and programs."""
    return {"seq": seq} | dict(kept) | {"at": rfc3339(kept.get("at"))}
