"""What one step says: events and orders, collected while it is taken."""

from collections.abc import Mapping
from typing import Any

from gslb.domain.control import Now
from gslb.domain.messages import Event, EventKind, Keep, Order
from gslb.domain.topology import BackendName, ServiceName, SiteName
from gslb.domain.world import Memory


class Ledger:
    """Events and orders of one step, in order."""

    def __init__(self, now: Now) -> None:
        self.now = now
        self.events: list[Event] = []
        self.orders: list[Order] = []
        self._memories: dict[SiteName, Memory] = {}
        self._adopted: dict[BackendName, tuple[ServiceName, ...]] = {}
        self._conflicts: dict[BackendName, str | None] = {}
        self._incidents: int | None = None
        self._dropped: list[str] = []

    def say(self, kind: EventKind, text: str, **fields: Any) -> None:
        """Add an event; `fields` are those of Event."""
        boot_s, wall_s = self.now.boot_s, self.now.wall_s
        self.events.append(Event(kind=kind, text=text, boot_s=boot_s, wall_s=wall_s, **fields))

    def keep_memory(self, memory: Memory) -> None:
        self._memories[memory.site] = memory

    def keep_adopted(self, backend: BackendName, names: frozenset[ServiceName]) -> None:
        self._adopted[backend] = tuple(sorted(names))

    def keep_conflict(self, backend: BackendName, text: str | None) -> None:
        self._conflicts[backend] = text

    def keep_incidents(self, number: int) -> None:
        self._incidents = number

    def drop_override(self, key: str) -> None:
        self._dropped.append(key)

    def all_orders(self) -> tuple[Order, ...]:
        """What must be kept comes before what must be done."""
        kept: Mapping[str, Any] = {
            "memories": tuple(self._memories.values()),
            "adopted": self._adopted,
            "conflicts": self._conflicts,
            "incidents": self._incidents,
            "dropped": tuple(self._dropped),
        }
        asked = any(kept[k] for k in kept if k != "incidents") or self._incidents is not None
        return (*((Keep(**kept),) if asked else ()), *self.orders)
