"""What is exposed: counted from events, read from the world, bounded, and at 0 from the start."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from gslb.domain.control import Action, Now, Override, Owner, OwnerKind
from gslb.domain.errors import BackendRefused
from gslb.domain.health import (
    Alarm,
    AlarmKind,
    Cause,
    Observation,
    Outcome,
    RegistryFacts,
    SiteState,
    SiteVerdict,
)
from gslb.domain.messages import Event, EventKind, ProbeRan, Read
from gslb.domain.topology import (
    Aspect,
    AspectName,
    Endpoint,
    Family,
    ProbeId,
    ProbeSpec,
    Service,
    ServiceName,
    Site,
    SiteName,
)
from gslb.domain.traffic import Change, Plan, Pool
from gslb.domain.world import World
from gslb.reporters.metrics import Metrics
from tests.api.fake_operator import (
    AP,
    DNS,
    EU,
    HERE,
    QUAY,
    STORE,
    US,
    WALL_S,
    a_world,
    answer,
    down,
)

Sample = dict[tuple[str, tuple[tuple[str, str], ...]], float]


class Clock:
    """Stands still."""

    def now(self) -> Now:
        return Now(100.0, WALL_S)


@pytest.fixture
def metrics() -> Metrics:
    return Metrics(Clock(), version="1.2.3", revision="4f2a9c1")


def seen(metrics: Metrics, world: World) -> Sample:
    """Every series of one scrape."""
    page = metrics.expose(lambda: world).decode()
    return {
        (s.name.removeprefix("gslb_"), tuple(sorted(s.labels.items()))): s.value
        for family in text_string_to_metric_families(page)
        for s in family.samples
    }


def one(found: Sample, name: str, **labels: str) -> float | None:
    return found.get((name, tuple(sorted(labels.items()))))


def event(kind: EventKind, **more: Any) -> Event:
    return Event(kind=kind, text="a text with 192.0.2.1 in it", boot_s=100.0, wall_s=WALL_S, **more)


def served(world: World, *sites: SiteName) -> World:
    view = replace(world.backends[DNS], served={QUAY: answer(*sites)})
    return replace(world, backends={DNS: view})


def test_every_counter_is_there_at_0_before_anything_happened(metrics: Metrics) -> None:
    metrics.report(a_world(), ())
    found = seen(metrics, a_world())
    expected = {
        "probes_total": {"site": "eu", "aspect": STORE, "vantage": HERE, "outcome": "blind"},
        "probe_failures_total": {"site": "ap", "aspect": STORE, "cause": "timeout"},
        "site_state_changes_total": {"site": "us", "state": "down"},
        "site_traffic_changes_total": {"site": "us", "direction": "out", "owner": "auto"},
        "guard_refusals_total": {"guard": "min_sites"},
        "guard_skips_total": {"guard": "velocity"},
        "answer_changes_total": {"service": QUAY},
        "backend_drift_total": {"backend": DNS},
        "backend_fenced_writes_total": {"backend": DNS},
        "failover_duration_seconds_count": {"owner": "person"},
        "probe_duration_seconds_count": {"site": "eu", "aspect": STORE, "step": "put"},
        "probe_overruns_total": {},
        "alert_hook_truncated_total": {},
        "inbox_blocked_seconds_total": {},
    }
    assert {name: one(found, name, **labels) for name, labels in expected.items()} == dict.fromkeys(
        expected, 0.0
    )
    assert not [name for name, _ in found if name.endswith("_created")]


def test_gauges_are_read_from_the_world_as_it_is_at_the_scrape(metrics: Metrics) -> None:
    world = a_world()
    found = seen(metrics, world)
    assert one(found, "site_state", site="eu", state="up") == 1
    assert one(found, "site_state_since_timestamp_seconds", site="eu") == WALL_S - 90
    assert one(found, "controller_mode", mode="live") == 1
    assert one(found, "aspect_state", site="eu", aspect=STORE, state="up") == 1
    assert one(found, "probe_last_timestamp_seconds", site="eu", aspect=STORE) == WALL_S - 1
    assert one(found, "leader") == 1
    assert one(found, "leader_epoch") == 3
    assert one(found, "config_hash") == int("9f3c1a", 16)
    assert one(found, "build_info", version="1.2.3", revision="4f2a9c1", python=_python()) == 1
    found = seen(metrics, down(world, EU))
    assert one(found, "site_state", site="eu", state="up") == 0
    assert one(found, "site_state", site="eu", state="down") == 1
    assert one(found, "aspect_state", site="eu", aspect=STORE, state="down") == 1


def _python() -> str:
    import platform

    return platform.python_version()


def test_the_mode_says_what_holds_the_house_back(metrics: Metrics) -> None:
    def mode(world: World) -> list[str]:
        found = seen(metrics, world)
        return [dict(labels)["mode"] for (name, labels), v in found.items()
                if name == "controller_mode" and v == 1]  # fmt: skip

    live = a_world()
    assert mode(live) == ["live"]
    assert mode(replace(live, topology=replace(live.topology, mode="observe"))) == ["observe"]
    assert mode(replace(live, pause_file=True)) == ["paused"]
    static = replace(live, store_error="disk full")
    assert mode(static) == ["static"]
    assert one(seen(metrics, static), "store_up") == 0


def test_a_lease_that_is_over_is_no_leader(metrics: Metrics) -> None:
    assert one(seen(metrics, replace(a_world(), lease_until_s=100.0)), "leader") == 0
    assert one(seen(metrics, replace(a_world(), epoch=None)), "leader") == 0


def test_a_probes_run_is_counted_by_outcome_cause_and_step(metrics: Metrics) -> None:
    world = a_world()
    metrics.report(world, ())
    failed = Observation(
        site=EU,
        aspect=STORE,
        vantage=HERE,
        outcome=Outcome.FAIL,
        cause=Cause.TIMEOUT,
        begun_s=98.0,
        ended_s=100.0,
    )
    probe = ProbeId("eu/store")
    steps = (("put", 2.0), ("http://192.0.2.1/secret", 1.0))
    metrics.probe(ProbeRan(probe=probe, observations=(failed,), steps=steps), world)
    metrics.probe(ProbeRan(probe=ProbeId("gone/store"), observations=()), world)
    found = seen(metrics, world)
    assert one(found, "probes_total", site="eu", aspect=STORE, vantage=HERE, outcome="fail") == 1
    assert one(found, "probe_failures_total", site="eu", aspect=STORE, cause="timeout") == 1
    duration = {"site": "eu", "aspect": STORE, "step": "put"}
    assert one(found, "probe_duration_seconds_sum", **duration) == 2.0
    assert "192.0.2.1" not in str(found)


def test_events_are_counted_and_their_words_never_become_labels(metrics: Metrics) -> None:
    world = a_world()
    metrics.report(world, ())
    person = Owner(OwnerKind.PERSON, "kim")
    stages = (("decided_s", 0.0), ("written_s", 0.5), ("read_back_s", 1.5))
    metrics.report(
        world,
        (
            event(EventKind.SITE, site=EU, after="down", incident="i-1"),
            event(EventKind.REFUSED, site=EU, guard="min_sites"),
            event(EventKind.ANSWER, service=QUAY, backend=DNS, owner=person),
            event(EventKind.DRIFT, backend=DNS),
            event(EventKind.FENCED, backend=DNS),
            event(EventKind.APPLIED, backend=DNS, figures=(("failover_s", 1.5), *stages)),
            event(EventKind.SEEN, backend=DNS, figures=(*stages, ("seen_s", 9.0))),
        ),
    )
    found = seen(metrics, world)
    assert one(found, "site_state_changes_total", site="eu", state="down") == 1
    assert one(found, "guard_refusals_total", guard="min_sites") == 1
    assert one(found, "answer_changes_total", service=QUAY) == 1
    assert one(found, "backend_drift_total", backend=DNS) == 1
    assert one(found, "backend_fenced_writes_total", backend=DNS) == 1
    assert one(found, "failover_duration_seconds_sum", owner="auto") == 1.5
    phases = {"detect": 0.0, "decide": 0.0, "apply": 0.5, "read_back": 1.0, "resolvers": 7.5}
    for phase, seconds in phases.items():
        assert one(found, "failover_phase_duration_seconds_sum", phase=phase) == seconds
    words = str(found)
    assert not [w for w in ("kim", "i-1", "192.0.2.1", "a text") if w in words]


def test_a_site_that_leaves_and_returns_is_counted_with_its_owner(metrics: Metrics) -> None:
    world = a_world()
    out = served(down(world, EU), US, AP)
    metrics.report(world, ())
    metrics.report(out, (event(EventKind.ANSWER, service=QUAY),))
    metrics.report(out, (event(EventKind.APPLIED, backend=DNS),))
    metrics.report(world, (event(EventKind.ANSWER, service=QUAY),))
    found = seen(metrics, world)
    for direction in ("out", "in"):
        labels = {"site": "eu", "direction": direction, "owner": "auto"}
        assert one(found, "site_traffic_changes_total", **labels) == 1


def test_who_holds_a_site_out_is_the_same_as_in_status(metrics: Metrics) -> None:
    word = _drain(Owner(OwnerKind.PERSON, "kim"))
    found = seen(metrics, replace(served(a_world(), US, AP), overrides=(word,)))
    assert one(found, "site_out", site="eu", owner="person") == 1
    assert one(found, "site_out", site="eu", owner="auto") == 0
    assert one(found, "site_traffic_ratio", site="eu") == 0
    labels = {"site": "eu", "action": "drain"}
    assert one(found, "override_expiry_timestamp_seconds", **labels) == WALL_S + 60
    assert one(found, "override_expiry_timestamp_seconds", site="us", action="drain") is None


def _drain(owner: Owner, *skip: str, version: int = 1) -> Override:
    return Override(
        site=EU,
        action=Action.DRAIN,
        owner=owner,
        reason="disk swap",
        created_wall_s=WALL_S,
        ends_wall_s=WALL_S + 60,
        skip=skip,
        version=version,
    )


def test_a_skipped_guard_counts_once_a_word_and_not_again_after_a_start(metrics: Metrics) -> None:
    kim = Owner(OwnerKind.PERSON, "kim")
    world = replace(a_world(), overrides=(_drain(kim, "velocity"),))
    for _ in range(2):
        metrics.report(world, ())
    assert one(seen(metrics, world), "guard_skips_total", guard="velocity") == 0
    world = replace(world, overrides=(_drain(kim, "velocity", version=2),))
    for _ in range(2):
        metrics.report(world, ())
    assert one(seen(metrics, world), "guard_skips_total", guard="velocity") == 1


def test_services_and_backends_show_what_is_left_and_what_is_pending(metrics: Metrics) -> None:
    world = served(down(a_world(), EU), US)
    found = seen(metrics, world)
    assert one(found, "service_sites_in", service=QUAY) == 1
    assert one(found, "service_sites_wanted", service=QUAY) == 1
    assert one(found, "service_sites_configured", service=QUAY) == 3
    assert one(found, "backend_pending_changes", backend=DNS) == 1
    assert one(found, "backend_reachable", backend=DNS) == 1
    assert one(found, "backend_last_read_timestamp_seconds", backend=DNS) == WALL_S - 1
    assert one(found, "backend_fencing_info", backend=DNS, mode="cas") == 1
    dead = replace(world.backends[DNS], error="timeout", down_since_s=9.0, served=None, known=False)
    found = seen(metrics, replace(world, backends={DNS: dead}))
    assert one(found, "backend_reachable", backend=DNS) == 0
    assert one(found, "service_sites_in", service=QUAY) is None


def test_what_is_only_observed_is_never_pending(metrics: Metrics) -> None:
    world = served(a_world(), US)
    world = replace(world, topology=replace(world.topology, mode="observe"))
    assert one(seen(metrics, world), "backend_pending_changes", backend=DNS) == 0


def test_a_plan_that_was_sent_is_pending_until_it_is_read_back(metrics: Metrics) -> None:
    world = a_world()
    pool = Pool(service=QUAY, members=())
    change = Change(pool=pool, before=answer(EU, US), after=answer(US))
    plan = Plan(backend=DNS, epoch=3, changes=(change,), expects=None, leaves=None, digest="p-1")
    view = replace(world.backends[DNS], served=None, sent=plan, conflict="another cluster")
    world = replace(world, backends={DNS: view}, waiting={DNS: plan})
    found = seen(metrics, world)
    assert one(found, "backend_pending_changes", backend=DNS) == 1
    assert one(found, "backend_conflict", backend=DNS) == 1
    assert one(found, "plan_confirmation_wanted", backend=DNS) == 1


def test_alarms_shared_trouble_and_what_a_registry_says_of_itself(metrics: Metrics) -> None:
    alarms = (
        Alarm(kind=AlarmKind.STORE_DISPUTED, text="our path", site=EU),
        Alarm(kind=AlarmKind.SHARED_OUTAGE, text="all", aspect=AspectName("quay.database")),
    )
    facts = {"eu quay.demo": RegistryFacts(version="3.18.0", readonly=True)}
    found = seen(metrics, replace(a_world(), alarms=alarms, facts=facts))
    assert one(found, "alarm", kind="store-disputed", site="eu") == 1
    assert one(found, "alarm", kind="store-disputed", site="us") == 0
    assert one(found, "shared_outage", aspect="quay.database") == 1
    assert one(found, "shared_outage", aspect=STORE) == 0
    labels = {"site": "eu", "version": "3.18.0", "registry_state": "readonly"}
    assert one(found, "quay_info", **labels) == 1


def test_a_term_is_counted_when_it_begins(metrics: Metrics) -> None:
    for epoch in (None, 3, 3, None, 4):
        metrics.report(replace(a_world(), epoch=epoch), ())
    assert one(seen(metrics, a_world()), "leader_changes_total") == 2


def test_calls_requests_and_the_loop_are_timed(metrics: Metrics) -> None:
    metrics.loop(0.002, waiting=3)
    metrics.store("commit", 0.01, "StoreError")
    read = Read(backend=DNS, epoch=1, pools=())
    metrics.call("read", read, 99.98, BackendRefused("no"))
    metrics.call("save", read, 99.98, None)
    metrics.api("/v1/sites/{site}", "GET", 200, 0.003)
    metrics.overrun("eu/store")
    metrics.count("auth_failures", "token")
    metrics.put("api_feeds", 2.0)
    found = seen(metrics, a_world())
    assert one(found, "loop_duration_seconds_count") == 1
    assert one(found, "loop_last_completed_timestamp_seconds") == WALL_S
    assert one(found, "inbox_inputs") == 3
    assert one(found, "store_errors_total", op="commit", reason="StoreError") == 1
    assert one(found, "backend_errors_total", backend="dns", reason="BackendRefused") == 1
    assert one(found, "backend_request_duration_seconds_count", backend="dns", op="read") == 1
    labels = {"route": "/v1/sites/{site}", "method": "GET", "code": "200"}
    assert one(found, "api_requests_total", **labels) == 1
    assert one(found, "probe_overruns_total") == 1
    assert one(found, "auth_failures_total", reason="token") == 1
    assert one(found, "api_feeds") == 2


def test_the_series_of_a_removed_site_go_at_the_reload(metrics: Metrics) -> None:
    world = a_world()
    metrics.report(world, (event(EventKind.SITE, site=EU, after="down"),))
    left = replace(
        world.topology,
        sites=tuple(s for s in world.topology.sites if s.name != EU),
        probes=tuple(p for p in world.topology.probes if p.site != EU),
        services=tuple(
            replace(s, endpoints=tuple(e for e in s.endpoints if e.site != EU))
            for s in world.topology.services
        ),
    )
    world = replace(world, topology=left)
    metrics.report(world, ())
    assert not [labels for _, labels in seen(metrics, world) if ("site", "eu") in labels]
    assert one(seen(metrics, world), "site_state_changes_total", site="us", state="down") == 0


def big(sites: int, services: int, probes: Sequence[tuple[Family, Sequence[str]]]) -> World:
    """As many of each; backends as in `a_world`."""
    world = a_world()
    names = [SiteName(f"site-{n}") for n in range(sites)]
    ends = tuple(Endpoint(site=n) for n in names)
    specs = [_spec(n, i, family, bases) for n in names for i, (family, bases) in enumerate(probes)]
    topology = replace(
        world.topology,
        sites=tuple(Site(name=n, addresses=("192.0.2.1",)) for n in names),
        services=tuple(
            Service(name=ServiceName(f"s{n}.example"), endpoints=ends, limits=world.topology.limits)
            for n in range(services)
        ),
        probes=tuple(specs),
    )
    states = {n: SiteState(site=n, verdict=SiteVerdict.UP) for n in names}
    backends = {DNS: replace(world.backends[DNS], served={}, wanted={})}
    return replace(world, topology=topology, tracks={}, states=states, backends=backends)


def _spec(site: SiteName, number: int, family: Family, bases: Sequence[str]) -> ProbeSpec:
    probe = ProbeId(f"{site}/{number}")
    aspects = tuple(
        Aspect(site=site, name=AspectName(b), probe=probe, family=family) for b in bases
    )
    return replace(
        a_world().topology.probes[0], id=probe, site=site, family=family, aspects=aspects
    )


QUAY_PROBES = (
    (Family.STORE, ("store.write", "store.read", "store.list")),
    (Family.FRONT, ("quay.front",)),
    (Family.ENDTOEND, ("quay.storage", "quay.database", "quay.auth", "quay.redis")),
)


@pytest.mark.parametrize(("sites", "services", "most"), [(3, 1, 1_500), (50, 1_000, 20_000)])
def test_the_number_of_series_is_bounded(
    metrics: Metrics, sites: int, services: int, most: int
) -> None:
    world = big(sites, services, QUAY_PROBES)
    metrics.report(world, ())
    assert len(seen(metrics, world)) <= most
