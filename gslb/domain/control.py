"""What people and alerts say: overrides, pauses, modes, acknowledgements."""

from dataclasses import dataclass
from enum import StrEnum

from gslb.domain.topology import ServiceName, SiteName


class Mode(StrEnum):
    """Whether plans are carried out or only shown."""

    OBSERVE = "observe"
    LIVE = "live"


class Action(StrEnum):
    """What an override says."""

    DRAIN = "drain"
    FORCE_IN = "force-in"


class OwnerKind(StrEnum):
    """Who holds a site out."""

    PERSON = "person"
    ALERT = "alert"
    AUTO = "auto"
    PRACTICE = "practice"


@dataclass(frozen=True, slots=True, order=True)
class Owner:
    """`person:kim`, `alert:CephHealthError`."""

    kind: OwnerKind
    name: str = ""

    def __str__(self) -> str:
        return f"{self.kind}:{self.name}" if self.name else str(self.kind)


@dataclass(frozen=True, slots=True, kw_only=True)
class Override:
    """A word of a person or an alert about one site. Kept by (site, owner, services)."""

    site: SiteName
    action: Action
    owner: Owner
    services: tuple[ServiceName, ...] = ()
    """Empty: all services."""
    reason: str
    created_wall_s: float
    ends_wall_s: float
    skip: tuple[str, ...] = ()
    """Guards that a person named to be skipped."""
    fingerprints: tuple[str, ...] = ()
    """The alerts that hold it, by fingerprint."""
    version: int = 0
    ends_at_s: float = float("inf")
    """The end on the boot clock; worked out when it is learned."""

    @property
    def key(self) -> str:
        """What it is kept by."""
        return f"{self.site}|{self.owner}|{','.join(self.services)}"

    def covers(self, service: ServiceName) -> bool:
        """Does it speak of this service?"""
        return not self.services or service in self.services


@dataclass(frozen=True, slots=True, kw_only=True)
class Pause:
    """Automation is off: people's changes are still carried out."""

    owner: Owner
    reason: str
    created_wall_s: float
    ends_wall_s: float | None = None
    ends_at_s: float = float("inf")


@dataclass(frozen=True, slots=True)
class Now:
    """One instant on both clocks. Decisions use `boot_s`, expiries of people's words `wall_s`."""

    boot_s: float
    wall_s: float
