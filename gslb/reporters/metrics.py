"""Prometheus metrics: counters are counted from events and inputs, gauges are read from the world
at the moment of a scrape (`policy/gauges.py`). Names and labels: interface.md, section 6.
"""

import platform
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import product

from prometheus_client import CollectorRegistry, Counter, Histogram, disable_created_metrics
from prometheus_client.exposition import generate_latest
from prometheus_client.metrics_core import GaugeMetricFamily, Metric

from gslb.domain.control import Now, OwnerKind
from gslb.domain.health import Cause, Outcome, SiteVerdict
from gslb.domain.messages import Apply, Event, EventKind, ProbeRan, Read
from gslb.domain.topology import Family, ProbeSpec, Topology
from gslb.domain.world import World
from gslb.policy.gauges import GAUGES, Row, gauges
from gslb.policy.guard import GUARDS
from gslb.policy.spread import PHASES
from gslb.policy.summary import traffic
from gslb.ports import Clock

PROBE_S = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
FAILOVER_S = (0.5, 1.0, 2.0, 5.0, 10.0, 20.0, 30.0, 60.0, 120.0, 300.0)
CALL_S = (0.001, 0.005, 0.01, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0)
STEPS = {"put": "store.write", "get": "store.read", "list": "store.list", "delete": "store.write"}
"""The steps of a store's probe and the aspect that each belongs to."""

COUNTERS = {
    "leader_changes": ("Terms that this replica began.", ()),
    "inbox_blocked_seconds": ("Time that senders waited for the inbox.", ()),
    "store_errors": ("Calls to the store that failed.", ("op", "reason")),
    "probes": ("Results of probes.", ("site", "aspect", "vantage", "outcome")),
    "probe_failures": ("Results that were no pass, by cause.", ("site", "aspect", "cause")),
    "probe_overruns": ("Runs skipped because the one before still ran.", ()),
    "site_state_changes": ("Changes of a site's state, by the new one.", ("site", "state")),
    "site_traffic_changes": ("A site left or entered service.", ("site", "direction", "owner")),
    "guard_refusals": ("Moves that a guard refused.", ("guard",)),
    "guard_skips": ("Guards that a person named to be skipped.", ("guard",)),
    "answer_changes": ("Changes of what a name answers.", ("service",)),
    "backend_errors": ("Calls to a backend that failed.", ("backend", "reason")),
    "backend_fenced_writes": ("Writes that a backend turned away by its fence.", ("backend",)),
    "backend_drift": ("Foreign changes found in a backend.", ("backend",)),
    "api_requests": ("Requests, by the template of the route.", ("route", "method", "code")),
    "auth_failures": ("Requests with a wrong or no credential.", ("reason",)),
    "alert_hook_alerts": ("Alerts received, by rule and what followed.", ("rule", "result")),
    "alert_hook_truncated": ("Alerts that the sender cut off.", ()),
}
HISTOGRAMS = {
    "loop_duration_seconds": ("One pass of the loop.", (), CALL_S),
    "store_request_duration_seconds": ("Calls to the store.", ("op",), CALL_S),
    "probe_duration_seconds": ("A run of a probe, by step.", ("site", "aspect", "step"), PROBE_S),
    "failover_duration_seconds": ("First bad sign to all read back.", ("owner",), FAILOVER_S),
    "failover_phase_duration_seconds": ("Parts of a change's time.", ("phase",), FAILOVER_S),
    "backend_request_duration_seconds": ("Calls to a backend.", ("backend", "op"), CALL_S),
    "api_request_duration_seconds": ("Answering a request.", ("route",), CALL_S),
}
COUNTED = {
    EventKind.REFUSED: ("guard_refusals", "guard"),
    EventKind.ANSWER: ("answer_changes", "service"),
    EventKind.DRIFT: ("backend_drift", "backend"),
    EventKind.FENCED: ("backend_fenced_writes", "backend"),
}
"""Events that are counted by one label of their own."""
Key = tuple[str, tuple[str, ...]]
"""A counter or histogram, and its labels' values."""


