"""What the API may ask of the running house: look at the world, and say a person's word."""

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import Protocol

from gslb.domain.control import Mode, Now, Override, Owner, Pause
from gslb.domain.health import Seen
from gslb.domain.messages import Event
from gslb.domain.topology import BackendName, ProbeId, ServiceName, SiteName
from gslb.domain.world import World
from gslb.ports import Entry, Query


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """One cycle of the loop: the world after it, and the events with their journal numbers."""

    world: World
    events: tuple[Event, ...]
    first_seq: int


class Operator(Protocol):
    """The face of the controller. Words are durable when the call returns.

    StoreError: it could not be kept, nothing happened (503). StoreConflict: it was changed
    meanwhile (409, 412).
    """

    @property
    def world(self) -> World: ...

    def now(self) -> Now: ...

    def loop_age_s(self) -> float:
        """How long ago the loop finished its last pass."""
        ...

    def settled(self) -> bool: ...

    def store_error(self) -> str | None: ...

    async def set_override(self, override: Override, *, replace: bool = False) -> Override:
        """Keep an override by (site, owner, services); gives it with its version.

        StoreConflict when another person's override holds the same and `replace` is not given.
        """
        ...

    async def drop_override(
        self, site: SiteName, owner: Owner | None = None, services: tuple[ServiceName, ...] = ()
    ) -> tuple[Override, ...]:
        """Release overrides of `site` (all persons' when `owner` is None); gives those."""
        ...

    async def set_pause(self, pause: Pause | None) -> None: ...

    async def set_mode(self, mode: Mode, owner: Owner, *, adopt: bool = False) -> None:
        """`adopt`: a person said yes to what the first plan would change."""
        ...

    async def acknowledge(
        self, site: SiteName | None, owner: Owner, reason: str, backend: BackendName | None = None
    ) -> None:
        """A site may return; what others changed again at a backend is put right."""
        ...

    async def look(self, probe: ProbeId) -> Seen:
        """One run of a configured probe; it changes no state."""
        ...

    async def confirm(self, digest: str, owner: Owner, reason: str) -> None: ...

    async def adopt(self, backend: BackendName, owner: Owner, reason: str) -> None: ...

    async def reload(
        self, *, remove: Sequence[SiteName] = (), loosen: bool = False, dry_run: bool = False
    ) -> tuple[str, ...]:
        """Read the file again; gives the differences in words. ConfigError: the old one stays."""
        ...

    async def events(self, query: Query) -> Sequence[Entry]: ...

    def told(self) -> AsyncIterator[Told]:
        """Every cycle that changed something, from now on. A slow reader is cut off."""
        ...

    async def changed(self, after: int, timeout_s: float) -> World:
        """The world once its version is above `after`, or as it is when `timeout_s` is over."""
        ...
