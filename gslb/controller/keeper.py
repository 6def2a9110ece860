"""Keeps what must survive, in order, beside the loop: documents and the journal.

What cannot be written now is kept in memory and tried again, so that a full disk stops neither
probing nor steering (safety.md, "Decided").
"""

import asyncio
from collections import deque
from collections.abc import Callable, Mapping, Sequence

from gslb.controller.documents import to_document
from gslb.domain.errors import StoreError
from gslb.domain.messages import Event, StoreHealth
from gslb.domain.world import World
from gslb.ports import Document, Store

EVENTS_MAX = 10_000
RETRY_S = 1.0


class Keeper:
    """A writer with a bounded queue of its own; also the reporter of the journal."""

    def __init__(
        self, store: Store, timeout_s: float, health: Callable[[StoreHealth], None]
    ) -> None:
        self._store = store
        self._timeout_s = timeout_s
        self._health = health
        self._puts: dict[str, Document | None] = {}
        self._events: deque[Document] = deque(maxlen=EVENTS_MAX)
        self._work = asyncio.Event()
        self._busy = False
        self._epoch: int | None = None
        self.next_seq = 1
        """The number that the next event in line will have."""

    def put(self, puts: Mapping[str, Document | None]) -> None:
        """Keep these documents soon; a later one of the same key replaces an earlier."""
        if puts:
            self._puts.update(puts)
            self._work.set()

    def report(self, world: World, events: Sequence[Event]) -> None:
        """Add events to the journal. What an earlier term left to be kept is forgotten."""
        if self._epoch not in (None, world.epoch):
            self._puts.clear()
        self._epoch = world.epoch
        self.next_seq += len(events)
        for event in events:
            self._events.append(event_document(event))
            self._work.set()

    async def run(self) -> None:
        """Write what there is; after a failure, a second later again."""
        while True:
            await self._work.wait()
            self._work.clear()
            if not await self._write():
                self._work.set()
                await asyncio.sleep(RETRY_S)

    async def flush(self) -> None:
        """Write what is left, once: at the end."""
        await self._write()

    @property
    def idle(self) -> bool:
        """Is everything written?"""
        return not (self._puts or self._events or self._busy)

    async def _write(self) -> bool:
        puts, events = dict(self._puts), list(self._events)
        self._puts.clear()
        self._events.clear()
        self._busy = True
        try:
            async with asyncio.timeout(self._timeout_s):
                if puts:
                    await self._store.commit(puts, if_epoch=self._epoch)
                    puts = {}
                if events:
                    last = await self._store.append(events)
                    self.next_seq = last + len(self._events) + 1
                    events = []
        except (StoreError, TimeoutError) as error:
            why = str(error) or f"no answer within {self._timeout_s:.0f} s"
            self._health(StoreHealth(error=why))
            self._puts = {**puts, **self._puts}
            self._events.extendleft(reversed(events))
            return False
        finally:
            self._busy = False
        self._health(StoreHealth(error=None))
        return True


def event_document(event: Event) -> Document:
    """An event as the journal and the API show it; `type` and `at` (wall clock, seconds)."""
    document = {k: v for k, v in to_document(event).items() if v not in (None, [])}
    document["type"] = document.pop("kind")
    document["at"] = document.pop("wall_s")
    document.pop("boot_s", None)
    if event.owner is not None:
        document["owner"] = str(event.owner)
    if event.figures:
        document["figures"] = dict(event.figures)
    return document
