"""Between a replica and what it talks to: requests and answers that come late, or never."""

import asyncio
import contextvars
import random
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar, cast

from gslb.backends.memory import Memory as MemoryBackend
from gslb.domain.errors import BackendError, GslbError, StoreError
from gslb.domain.traffic import Plan, Pool, Reading
from gslb.ports import Document, Entry, Kept, Query
from gslb.stores.memory import MemoryStore
from tests.simulation.virtual import VirtualLoop

T = TypeVar("T")
BACKEND_DEADLINE_S = 9.0


@dataclass
class Wire:
    """One way to one server. What is under way goes on when the caller is gone or frozen."""

    dice: random.Random
    late_s: float = 0.0
    """Up to so much each way."""
    lost: float = 0.0
    """The chance that a request is lost, and that an answer is."""
    cut: bool = False
    flying: set[asyncio.Task[None]] = field(default_factory=set)

    async def close(self) -> None:
        """Nothing is under way any more."""
        for task in self.flying:
            task.cancel()
        await asyncio.gather(*self.flying, return_exceptions=True)

    async def ask(self, call: Callable[[], Awaitable[T]]) -> T:
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[T] = loop.create_future()
        task = loop.create_task(self._serve(call, answer), context=contextvars.Context())
        self.flying.add(task)
        task.add_done_callback(self.flying.discard)
        return await answer

    async def _serve(self, call: Callable[[], Awaitable[T]], answer: asyncio.Future[T]) -> None:
        there_s, back_s = (self._delay_s() for _ in range(2))
        lost_there, lost_back = (self.dice.random() < self.lost for _ in range(2))
        await asyncio.sleep(there_s)
        if lost_there or self.cut:
            return
        try:
            value, error = await call(), None
        except GslbError as failed:
            value, error = None, failed
        await asyncio.sleep(back_s)
        if lost_back or self.cut or answer.done():
            return
        if error is None:
            answer.set_result(cast("T", value))
        else:
            answer.set_exception(error)

    def _delay_s(self) -> float:
        return 0.001 + self.late_s * self.dice.random()


class FarStore:
    """`ports.Store` and `ports.Elector` over a wire; the callers bound their waits."""

    def __init__(
        self, near: MemoryStore, wire: Wire, *, said: Callable[[], None], saving: Callable[[], None]
    ) -> None:
        self.near, self.wire, self.said, self.saving = near, wire, said, saving
        self.dead = False

    async def load(self) -> Kept:
        return await self._ask(self.near.load)

    async def commit(
        self,
        puts: Mapping[str, Document | None],
        *,
        if_revision: int | None = None,
        if_epoch: int | None = None,
    ) -> int:
        puts = dict(puts)
        if any(key.startswith("plan/") for key in puts):
            self.saving()

        async def keep() -> int:
            before = self.near.shared.revision
            after = await self.near.commit(puts, if_revision=if_revision, if_epoch=if_epoch)
            if after != before:
                self.said()
            return after

        return await self._ask(keep)

    async def append(self, documents: Sequence[Document]) -> int:
        return await self._ask(lambda: self.near.append(documents))

    async def read(self, query: Query) -> Sequence[Entry]:
        return await self._ask(lambda: self.near.read(query))

    async def campaign(self, ttl_s: float) -> int | None:
        return await self._ask(lambda: self.near.campaign(ttl_s))

    async def renew(self, epoch: int) -> bool:
        return await self._ask(lambda: self.near.renew(epoch))

    async def resign(self, epoch: int) -> None:
        return await self._ask(lambda: self.near.resign(epoch))

    async def _ask(self, call: Callable[[], Awaitable[T]]) -> T:
        if self.dead:
            raise StoreError("this process is gone")
        return await self.wire.ask(call)


class FarBackend:
    """`ports.Backend` over a wire, with a deadline of its own, as the real ones have."""

    def __init__(
        self,
        near: MemoryBackend,
        wire: Wire,
        *,
        sent: Callable[[Plan], bool],
        accepted: Callable[[Plan], None],
    ) -> None:
        self.near, self.wire, self.sent, self.accepted = near, wire, sent, accepted
        self.dead = False
        self.term: Callable[[], int | None] = lambda: None
        self.read_in: int | None = None
        """The term in which the last answer was asked for."""

    async def read(self, pools: Sequence[Pool]) -> Reading:
        asked_in = self.term()
        reading = await self._ask(lambda: self.near.read(pools))
        self.read_in = asked_in
        return reading

    async def apply(self, plan: Plan) -> None:
        if self.sent(plan):  # stopped between the last look at the lease and the first byte
            await asyncio.sleep(0)

        async def carry_out() -> None:
            try:
                await self.near.apply(plan)
            finally:
                if self.near.history and self.near.history[-1] is plan:
                    self.accepted(plan)

        await self._ask(carry_out)

    async def _ask(self, call: Callable[[], Awaitable[T]]) -> T:
        if self.dead:
            raise BackendError("this process is gone")
        try:
            async with asyncio.timeout(BACKEND_DEADLINE_S):
                return await self.wire.ask(call)
        except TimeoutError:
            raise BackendError("no answer in time") from None


def virtual() -> VirtualLoop:
    """The loop that runs now."""
    loop: Any = asyncio.get_running_loop()
    assert isinstance(loop, VirtualLoop)
    return loop
