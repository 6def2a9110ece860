"""All we know, in one frozen value."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from gslb.domain.control import Mode, Override, Owner, Pause
from gslb.domain.health import Alarm, RegistryFacts, SiteState, Suspicion, Track, TrackKey
from gslb.domain.topology import BackendName, ProbeId, ServiceName, SiteName, Topology
from gslb.domain.traffic import Answer, Generation, Plan


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """A move that a guard held back: one service at one backend, one site."""

    guard: str
    text: str
    service: ServiceName
    backend: BackendName
    site: SiteName | None
    leaving: bool
    since_s: float = 0.0
    figures: tuple[tuple[str, float], ...] = ()


Stages = tuple[tuple[str, float], ...]
"""What a change has reached, and when on the boot clock: the time budget of evidence.md 11."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BackendView:
    """What we know of one backend; unless it is `known`, it must be read before it is changed."""

    name: BackendName
    known: bool = False
    """`served` was read in this term, and nothing was sent since."""
    served: Mapping[ServiceName, Answer | None] | None = None
    generation: Generation | None = None
    behind: Mapping[ServiceName, tuple[str, ...]] = field(default_factory=dict)
    read_at_s: float | None = None
    busy: bool = False
    busy_since_s: float = 0.0
    fails: int = 0
    rest_until_s: float = 0.0
    error: str | None = None
    down_since_s: float | None = None
    conflict: str | None = None
    sent: Plan | None = None
    """Written (or perhaps written) and not yet read back."""
    sent_at_s: float = 0.0
    seq: int = 0
    """The highest SEQ that we wrote or have in flight in this epoch."""
    adopted: frozenset[ServiceName] = frozenset()
    """Names that our store has served here."""
    had_generation: bool = False
    wanted: Mapping[ServiceName, Answer] = field(default_factory=dict)
    """What should be served, after fit and guards: equal to `served` when all is as planned."""
    repaired: Mapping[ServiceName, float] = field(default_factory=dict)
    """When a foreign edit of a record was last put right."""
    edited: frozenset[ServiceName] = frozenset()
    """Changed by others and left so, until a person acknowledges it."""
    served_since_s: Mapping[ServiceName, float] = field(default_factory=dict)
    verified: Mapping[ServiceName, Answer] = field(default_factory=dict)
    """What was last read back as wanted: anything else later is drift."""
    stages: Stages = ()
    """Of the plan under way."""
    adopting: bool = False
    """A person told us to take over whatever generation is read next."""
    takeover: Generation | None = None
    """A foreign generation that a person told us to take over from."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Spread:
    """A change that every authoritative server shows, on its way to those who ask resolvers."""

    plan: Plan
    stages: Stages
    until_s: float
    """From then on nobody is asked any more."""
    said: Mapping[str, str | None]
    """By resolver: empty when it shows all of it, else what it says; None: not asked yet."""
    seen_at_s: float = 0.0
    """When the last that shows it was found to."""
    done: bool = False

    @property
    def shown(self) -> int:
        """How many resolvers show it."""
        return sum(said == "" for said in self.said.values())

    @property
    def waiting(self) -> bool:
        """Is there one that answers otherwise, or was not asked? Who is silent holds up nothing."""
        silent = "does not answer"
        return any(s is None or (s and not s.startswith(silent)) for s in self.said.values())


@dataclass(frozen=True, slots=True, kw_only=True)
class Memory:
    """What must survive of a site: so that a restart neither disarms us nor returns it early."""

    site: SiteName
    fell_at_s: float | None = None
    """When it last turned down; None once it has returned."""
    failed_at_s: float | None = None
    """Its last fail that is known across restarts: where quiet starts."""
    drains: tuple[float, ...] = ()
    """When automation took it out (once an outage), of the last day."""
    needs_ack: bool = False
    left: tuple[tuple[ServiceName, float, str], ...] = ()
    """(service, when, owner kind): it left this service and has not come back."""
    ramps: tuple[tuple[ServiceName, float], ...] = ()
    """When its return to a service began; ended ramps are taken out."""
    passed: tuple[str, ...] = ()
    """`ASPECT DIGEST` of what has ever passed."""
    incident: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """What steering wants for one endpoint, and why."""

    site: SiteName
    stance: str
    """`in`, `out`, `keep` (as served) or `standby`."""
    weight: int = 0
    owner: Owner | None = None
    reason: str = ""
    until_s: float | None = None
    since_s: float = 0.0
    """When the first fail behind it was begun: the order of leaving."""
    skip: tuple[str, ...] = ()
    at_once: bool = False
    """Last resort: no brake on returning applies."""
    brake: tuple[str, str] | None = None
    """(guard, sentence) that keeps an able site from returning now."""
    declined: str | None = None
    """The guard whose only ground this is (`shared_outage`, `never_healthy`): said, not done."""


@dataclass(frozen=True, slots=True, kw_only=True)
class World:
    """Everything: configuration, belief, words, and what is served. Replaced at each step."""

    topology: Topology
    started_s: float
    offset_s: float | None = None
    """Wall clock minus boot clock, as last seen."""
    instance: str = ""
    version: int = 0
    epoch: int | None = None
    """None: we do not lead."""
    lease_until_s: float = float("inf")
    mode: Mode = Mode.OBSERVE
    """The run-time mode: what `gslb live` and `gslb observe` set."""
    pause: Pause | None = None
    pause_file: bool = False
    pause_unreadable: bool = False
    overrides: tuple[Override, ...] = ()
    revision: int = 0
    """Of overrides, pause and mode as learned from the store."""
    store_error: str | None = None
    tracks: Mapping[TrackKey, Track] = field(default_factory=dict)
    facts: Mapping[str, RegistryFacts] = field(default_factory=dict)
    """By `SITE SERVICE`."""
    suspicions: Mapping[SiteName, Suspicion] = field(default_factory=dict)
    asks: Mapping[ProbeId, float] = field(default_factory=dict)
    """A run of this probe is wanted that is begun at or after this moment."""
    latencies: Mapping[ProbeId, float] = field(default_factory=dict)
    """A running p95 of the time of good runs."""
    states: Mapping[SiteName, SiteState] = field(default_factory=dict)
    alarms: tuple[Alarm, ...] = ()
    blind: str | None = None
    """Why our vantage is blind."""
    references: Mapping[str, tuple[float, bool]] = field(default_factory=dict)
    """Reference: (when, answered)."""
    memories: Mapping[SiteName, Memory] = field(default_factory=dict)
    backends: Mapping[BackendName, BackendView] = field(default_factory=dict)
    spreads: tuple[Spread, ...] = ()
    """The last changes that resolvers were asked for."""
    wishes: Mapping[ServiceName, tuple[Wish, ...]] = field(default_factory=dict)
    """What steering wanted when it last decided (for the first backend of the service)."""
    passed_guards: Mapping[SiteName, tuple[str, ...]] = field(default_factory=dict)
    """What the guards said of the last move of a site that was let through."""
    refusals: tuple[Refusal, ...] = ()
    waiting: Mapping[BackendName, Plan] = field(default_factory=dict)
    """Plans that wait for a person's confirm."""
    confirmed: Mapping[str, float] = field(default_factory=dict)
    """Digest: until when the confirmation holds."""
    would: Mapping[BackendName, str] = field(default_factory=dict)
    """Observe: the digest of the plan that was last shown as would-have."""
    returns: tuple[tuple[ServiceName, float], ...] = ()
    settled: bool = False
    incidents: int = 0
    decided_on: tuple[object, ...] = ()
    """The facts that the last decision rested on."""
    wake_at_s: float | None = None

    def live(self, service: str | None = None, backend: BackendName | None = None) -> bool:
        """Are plans carried out (for this service, at this backend)?"""
        if (self.topology.mode or self.mode) != Mode.LIVE:
            return False
        if any(s.name == service and s.mode == Mode.OBSERVE for s in self.topology.services):
            return False
        return all(b.name != backend or b.mode != Mode.OBSERVE for b in self.topology.backends)

    @property
    def paused(self) -> str | None:
        """Why automation is off, or None."""
        if self.pause_file:
            return "the file `pause` lies in the state folder"
        if self.pause_unreadable:
            return "the pause in the store cannot be read, which counts as paused"
        return f"paused by {self.pause.owner}: {self.pause.reason}" if self.pause else None
