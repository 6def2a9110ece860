"""What is believed of a site, from one look to its state."""

from dataclasses import dataclass, field
from enum import StrEnum

from gslb.domain.topology import Ability, AspectName, ProbeId, ServiceName, SiteName, VantageName


class Outcome(StrEnum):
    """What one look showed; blind proves nothing."""

    PASS = "pass"
    FAIL = "fail"
    BLIND = "blind"


class CauseClass(StrEnum):
    """What a cause speaks of."""

    LOCAL = "local"
    PATH = "path"
    BLIND = "blind"


class Cause(StrEnum):
    """Why a look failed or was blind: the closed set of evidence.md, section 2."""

    UNHEALTHY = "unhealthy"
    IO = "io"
    MISSING = "missing"
    MISMATCH = "mismatch"
    TLS = "tls"
    GATEWAY = "gateway"
    OVERLOAD = "overload"
    REFUSED = "refused"
    TIMEOUT = "timeout"
    UNRESOLVED = "unresolved"
    DENIED = "denied"
    CLOCK = "clock"
    SLOW = "slow"
    LOCAL = "local"

    @property
    def kind(self) -> CauseClass:
        """The class: whether it speaks of the site, of the way to it, or of us."""
        match self:
            case Cause.REFUSED | Cause.TIMEOUT | Cause.UNRESOLVED:
                return CauseClass.PATH
            case Cause.DENIED | Cause.CLOCK | Cause.SLOW | Cause.LOCAL:
                return CauseClass.BLIND
            case (
                Cause.UNHEALTHY
                | Cause.IO
                | Cause.MISSING
                | Cause.MISMATCH
                | Cause.TLS
                | Cause.GATEWAY
                | Cause.OVERLOAD
            ):
                return CauseClass.LOCAL


class Verdict(StrEnum):
    """What a track says of its aspect."""

    UNKNOWN = "unknown"
    UP = "up"
    DOWN = "down"


class SiteVerdict(StrEnum):
    """The state of a site."""

    UNKNOWN = "unknown"
    UP = "up"
    DEGRADED = "degraded"
    DOWN = "down"


@dataclass(frozen=True, slots=True, kw_only=True)
class Observation:
    """One outcome of one aspect at one time. Times on the boot clock, in seconds."""

    site: SiteName
    aspect: AspectName
    vantage: VantageName
    outcome: Outcome
    cause: Cause | None = None
    """For fail and blind only."""
    detail: str = ""
    """For people: `put: timeout after 2.0 s`."""
    latency_s: float = 0.0
    begun_s: float
    ended_s: float

    def __post_init__(self) -> None:
        assert (self.cause is None) == (self.outcome is Outcome.PASS), "a cause for fail and blind"


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """What a probe itself says of one aspect; the pacer makes an Observation of it."""

    aspect: str
    """The base name: `store.write`."""
    outcome: Outcome
    cause: Cause | None = None
    detail: str = ""
    latency_s: float = 0.0

    @classmethod
    def of(
        cls, aspect: str, latency_s: float = 0.0, cause: Cause | None = None, detail: str = ""
    ) -> "Finding":
        """A pass, or what the class of its cause makes of it."""
        blind = cause is not None and cause.kind is CauseClass.BLIND
        outcome = Outcome.PASS if cause is None else Outcome.BLIND if blind else Outcome.FAIL
        return cls(aspect=aspect, outcome=outcome, cause=cause, detail=detail, latency_s=latency_s)


