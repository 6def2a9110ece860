"""World -> every gauge: what is exposed at `/metrics` is read from the world at that moment, so
that no gauge can be stale or forgotten. Names and labels: interface.md, section 6.

Never a label: address, URL, error text, person, reason, incident, plan, epoch, record value.
"""

from collections.abc import Iterator

from gslb.domain.control import Action, Now, OwnerKind
from gslb.domain.health import AlarmKind, SiteVerdict, Verdict
from gslb.domain.topology import Service
from gslb.domain.traffic import Fencing
from gslb.domain.world import BackendView, World
from gslb.policy.able import Able, able, words_on
from gslb.policy.moment import Moment
from gslb.policy.summary import traffic

Labels = dict[str, str]
Row = tuple[str, Labels, float]
"""A name without `gslb_`, its labels, its value."""

GAUGES = {
    "build_info": "Always 1; what is running.",
    "controller_mode": "1 for the mode in force.",
    "store_up": "1 while the store takes writes.",
    "leader": "1 while this replica may act, by its own deadline.",
    "leader_epoch": "The term seen, 0 before any.",
    "loop_last_completed_timestamp_seconds": "End of the last pass of the loop.",
    "inbox_inputs": "Inputs that wait for the loop.",
    "config_last_reload_successful": "1 if the last reload was taken.",
    "config_last_reload_success_timestamp_seconds": "When a configuration was last taken.",
    "config_hash": "A number that differs where configurations differ.",
    "probe_last_timestamp_seconds": "Last result that counted.",
    "vantage_blind": "1 while this vantage cannot reach its references.",
    "aspect_state": "1 for the verdict in force.",
    "site_state": "1 for the state in force.",
    "site_state_since_timestamp_seconds": "Since when the site is in its state.",
    "site_traffic_ratio": "Share of all answers that could name this site.",
    "site_out": "1 while the site is held out, by whom.",
    "override_expiry_timestamp_seconds": "When the override in force ends; absent without one.",
    "shared_outage": "1 while it fails everywhere and nothing is moved.",
    "alarm": "1 while this asks for a person.",
    "service_sites_in": "Sites in the answer, at the backend with the fewest.",
    "service_sites_able": "Sites that could serve.",
    "service_sites_wanted": "The fewest sites that must be left.",
    "service_sites_configured": "All sites of the service.",
    "backend_reachable": "1 while the backend could be read.",
    "backend_conflict": "1 while something else holds the backend.",
    "backend_pending_changes": "Answers that are not served as planned.",
    "backend_last_read_timestamp_seconds": "When the backend was last read.",
    "backend_fencing_info": "How an old leader is kept from writing.",
    "plan_confirmation_wanted": "1 while a refused plan waits for a person.",
    "quay_info": "What a registry says of itself.",
    "api_feeds": "Live feeds that are open.",
    "alert_hook_silent": "1 when the heartbeat of the alerts is missing.",
}

SITE_ALARMS = (
    *(AlarmKind.STORE_DISPUTED, AlarmKind.CREDENTIALS, AlarmKind.PREFERENCE),
    *(AlarmKind.NEVER_HEALTHY, AlarmKind.SENTINEL),
)


def gauges(world: World, now: Now) -> Iterator[Row]:
    """All gauges that the world alone can tell; times as Unix timestamps."""
    leads = world.epoch is not None and now.boot_s < world.lease_until_s
    yield "leader", {}, float(leads)
    yield "leader_epoch", {}, float(world.epoch or 0)
    yield from _house(world)
    yield from _sites(world, now)
    yield from _aspects(world, now)
    for service in world.topology.services:
        yield from _service(world, service)
    for spec in world.topology.backends:
        view = world.backends.get(spec.name, BackendView(name=spec.name))
        yield from _backend(world, view, spec.shape.fencing, now)


