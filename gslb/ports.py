"""All we ask of the outside, on one page. Adapters offer these; only `wiring.py` joins the two."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from typing import Any, Generic, Protocol, TypeVar

from gslb.domain.control import Now
from gslb.domain.health import Seen
from gslb.domain.messages import Event
from gslb.domain.traffic import Plan, Pool, Reading, Shape
from gslb.domain.world import World


class Clock(Protocol):
    """Both clocks. `boot_s` goes on while the machine is suspended (CLOCK_BOOTTIME)."""

    def now(self) -> Now: ...


class Probe(Protocol):
    """One kind of look at one site."""

    async def run(self) -> Seen:
        """Look once. Never raises for what the target does: that is a finding.

        May be cancelled at any time (the deadline of the run); frees what it holds then.
        """
        ...


class Backend(Protocol):
    """Something that hands out traffic. Raises BackendError, and nothing else."""

    async def read(self, pools: Sequence[Pool]) -> Reading:
        """What is served now for each pool, from where clients are answered."""
        ...

    async def apply(self, plan: Plan) -> None:
        """Carry out a plan. BackendFenced when the backend holds something else than `expects` or a
        change's `before`; nothing was changed then. Any other BackendError: unknown, read again."""
        ...


Document = Mapping[str, Any]
"""What JSON can hold."""


@dataclass(frozen=True, slots=True)
class Kept:
    """What the store holds: who we are, our term, and the documents by key."""

    instance: str
    epoch: int
    revision: int
    """Of the documents whose key begins with `control/`."""
    documents: Mapping[str, Document]


@dataclass(frozen=True, slots=True)
class Entry:
    """One event in the journal, with its number."""

    seq: int
    document: Document


@dataclass(frozen=True, slots=True, kw_only=True)
class Query:
    """Which journal entries: the newest `limit` that match, in order; or those after `after`."""

    after: int | None = None
    limit: int = 100
    match: Mapping[str, str] = field(default_factory=dict)
    """Fields of the event that must be equal: `{"site": "eu", "type": "site"}`."""
    since_wall_s: float | None = None


class Store(Protocol):
    """What survives a restart. Raises StoreError, StoreConflict, and nothing else."""

    async def load(self) -> Kept:
        """Everything but the journal."""
        ...

    async def commit(
        self,
        puts: Mapping[str, Document | None],
        *,
        if_revision: int | None = None,
        if_epoch: int | None = None,
    ) -> int:
        """Write documents (None: delete) in one durable transaction; gives the new revision.

        A key that begins with `control/` raises the revision by one. StoreConflict when
        `if_revision` is given and is not the present one, or when `if_epoch` is given and is not
        the term in which this replica leads now: nothing was written.
        """
        ...

    async def append(self, documents: Sequence[Document]) -> int:
        """Add events to the journal; gives the number of the last."""
        ...

    async def read(self, query: Query) -> Sequence[Entry]:
        """Read the journal."""
        ...


class Elector(Protocol):
    """Which of several replicas leads. Raises StoreError, and nothing else: then nobody knows."""

    async def campaign(self, ttl_s: float) -> int | None:
        """Take the lease for `ttl_s`; gives the epoch of the new term, above any that ever was.

        None: somebody has it (we ourselves, perhaps, by a request whose answer was lost).
        """
        ...

    async def renew(self, epoch: int) -> bool:
        """Have the lease of this term for `ttl_s` from now; False: that term is over."""
        ...

    async def resign(self, epoch: int) -> None:
        """End this term now, if it is not over."""
        ...


class Reporter(Protocol):
    """Told of events. Never waits and never raises; it keeps a bounded queue of its own."""

    def report(self, world: World, events: Sequence[Event]) -> None: ...


S = TypeVar("S")
T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Adapter(Generic[S, T]):
    """What an adapter's file offers as `ADAPTER`; its `kind` is the file's name."""

    kind: str
    settings: type[S]
    open: Callable[[S, Any], AbstractAsyncContextManager[T]]
    """`open(settings, wire)`; `wire` is a `gslb.wire.Wire`."""
    shape: Callable[[S], Shape] | None = None
    """Backends only: what it can say with these settings."""