@dataclass(frozen=True, slots=True, kw_only=True)
class RegistryFacts:
    """What a registry says of itself at `/config` (quay.md 5)."""

    version: str | None = None
    """`3.18.0`; None: it does not say (before 3.16)."""
    readonly: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """All that one run of a probe found."""

    findings: tuple[Finding, ...]
    facts: RegistryFacts | None = None
    steps: tuple[tuple[str, float], ...] = ()
    """How long each step took: (`put`, 0.004), in seconds."""
    sentinel: str | None = None
    """Digest of a sentinel that the run wrote or saw for the first time; to be kept."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Track:
    """The run of outcomes behind a verdict: one for each site, aspect and vantage."""

    verdict: Verdict = Verdict.UNKNOWN
    since_s: float = 0.0
    fails: int = 0
    """Fails in a row (blind neither counts nor resets)."""
    passes: int = 0
    """Passes in a row at any pace."""
    failing_since_s: float = 0.0
    """When the first fail of the run that is going on ended."""
    rises: int = 0
    """Passes in a row at the normal pace: what `rise` counts."""
    causes: tuple[Cause, ...] = ()
    """Of the last `fall` fails."""
    fail_begins: tuple[float, ...] = ()
    """When the last `fall` fails were begun."""
    first_fail_s: float | None = None
    """When the run of fails that is going on, or that turned it down, was begun (begun_s)."""
    covered_since_s: float | None = None
    """Since when fails, no further apart than stale_after, cover the time."""
    last_fail_s: float | None = None
    last_pass_s: float | None = None
    """When the last fail, pass ended."""
    pass_begun_s: float | None = None
    """When the last pass was begun."""
    counted_begun_s: float = 0.0
    """When the last result that counted was begun: an earlier one counts in the window only."""
    blind_s: float | None = None
    """When the last blind result ended."""
    blind_cause: Cause | None = None
    detail: str = ""
    """Of the last result that was no pass."""
    window: tuple[tuple[int, bool], ...] = ()
    """(number of the interval, any run in it failed) for the last 20 intervals with a result."""
    by_share: bool = False
    """It was turned down by the share of the window."""
    slow_run: int = 0
    has_passed: bool = False
    latency_s: float = 0.0
    strip: str = ""
    """The last 60 outcomes for people: + pass, x fail, . blind."""

    @property
    def counted_s(self) -> float | None:
        """When the last pass or fail ended."""
        times = [t for t in (self.last_pass_s, self.last_fail_s) if t is not None]
        return max(times, default=None)


@dataclass(frozen=True, slots=True, order=True)
class TrackKey:
    """Whose track."""

    site: SiteName
    aspect: AspectName
    vantage: VantageName


@dataclass(frozen=True, slots=True, kw_only=True)
class Reason:
    """Why a site is in its state: which aspect, what kind of trouble, in words."""

    aspect: AspectName
    cause: Cause | None
    text: str
    since_s: float
    shared: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Loss:
    """Abilities that diagnosis says a site has lost, why, and since when that may move traffic."""

    takes: tuple[Ability, ...]
    service: ServiceName | None
    aspect: AspectName
    reason: Reason
    first_fail_s: float
    """When the first fail was begun: others count as fresh if seen after it."""
    moves_at_s: float
    """End of the dwell (and of the wait for Quay's word, evidence.md 4.2)."""
    never_passed: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class SiteState:
    """What we believe of a site, with its reasons. Never mixed with what is served."""

    site: SiteName
    verdict: SiteVerdict = SiteVerdict.UNKNOWN
    since_s: float = 0.0
    reasons: tuple[Reason, ...] = ()
    losses: tuple[Loss, ...] = ()
    unknown: tuple[tuple[AspectName, ServiceName | None, tuple[Ability, ...]], ...] = ()
    """Needed aspects without a verdict."""
    shared: tuple[Reason, ...] = ()
    """Trouble that it shares with others: never a reason to move."""


class AlarmKind(StrEnum):
    """What asks for a person, beside the state of a site."""

    STORE_DISPUTED = "store-disputed"
    """One store is silent for us while Quay there says true."""
    STORAGE_DISPUTED = "storage-disputed"
    """Several Quays say storage: false while every store passes."""
    PREFERENCE = "preference-lists-other-site"
    CREDENTIALS = "credentials-refused"
    CLOCK = "clock"
    SHARED_OUTAGE = "shared-outage"
    ALL_DOWN = "all-down"
    ONLY_HEALTHY_DRAINED = "only-healthy-site-is-drained-by-hand"
    NEVER_HEALTHY = "never-healthy"
    BLIND = "vantage-blind"
    UNCORROBORATED = "uncorroborated"
    READ_ONLY = "read-only-answer"
    SENTINEL = "sentinel-gone"
    DRIFT = "drift"


@dataclass(frozen=True, slots=True, kw_only=True)
class Alarm:
    """Something that a person should know, while it lasts."""

    kind: AlarmKind
    text: str
    site: SiteName | None = None
    aspect: AspectName | None = None
    service: ServiceName | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Suspicion:
    """A site is looked at faster until there is a verdict."""

    site: SiteName
    since_s: float
    ends_at_s: float
    rests_until_s: float = 0.0
    passes: int = 0
    aspect: AspectName | None = None
    probe: ProbeId | None = None
    active: bool = True
    tags: tuple[str, ...] = field(default=())
