"""A store that forgets when it is dropped; tests may make it fail."""

import json
from collections.abc import Mapping, Sequence
from uuid import uuid4

from gslb.domain.errors import StoreConflict, StoreError
from gslb.ports import Document, Entry, Kept, Query

JOURNAL_MAX = 100_000


class MemoryStore:
    """Keeps documents as JSON text, so that nobody can hold on to what was put in."""

    def __init__(self, journal_max: int = JOURNAL_MAX) -> None:
        self.error: str | None = None
        """While set, every call raises StoreError with it: a disk that is full or gone."""
        self.instance = uuid4().hex[:12]
        self.epoch = 1
        self.revision = 0
        self._journal_max = journal_max
        self._documents: dict[str, str] = {}
        self._journal: list[tuple[int, str]] = []
        self._seq = 0

    def reopen(self) -> None:
        """What a restart of the process does: a new term."""
        self.epoch += 1

    async def load(self) -> Kept:
        """Everything but the journal."""
        self._answer()
        documents = {key: json.loads(body) for key, body in self._documents.items()}
        return Kept(self.instance, self.epoch, self.revision, documents)

    async def commit(
        self, puts: Mapping[str, Document | None], *, if_revision: int | None = None
    ) -> int:
        """As `ports.Store.commit`."""
        self._answer()
        if if_revision not in (None, self.revision):
            raise StoreConflict(f"the store is at revision {self.revision}, not {if_revision}")
        new = {key: document and json.dumps(document) for key, document in puts.items()}
        for key, body in new.items():
            if body is None:
                self._documents.pop(key, None)
            else:
                self._documents[key] = body or "{}"
        self.revision += any(key.startswith("control/") for key in puts)
        return self.revision

    async def append(self, documents: Sequence[Document]) -> int:
        """As `ports.Store.append`."""
        self._answer()
        for body in [json.dumps(document) for document in documents]:
            self._seq += 1
            self._journal.append((self._seq, body))
        del self._journal[: -self._journal_max]
        return self._seq

    async def read(self, query: Query) -> Sequence[Entry]:
        """As `ports.Store.read`."""
        self._answer()
        entries = [Entry(seq, json.loads(body)) for seq, body in self._journal]
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