def _house(world: World) -> Iterator[Row]:
    mode = "static" if world.store_error else "paused" if world.paused else None
    mode = mode or ("live" if world.live() else "observe")
    for name in ("observe", "live", "paused", "static"):
        yield "controller_mode", {"mode": name}, float(name == mode)
    yield "store_up", {}, float(world.store_error is None)
    yield "vantage_blind", {}, float(world.blind is not None)
    digits = "".join(c for c in world.topology.digest if c in "0123456789abcdef")[:12]
    yield "config_hash", {}, float(int(digits or "0", 16))
    failing = {str(a.aspect or "") for a in world.alarms if a.kind is AlarmKind.SHARED_OUTAGE}
    bases = dict.fromkeys(a.base for a in world.topology.aspects)
    for aspect in (*bases, *(sorted(failing - set(bases)))):
        yield "shared_outage", {"aspect": aspect}, float(aspect in failing)
    wanted = [(str(k), str(s.name)) for k in SITE_ALARMS for s in world.topology.sites]
    wanted += [(str(k), "") for k in AlarmKind if k not in SITE_ALARMS]
    present = {(str(a.kind), str(a.site or "")) for a in world.alarms}
    for kind, at in dict.fromkeys((*wanted, *sorted(present))):
        yield "alarm", {"kind": kind, "site": at}, float((kind, at) in present)


def _sites(world: World, now: Now) -> Iterator[Row]:
    skew_s = now.wall_s - now.boot_s
    for site in world.topology.sites:
        state = world.states.get(site.name)
        verdict = state.verdict if state else SiteVerdict.UNKNOWN
        for each in SiteVerdict:
            yield "site_state", {"site": site.name, "state": each}, float(each is verdict)
        since_s = state.since_s if state else world.started_s
        yield "site_state_since_timestamp_seconds", {"site": site.name}, since_s + skew_s
        t = traffic(world, site.name, now)
        yield "site_traffic_ratio", {"site": site.name}, t.share
        holder = (t.owner.kind if t.owner else OwnerKind.AUTO) if t.state == "out" else None
        for owner in OwnerKind:
            yield "site_out", {"site": site.name, "owner": owner}, float(owner is holder)
        said = words_on(world, site.name, None, Moment(now.boot_s))
        for action in Action:
            ends = [o.ends_wall_s for o in said if o.action is action]
            if ends:
                labels = {"site": str(site.name), "action": str(action)}
                yield "override_expiry_timestamp_seconds", labels, ends[0]


def _aspects(world: World, now: Now) -> Iterator[Row]:
    ours = {
        (k.site, k.aspect): track
        for k, track in world.tracks.items()
        if k.vantage == world.topology.vantage
    }
    for aspect in world.topology.aspects:
        at = {"site": str(aspect.site), "aspect": str(aspect.name)}
        track = ours.get((aspect.site, aspect.name))
        seen = track.verdict if track else Verdict.UNKNOWN
        for each in Verdict:
            yield "aspect_state", {**at, "state": each}, float(each is seen)
        if track and track.counted_s is not None:
            ended_s = track.counted_s + now.wall_s - now.boot_s
            yield "probe_last_timestamp_seconds", at, ended_s
    for key, facts in world.facts.items():
        labels = {"site": key.split(" ")[0], "version": facts.version or "unknown"}
        labels["registry_state"] = "readonly" if facts.readonly else "normal"
        yield "quay_info", labels, 1.0


def _service(world: World, service: Service) -> Iterator[Row]:
    at = {"service": str(service.name)}
    answers = [
        view.served.get(service.name)
        for view in world.backends.values()
        if view.served is not None and (not service.via or view.name in service.via)
    ]
    if answers:
        yield "service_sites_in", at, float(min(len(a.sites) if a else 0 for a in answers))
    yes = [e for e in service.endpoints if able(world, e.site, service) is Able.YES]
    yield "service_sites_able", at, float(len(yes))
    yield "service_sites_wanted", at, float(service.limits.min_sites)
    yield "service_sites_configured", at, float(len(service.endpoints))


def _backend(world: World, view: BackendView, fencing: Fencing, now: Now) -> Iterator[Row]:
    at = {"backend": str(view.name)}
    yield "backend_reachable", at, float(view.down_since_s is None and view.error is None)
    yield "backend_conflict", at, float(view.conflict is not None)
    served = view.served or {}
    pending = {c.pool.service for c in view.sent.changes} if view.sent else set()
    if view.served is not None:
        pending |= {name for name, answer in view.wanted.items() if served.get(name) != answer}
        pending |= {name for name, why in view.behind.items() if why}
    planned = [name for name in pending if world.live(name, view.name)]
    yield "backend_pending_changes", at, float(len(planned))
    if view.read_at_s is not None:
        read_s = view.read_at_s + now.wall_s - now.boot_s
        yield "backend_last_read_timestamp_seconds", at, read_s
    yield "backend_fencing_info", {**at, "mode": fencing}, 1.0
    yield "plan_confirmation_wanted", at, float(view.name in world.waiting)