class Metrics:
    """All that is exposed at `/metrics`; a Reporter."""

    def __init__(self, clock: Clock, version: str, revision: str = "") -> None:
        disable_created_metrics()  # type: ignore[no-untyped-call]  # it has no annotations
        self._clock = clock
        python = platform.python_version()
        self._build = {"version": version, "revision": revision, "python": python}
        self._registry = CollectorRegistry()
        self._counters = {
            name: Counter(f"gslb_{name}", text, labels, registry=self._registry)
            for name, (text, labels) in COUNTERS.items()
        }
        self._times = {
            name: Histogram(f"gslb_{name}", text, labels, buckets=b, registry=self._registry)
            for name, (text, labels, b) in HISTOGRAMS.items()
        }
        zero = ("inbox_inputs", "api_feeds", "alert_hook_silent")
        self._set = {**dict.fromkeys(zero, 0.0), "config_last_reload_successful": 1.0}
        self._topology: Topology | None = None
        self._epoch: int | None = None
        self._overrides: dict[str, int] = {}
        self._held: dict[str, str | None] = {}

    def report(self, world: World, events: Sequence[Event]) -> None:
        """Count what was concluded; the first call makes every label set at 0."""
        now = self._clock.now()
        first = self._topology is None
        if self._topology is not world.topology:
            self._sow(world.topology)
            self._set["config_last_reload_success_timestamp_seconds"] = now.wall_s
        if world.epoch is not None and world.epoch != self._epoch:
            self._epoch = world.epoch
            self.count("leader_changes")
        for event in events:
            self._count_event(event)
        self._count_skips(world, first)
        if first or any(e.kind in (EventKind.ANSWER, EventKind.APPLIED) for e in events):
            self._count_traffic(world, now)

    def probe(self, ran: ProbeRan, world: World) -> None:
        """Count one run: outcome and cause of each aspect, and the time of each step."""
        for seen in ran.observations:
            self.count("probes", seen.site, seen.aspect, seen.vantage, seen.outcome)
            if seen.cause is not None:
                self.count("probe_failures", seen.site, seen.aspect, seen.cause)
        spec = next((p for p in world.topology.probes if p.id == ran.probe), None)
        if spec is None:
            return
        # What a probe calls its steps must not make series without end: the known ones, or `total`.
        known = [(n, s) for n, s in ran.steps if n in STEPS and spec.family is Family.STORE]
        for step, seconds in known or [("total", ran.latency_s)]:
            self._time("probe_duration_seconds", seconds, spec.site, _aspect(spec, step), step)

    def loop(self, seconds: float, waiting: int = 0) -> None:
        """One pass of the loop ended; so many inputs wait."""
        self._time("loop_duration_seconds", seconds)
        self._set["loop_last_completed_timestamp_seconds"] = self._clock.now().wall_s
        self._set["inbox_inputs"] = float(waiting)

    def store(self, op: str, seconds: float, error: str | None = None) -> None:
        """One call to the store; `error` is the kind of failure (a class name), never its text."""
        self._time("store_request_duration_seconds", seconds, op)
        if error:
            self.count("store_errors", op, error)

    def call(self, op: str, order: Read | Apply, begun_s: float, error: Exception | None) -> None:
        """One call of a backend that ended now; the store times its own."""
        if op == "save":
            return
        backend = order.plan.backend if isinstance(order, Apply) else order.backend
        took_s = self._clock.now().boot_s - begun_s
        self._time("backend_request_duration_seconds", took_s, backend, op)
        if error is not None:
            self.count("backend_errors", backend, type(error).__name__)

    def api(self, route: str, method: str, code: int, seconds: float) -> None:
        """One request; `route` is the template, never a path with a name in it."""
        self.count("api_requests", route, method, str(code))
        self._time("api_request_duration_seconds", seconds, route)

    def overrun(self, probe: str) -> None:
        """A run was skipped because the one before still ran."""
        self.count("probe_overruns")

    def count(self, name: str, *labels: str, by: float = 1.0) -> None:
        """Raise a counter of `COUNTERS` (its name without `gslb_` and `_total`)."""
        counter = self._counters[name]
        (counter.labels(*labels) if labels else counter).inc(by)

    def put(self, name: str, value: float) -> None:
        """Set a gauge without labels that the world does not hold: `api_feeds`, `inbox_inputs`,
        `alert_hook_silent`, `config_last_reload_successful`."""
        self._set[name] = value

    def expose(self, world: Callable[[], World]) -> bytes:
        """The page in Prometheus' text format 0.0.4."""
        scrape = CollectorRegistry()
        scrape.register(_Rows(list(self._rows(world()))))
        return generate_latest(self._registry) + generate_latest(scrape)

    def _time(self, name: str, seconds: float, *labels: str) -> None:
        histogram = self._times[name]
        (histogram.labels(*labels) if labels else histogram).observe(seconds)

    def _sow(self, topology: Topology) -> None:
        """Make what a topology can count, at 0; take away what only the one before could."""
        new = dict.fromkeys(_countable(topology))
        for name, labels in _countable(self._topology) if self._topology else ():
            if (name, labels) not in new:
                (self._counters | self._times)[name].remove(*labels)
        for name, labels in new:
            (self._counters | self._times)[name].labels(*labels)
        self._topology = topology

    def _count_event(self, event: Event) -> None:
        name, label = COUNTED.get(event.kind, ("", ""))
        if name and (value := getattr(event, label)):
            self.count(name, value)
        if event.kind is EventKind.SITE and event.site and event.after in list(SiteVerdict):
            self.count("site_state_changes", event.site, event.after)
        figures = dict(event.figures)
        for phase, (begun, ended) in PHASES.items():
            # What was counted when it was read back is in the figures of `seen` too.
            mine = (event.kind is EventKind.SEEN) == (phase == "resolvers")
            if mine and begun in figures and ended in figures:
                self._time(
                    "failover_phase_duration_seconds", figures[ended] - figures[begun], phase
                )
        took = figures.get("failover_s")
        if took is not None:
            owner = event.owner.kind if event.owner else OwnerKind.AUTO
            self._time("failover_duration_seconds", took, owner)

    def _count_skips(self, world: World, first: bool) -> None:
        said = {o.key: o.version for o in world.overrides}
        for override in world.overrides:
            if not first and self._overrides.get(override.key) != override.version:
                for guard in override.skip:
                    self.count("guard_skips", guard)
        self._overrides = said

    def _count_traffic(self, world: World, now: Now) -> None:
        for site in world.topology.sites:
            t = traffic(world, site.name, now)
            if t.state == "unknown":
                continue
            owner = (t.owner.kind if t.owner else OwnerKind.AUTO) if t.state == "out" else None
            before = self._held.get(site.name, owner)
            self._held[site.name] = owner
            if (owner is None) != (before is None):
                direction = "in" if owner is None else "out"
                kind = before if owner is None else owner
                self.count("site_traffic_changes", site.name, direction, str(kind))

    def _rows(self, world: World) -> Iterator[Row]:
        yield "build_info", self._build, 1.0
        yield from ((name, {}, value) for name, value in self._set.items())
        yield from gauges(world, self._clock.now())


