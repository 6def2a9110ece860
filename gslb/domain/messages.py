"""The three unions: what comes in, what must be done, what was concluded."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TypeAlias

from gslb.domain.control import Mode, Override, Owner, Pause
from gslb.domain.health import Observation, RegistryFacts
from gslb.domain.topology import BackendName, ProbeId, ServiceName, SiteName, Topology
from gslb.domain.traffic import Plan, Pool, Reading
from gslb.domain.world import Memory

# ── inputs ──────────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True, kw_only=True)
class ProbeRan:
    """One run of one probe ended."""

    probe: ProbeId
    observations: tuple[Observation, ...]
    facts: RegistryFacts | None = None
    normal: bool = True
    """It was due by the normal pace (only these count for `rise`)."""
    latency_s: float = 0.0
    steps: tuple[tuple[str, float], ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class ProbeUnanswered:
    """A run has been under way for longer than usual; it may still pass."""

    probe: ProbeId
    begun_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class ReferenceRan:
    """A reference target answered, or did not."""

    reference: str
    answered: bool
    at_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class ControlChanged:
    """What people and alerts said, as the store has it now: whole, with its revision."""

    revision: int
    overrides: tuple[Override, ...]
    pause: Pause | None
    mode: Mode
    pause_file: bool = False
    pause_unreadable: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class LeaseChanged:
    """A term begins (epoch) or ends (None)."""

    epoch: int | None
    until_s: float = float("inf")


@dataclass(frozen=True, slots=True, kw_only=True)
class Remembered:
    """What survived a restart."""

    instance: str
    memories: tuple[Memory, ...]
    adopted: Mapping[BackendName, tuple[ServiceName, ...]]
    conflicts: Mapping[BackendName, str]
    incidents: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class AnswersRead:
    """A backend was read, by an order of `epoch`."""

    backend: BackendName
    epoch: int
    reading: Reading
    begun_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class ResolverAnswered:
    """A resolver was asked for what has changed: values and their TTL left (s), by name."""

    resolver: str
    answers: Mapping[ServiceName, tuple[tuple[str, ...], float]]
    error: str
    """Why the rest of what it was asked for is not there."""
    at_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanApplied:
    """A plan was sent and the backend accepted it: written, not yet read back."""

    plan: Plan
    begun_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class BackendFailed:
    """A read or a plan did not come off; what is served is unknown now."""

    backend: BackendName
    epoch: int
    error: str
    fenced: bool = False
    plan: Plan | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class SaveFailed:
    """A plan could not be written ahead, so it was not sent."""

    plan: Plan
    error: str
    conflict: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class StoreHealth:
    """The store takes writes (None), or why it does not."""

    error: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanConfirmed:
    """A person lets one refused plan go, by its digest."""

    digest: str
    owner: Owner
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Acknowledged:
    """A person ends the block of a site, or has what others changed at a backend put right."""

    owner: Owner
    reason: str
    site: SiteName | None = None
    backend: BackendName | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Adopted:
    """A person takes a backend over from whoever wrote its generation."""

    backend: BackendName
    owner: Owner
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ConfigReplaced:
    """A new configuration is in force."""

    topology: Topology
    owner: Owner
    summary: tuple[str, ...] = ()


Input: TypeAlias = (
    ProbeRan
    | ProbeUnanswered
    | ReferenceRan
    | ControlChanged
    | LeaseChanged
    | Remembered
    | AnswersRead
    | ResolverAnswered
    | PlanApplied
    | BackendFailed
    | SaveFailed
    | StoreHealth
    | PlanConfirmed
    | Acknowledged
    | Adopted
    | ConfigReplaced
)

# ── orders ──────────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True, kw_only=True)
class Read:
    """Read a backend; good for this epoch only."""

    backend: BackendName
    epoch: int
    pools: tuple[Pool, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Apply:
    """Save a plan, then carry it out; good for its epoch only."""

    plan: Plan
    revision: int
    """Of the control documents that the decision saw."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Keep:
    """Keep what must survive: memories of sites, adopted names, conflicts, the incident number."""

    memories: tuple[Memory, ...] = ()
    adopted: Mapping[BackendName, tuple[ServiceName, ...]] = field(default_factory=dict)
    conflicts: Mapping[BackendName, str | None] = field(default_factory=dict)
    incidents: int | None = None
    dropped: tuple[str, ...] = ()
    """Keys of overrides that ended."""


Order: TypeAlias = Read | Apply | Keep

# ── events ──────────────────────────────────────────────────────────────────────────────────────


class EventKind(StrEnum):
    """What kind of thing was concluded: the `type` of an event in API, journal and feed."""

    PROBE = "probe"
    SITE = "site"
    SUSPECT = "suspect"
    SHARED = "shared_outage"
    ALARM = "alarm"
    OVERRIDE = "override"
    PAUSE = "pause"
    MODE = "mode"
    REFUSED = "refused"
    ANSWER = "answer"
    WRITTEN = "written"
    APPLIED = "applied"
    SEEN = "seen"
    WOULD = "would"
    DRIFT = "drift"
    CONFLICT = "conflict"
    BACKEND = "backend"
    TERM = "term"
    STORE = "store"
    CONFIG = "config"
    CONFIRM = "confirm"
    ACK = "ack"
    ADOPT = "adopt"
    ALERT = "alert"
    CLOCK = "clock"
    FENCED = "fenced"


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """One thing that was concluded or done, in words that stand alone."""

    kind: EventKind
    text: str
    boot_s: float
    wall_s: float
    site: SiteName | None = None
    service: ServiceName | None = None
    backend: BackendName | None = None
    incident: str | None = None
    plan: str | None = None
    """Its digest: what belongs to one change."""
    owner: Owner | None = None
    guard: str | None = None
    before: str | None = None
    after: str | None = None
    cause: str | None = None
    figures: tuple[tuple[str, float], ...] = ()
    """`(("failover_s", 1.1),)`; names with the unit last."""
