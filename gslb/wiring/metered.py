"""A store whose calls are timed and counted for the metrics."""

import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import TypeVar

from gslb.domain.errors import StoreError
from gslb.ports import Document, Entry, Kept, Query, Store

T = TypeVar("T")
Count = Callable[[str, float, str | None], None]


class Metered:
    """As `ports.Store`; `count(op, seconds, kind of failure)` after each call."""

    def __init__(self, store: Store, count: Count) -> None:
        self._store = store
        self._count = count

    async def load(self) -> Kept:
        return await self._timed("load", self._store.load())

    async def commit(
        self,
        puts: Mapping[str, Document | None],
        *,
        if_revision: int | None = None,
        if_epoch: int | None = None,
    ) -> int:
        call = self._store.commit(puts, if_revision=if_revision, if_epoch=if_epoch)
        return await self._timed("commit", call)

    async def append(self, documents: Sequence[Document]) -> int:
        return await self._timed("append", self._store.append(documents))

    async def read(self, query: Query) -> Sequence[Entry]:
        return await self._timed("read", self._store.read(query))

    async def _timed(self, op: str, call: Awaitable[T]) -> T:
        began_s, failed = time.monotonic(), None
        try:
            return await call
        except StoreError as error:
            failed = type(error).__name__
            raise
        finally:
            self._count(op, time.monotonic() - began_s, failed)
