"""A store that forgets when it is dropped, for one replica or several; tests may make it fail."""

import asyncio
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from uuid import uuid4

from gslb.domain.errors import StoreConflict, StoreError
from gslb.ports import Document, Entry, Kept, Query

JOURNAL_MAX = 100_000


@dataclass(slots=True)
class Shared:
    """What all replicas see: documents as JSON text, so that nobody holds on to what was put in."""

    instance: str = field(default_factory=lambda: uuid4().hex[:12])
    epoch: int = 1
    revision: int = 0
    documents: dict[str, str] = field(default_factory=dict)
    journal: list[tuple[int, str]] = field(default_factory=list)
    seq: int = 0
    holder: "MemoryStore | None" = None
    """Who leads or was the last to lead; None: nobody campaigned, one process is its own term."""
    until_s: float = 0.0
    """When the lease ends, by the clock of the store (the event loop's)."""
    ttl_s: float = 0.0


class MemoryStore:
    """One replica's end of it. Offers `ports.Store` and `ports.Elector`."""

    def __init__(self, journal_max: int = JOURNAL_MAX, shared: Shared | None = None) -> None:
        self.error: str | None = None
        """While set, every call raises StoreError with it: a disk that is full or gone."""
        self.shared = shared or Shared()
        self._journal_max = journal_max

    def reopen(self) -> None:
        """What a restart of the process does: a new term."""
        self.shared.epoch += 1

    async def campaign(self, ttl_s: float) -> int | None:
        """As `ports.Elector.campaign`."""
        self._answer()
        shared, now_s = self.shared, asyncio.get_running_loop().time()
        if shared.holder is not None and now_s < shared.until_s:
            return None
        shared.holder, shared.until_s, shared.ttl_s = self, now_s + ttl_s, ttl_s
        shared.epoch += 1
        return shared.epoch

    async def renew(self, epoch: int) -> bool:
        """As `ports.Elector.renew`."""
        self._answer()
        if not self.leads(epoch):
            return False
        self.shared.until_s = asyncio.get_running_loop().time() + self.shared.ttl_s
        return True

    async def resign(self, epoch: int) -> None:
        """As `ports.Elector.resign`."""
        self._answer()
        if self.leads(epoch):
            self.shared.until_s = 0.0

    def leads(self, epoch: int) -> bool:
        """Is this replica in this term now?"""
        shared = self.shared
        if shared.holder is None:
            return epoch == shared.epoch
        now_s = asyncio.get_running_loop().time()
        return shared.holder is self and epoch == shared.epoch and now_s < shared.until_s

    async def load(self) -> Kept:
        """Everything but the journal."""
        self._answer()
        shared = self.shared
        documents = {key: json.loads(body) for key, body in shared.documents.items()}
        return Kept(shared.instance, shared.epoch, shared.revision, documents)

    async def commit(
        self,
        puts: Mapping[str, Document | None],
        *,
        if_revision: int | None = None,
        if_epoch: int | None = None,
    ) -> int:
        """As `ports.Store.commit`."""
        self._answer()
        shared = self.shared
        if if_epoch is not None and not self.leads(if_epoch):
            raise StoreConflict(f"the store is in term {shared.epoch}; {if_epoch} is over")
        if if_revision not in (None, shared.revision):
            raise StoreConflict(f"the store is at revision {shared.revision}, not {if_revision}")
        new = {key: document and json.dumps(document) for key, document in puts.items()}
        for key, body in new.items():
            if body is None:
                shared.documents.pop(key, None)
            else:
                shared.documents[key] = body or "{}"
        shared.revision += any(key.startswith("control/") for key in puts)
        return shared.revision

    async def append(self, documents: Sequence[Document]) -> int:
        """As `ports.Store.append`."""
        self._answer()
        shared = self.shared
        for body in [json.dumps(document) for document in documents]:
            shared.seq += 1
            shared.journal.append((shared.seq, body))
        del shared.journal[: -self._journal_max]
        return shared.seq

    async def read(self, query: Query) -> Sequence[Entry]:
        """As `ports.Store.read`."""
        self._answer()
        entries = [Entry(seq, json.loads(body)) for seq, body in self.shared.journal]
        found = [e for e in entries if _matches(e, query)]
        return found[-query.limit :] if query.after is None else found[: query.limit]

    def _answer(self) -> None:
        if self.error is not None:
            raise StoreError(self.error)


def _matches(entry: Entry, query: Query) -> bool:
    wall_s: float = entry.document.get("at", 0.0)
    return (
        entry.seq > (query.after or 0)
        and wall_s >= (query.since_wall_s or 0.0)
        and all(entry.document.get(key) == value for key, value in query.match.items())
    )