@dataclass(frozen=True, eq=False)
class _Rows:
    """What one scrape found, as prometheus_client wants it."""

    rows: Sequence[Row]

    def collect(self) -> Iterator[Metric]:
        labels = {name: tuple(values) for name, values, _ in self.rows}
        families = {
            name: GaugeMetricFamily(f"gslb_{name}", text, labels=labels.get(name, ()))
            for name, text in GAUGES.items()
        }
        for name, values, value in self.rows:
            families[name].add_metric(list(values.values()), value)
        yield from families.values()


def _countable(topology: Topology) -> Iterator[Key]:
    sites = [site.name for site in topology.sites]
    backends = [backend.name for backend in topology.backends]
    guards = [guard.id for guard in GUARDS]
    yield from _each("site_state_changes", sites, SiteVerdict)
    yield from _each("site_traffic_changes", sites, ("in", "out"), OwnerKind)
    yield from _each("guard_refusals", guards)
    yield from _each("guard_skips", guards)
    yield from _each("answer_changes", [service.name for service in topology.services])
    yield from _each("failover_duration_seconds", OwnerKind)
    yield from _each("failover_phase_duration_seconds", PHASES)
    yield from _each("backend_fenced_writes", backends)
    yield from _each("backend_drift", backends)
    yield from _each("backend_request_duration_seconds", backends, ("read", "apply"))
    for probe in topology.probes:
        for step in STEPS if probe.family is Family.STORE else ("total",):
            yield "probe_duration_seconds", (probe.site, _aspect(probe, step), step)
    for aspect in topology.aspects:
        key = [aspect.site], [aspect.name]
        yield from _each("probes", *key, [topology.vantage], Outcome)
        yield from _each("probe_failures", *key, Cause)


def _each(name: str, *values: Iterable[str]) -> Iterator[Key]:
    return ((name, labels) for labels in product(*values))


def _aspect(probe: ProbeSpec, step: str) -> str:
    return next(
        (a.name for a in probe.aspects if a.base == STEPS.get(step)),
        probe.aspects[0].name if probe.aspects else probe.id.rpartition("/")[2],
    )
