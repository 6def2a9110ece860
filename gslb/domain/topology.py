"""What is configured: sites, services, aspects, probes, backends, limits. All times in seconds."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import NewType

from gslb.domain.traffic import Shape

SiteName = NewType("SiteName", str)
ServiceName = NewType("ServiceName", str)
BackendName = NewType("BackendName", str)
AspectName = NewType("AspectName", str)
VantageName = NewType("VantageName", str)
ProbeId = NewType("ProbeId", str)
"""`SITE/PROBE`, as in `eu/store`, `eu/quay.front`, `eu/quay.endtoend`, `eu/edge`."""


class Scope(StrEnum):
    """Whose trouble an aspect shows."""

    OWN = "own"
    SHARED = "shared"


class Role(StrEnum):
    """What an aspect may do to its site."""

    DECIDES = "decides"
    DEGRADES = "degrades"
    IGNORE = "ignore"


class Ability(StrEnum):
    """What a site can do for a client, and an aspect can take away."""

    READ = "read"
    WRITE = "write"


class Family(StrEnum):
    """How a probe is paced: the endtoend check of Quay never overlaps itself."""

    STORE = "store"
    FRONT = "front"
    ENDTOEND = "endtoend"
    GENERIC = "generic"


class OnAllDown(StrEnum):
    """What to do when no site is able."""

    HOLD = "hold"
    ALL = "all"


class Drift(StrEnum):
    """What to do about records that somebody else changed."""

    REPAIR = "repair"
    REPORT = "report"


class Freeze(StrEnum):
    """What a window holds back."""

    RETURNS = "returns"
    ALL = "all"


@dataclass(frozen=True, slots=True, kw_only=True)
class Timing:
    """The times of one site; the profiles give the defaults (interface.md, section 9)."""

    interval_s: float = 5.0
    timeout_s: float = 3.0
    confirm_s: float = 1.0
    corroborate_s: float = 2.0
    fall: int = 3
    rise: int = 20
    dwell_local_s: float = 5.0
    dwell_path_s: float = 15.0
    quiet_s: float = 300.0
    quiet_max_s: float = 3600.0
    ramp: tuple[int, ...] = (10, 50, 100)
    ramp_step_s: float = 300.0
    endtoend_pace_s: float = 15.0
    endtoend_deadline_s: float = 65.0
    window: int = 20
    fail_share_max: float = 0.4
    block_s: float = 3600.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """The bounds that the guards keep. `min_sites` has no default, on purpose."""

    min_sites: int
    min_capacity_share: float = 0.0
    max_drained: int = 1
    change_window_s: float = 30.0
    changes_per_hour: int = 12
    """Returns an hour and service; 0: no limit."""
    on_all_down: OnAllDown = OnAllDown.HOLD
    override_s: float = 4 * 3600.0
    override_max_s: float = 72 * 3600.0
    drift: Drift = Drift.REPAIR
    requests_per_min: int = 600

    def __post_init__(self) -> None:
        if self.min_sites < 1:
            raise ValueError("min_sites below 1 would allow an empty answer")


@dataclass(frozen=True, slots=True, kw_only=True)
class Aspect:
    """One thing that can be wrong at a site, and how its results are judged."""

    site: SiteName
    name: AspectName
    """Unique at its site: `store.write`; `quay.front@SERVICE` where a site has two services."""
    probe: ProbeId
    family: Family
    scope: Scope = Scope.OWN
    role: Role = Role.DECIDES
    takes: tuple[Ability, ...] = (Ability.READ, Ability.WRITE)
    service: ServiceName | None = None
    """None: the site as a whole; else this service and those that say `probe_as` it."""
    registry: ServiceName | None = None
    """Which aspects of other sites it is compared with (evidence.md 4.1, 4.4)."""
    interval_s: float = 5.0
    pace_s: float = 5.0
    deadline_s: float = 3.0
    confirm_s: float = 1.0
    fall: int = 3
    rise: int = 20
    window: int = 20
    fail_share_max: float = 0.4
    slow_s: float = 1.5
    slow_is_down: bool = False
    dwell_local_s: float = 5.0
    dwell_path_s: float = 15.0
    digest: str = ""
    """Of the probe's settings: a track survives a reload when this is the same."""
    base: str = field(init=False, compare=False)
    """The name without the service: `quay.front`."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "base", self.name.split("@", 1)[0])

    @property
    def stale_after_s(self) -> float:
        """How old the last result may be (evidence.md 3, Fresh)."""
        return 2 * self.pace_s + self.deadline_s


@dataclass(frozen=True, slots=True, kw_only=True)
class ProbeSpec:
    """One probe of one site: when it runs and which aspects it reports."""

    id: ProbeId
    site: SiteName
    family: Family
    pace_s: float
    deadline_s: float
    """A run that has not ended by then is ended."""
    confirm_s: float
    interval_s: float
    fall: int
    timeout_s: float
    aspects: tuple[Aspect, ...]
    digest: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Site:
    """A place that can serve."""

    name: SiteName
    addresses: tuple[str, ...]
    """IP addresses, or one host name."""
    capacity: int = 100
    timing: Timing = field(default_factory=Timing)
    labels: Mapping[str, str] = field(default_factory=dict)
    store_preferred: bool | None = None
    """Its store is known to be its Quay's first preference (evidence.md 4.2)."""
    abilities: tuple[Ability, ...] = (Ability.READ, Ability.WRITE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint:
    """A service at one site."""

    site: SiteName
    tier: int = 0
    weight: int = 100
    trickle: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Service:
    """A name that clients resolve, and where it may be served."""

    name: ServiceName
    endpoints: tuple[Endpoint, ...]
    limits: Limits
    needs: tuple[Ability, ...] = (Ability.READ, Ability.WRITE)
    accept: tuple[Ability, ...] = (Ability.READ, Ability.WRITE)
    probe_as: ServiceName | None = None
    mode: str | None = None
    """`observe`: only looked at; None: the mode in force."""
    via: tuple[BackendName, ...] = ()
    ttl_s: float = 30.0
    degraded_weight: int = 100
    """Per cent."""

    def endpoint(self, site: SiteName) -> Endpoint | None:
        """The endpoint at `site`, if there is one."""
        return next((e for e in self.endpoints if e.site == site), None)


@dataclass(frozen=True, slots=True, kw_only=True)
class BackendSpec:
    """Something that hands out traffic, as the policy sees it."""

    name: BackendName
    kind: str
    shape: Shape
    mode: str | None = None
    resync_s: float = 30.0
    servers: Mapping[SiteName, str] = field(default_factory=dict)
    """Load balancers: what each site is called there. DNS: empty, the addresses are used."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """A stretch of wall time in which less may move: five cron fields (UTC) and a length."""

    cron: str
    for_s: float
    freeze: Freeze = Freeze.RETURNS


@dataclass(frozen=True, slots=True, kw_only=True)
class Topology:
    """Everything that is configured and that decisions rest on."""

    cluster: str
    vantage: VantageName
    """Ours."""
    vantages: Mapping[VantageName, SiteName | None]
    """All, with the site each is in: the denominator of every quorum."""
    sites: tuple[Site, ...]
    services: tuple[Service, ...]
    probes: tuple[ProbeSpec, ...]
    backends: tuple[BackendSpec, ...]
    limits: Limits
    windows: tuple[Window, ...] = ()
    references: tuple[str, ...] = ()
    resolvers: tuple[str, ...] = ()
    """Asked whether they show a change: `IP` or `IP:PORT`."""
    mode: str | None = None
    """`observe` or `live` as the file says; None: the run-time mode decides."""
    settle_max_s: float = 30.0
    store_timeout_s: float = 1.0
    digest: str = ""
    """Of the file: shown as `config 9f3c1a`."""

    def site(self, name: SiteName) -> Site:
        """Raises KeyError for a name that is not configured."""
        for site in self.sites:
            if site.name == name:
                return site
        raise KeyError(name)

    def service(self, name: ServiceName) -> Service:
        """Raises KeyError for a name that is not configured."""
        for service in self.services:
            if service.name == name:
                return service
        raise KeyError(name)

    @property
    def aspects(self) -> tuple[Aspect, ...]:
        """All aspects of all sites, in the file's order."""
        return tuple(aspect for probe in self.probes for aspect in probe.aspects)
