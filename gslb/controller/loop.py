"""The loop: step, believe at once, report, hand out the orders. It awaits nothing else."""

import asyncio
import contextlib
from collections.abc import Callable, Mapping, Sequence
from typing import assert_never

from gslb.controller.documents import shifted, to_document
from gslb.controller.inbox import Inbox
from gslb.controller.keeper import Keeper
from gslb.controller.pacer import Pacer
from gslb.controller.spoken import Spoken
from gslb.domain.errors import BackendError, BackendFenced, StoreConflict, StoreError
from gslb.domain.messages import (
    AnswersRead,
    Apply,
    BackendFailed,
    Event,
    Input,
    Keep,
    Order,
    PlanApplied,
    Read,
    SaveFailed,
    StoreHealth,
)
from gslb.domain.topology import BackendName, ProbeSpec
from gslb.domain.world import World
from gslb.policy.step import step
from gslb.ports import Backend, Clock, Reporter, Store
from gslb.wire.points import point

READ_DEADLINE_S = 10.0
APPLY_DEADLINE_S = 75.0
"""Adapters have shorter deadlines of their own; Route 53 waits up to 60 s for INSYNC."""
TICK_S = 0.001
IDLE_S = 1.0
"""The loop passes at least this often, so that it can be seen to live."""

Observe = Callable[[str, Read | Apply, float, Exception | None], None]
"""`observe(op, order, begun_s, error)`: a call that ended, of a backend (`read`, `apply`) or of the
store (`save`: the order's plan was written ahead, or goes on without)."""


class Loop:
    """One running core: its world, its inbox, and the tasks that carry its orders out."""

    def __init__(
        self,
        world: World,
        clock: Clock,
        store: Store,
        backends: Mapping[BackendName, Backend],
        *,
        embedded: bool = True,
        reporters: Sequence[Reporter] = (),
        observers: Sequence[Observe] = (),
        looked: Callable[[Input], None] = lambda seen: None,
        passed: Callable[[float, int], None] = lambda seconds, waiting: None,
        overrun: Callable[[ProbeSpec], None] = lambda spec: None,
        sentinel: Callable[[], None] = lambda: None,
    ) -> None:
        self.world = world
        self.clock = clock
        self.store = store
        self.backends = dict(backends)
        self.inbox = Inbox()
        self.keeper = Keeper(store, max(world.topology.store_timeout_s, 1.0), self.put)
        self.spoken = Spoken(store, clock, self.put)
        self.pacer = Pacer(clock, lambda: self.world, self.put, sentinel=sentinel, overrun=overrun)
        self.reporters: list[Reporter] = [self.keeper, *reporters]
        self.observers = list(observers)
        self.passed_at_s = clock.now().boot_s
        self.passed = asyncio.Condition()
        self._embedded = embedded
        self._looked = looked
        self._passed = passed
        self._wake_at_s: float | None = None
        self._under_way: set[asyncio.Task[None]] = set()

    def put(self, seen: Input) -> None:
        """Give the loop something to learn; never waits."""
        if isinstance(seen, StoreHealth) and seen.error == self.world.store_error:
            return
        self._looked(seen)
        self.inbox.put(seen)

    async def run(self) -> None:
        """Until cancelled. What is under way then is cancelled; what is served stays served."""
        try:
            async with asyncio.TaskGroup() as house:
                house.create_task(self.keeper.run(), name="keeper")
                house.create_task(self.pacer.run(), name="pacer")
                if not self._embedded:
                    house.create_task(self.spoken.follow(), name="words")
                house.create_task(self._cycles(house), name="loop")
        finally:
            await self.keeper.flush()

    async def _cycles(self, house: asyncio.TaskGroup) -> None:
        while True:
            await self.inbox.filled(self._wait_s())
            for order in self.cycle():
                task = house.create_task(self._carry_out(order), name=type(order).__name__)
                self._under_way.add(task)
                task.add_done_callback(self._under_way.discard)
            async with self.passed:
                self.passed.notify_all()

    def cycle(self) -> Sequence[Order]:
        """One step: no await in it, so nobody can slip in between."""
        now, epoch, seen = self.clock.now(), self.world.epoch, self.inbox.take_all()
        self.passed_at_s = now.boot_s
        due = self._wake_at_s is not None and now.boot_s >= self._wake_at_s
        if not (seen or due):
            return ()  # an empty step before its moment says nothing
        taken = step(self.world, seen, now)
        self.world, self._wake_at_s = taken.world, taken.wake_at_s
        if epoch not in (None, self.world.epoch):
            for task in self._under_way:  # an order is good for its own term only
                task.cancel()
        self._report(taken.events)
        self.pacer.poke()
        self._passed(self.clock.now().boot_s - now.boot_s, len(self.inbox))
        return taken.orders

    def _report(self, events: Sequence[Event]) -> None:
        for reporter in self.reporters:
            reporter.report(self.world, events)

    def _wait_s(self) -> float:
        if self._wake_at_s is None:
            return IDLE_S
        return min(max(self._wake_at_s - self.clock.now().boot_s, TICK_S), IDLE_S)

    async def _carry_out(self, order: Order) -> None:
        match order:
            case Read():
                await self._read(order)
            case Apply():
                await self._apply(order)
            case Keep():
                await self._keep(order)
            case _:
                assert_never(order)

    def _observe(
        self, op: str, order: Read | Apply, begun_s: float, error: Exception | None
    ) -> None:
        for observe in self.observers:
            observe(op, order, begun_s, error)

    async def _read(self, order: Read) -> None:
        begun_s = self.clock.now().boot_s
        error: Exception | None = None
        try:
            async with asyncio.timeout(READ_DEADLINE_S):
                reading = await self.backends[order.backend].read(order.pools)
            seen: Input = AnswersRead(
                backend=order.backend, epoch=order.epoch, reading=reading, begun_s=begun_s
            )
        except (BackendError, TimeoutError, KeyError) as failed:
            error = failed
            why = str(failed) or f"no answer within {READ_DEADLINE_S:.0f} s"
            seen = BackendFailed(backend=order.backend, epoch=order.epoch, error=why)
        self._observe("read", order, begun_s, error)
        self.put(seen)

    async def _apply(self, order: Apply) -> None:
        plan = order.plan
        begun_s: float | None = None  # of the call: what ended before it was none
        error: Exception | None = None
        try:
            # All of it: whatever does not end would hold the backend for good.
            async with asyncio.timeout(APPLY_DEADLINE_S):
                await point("after_verdict")
                if not await self._save(order):
                    return
                await point("after_save")
                begun_s = self.clock.now().boot_s
                if plan.epoch != self.world.epoch or begun_s >= self.world.lease_until_s:
                    self.put(SaveFailed(plan=plan, error="the term ended before it was sent"))
                    return
                await point("between_backends")
                await self.backends[plan.backend].apply(plan)
                await point("before_record")
            seen: Input = PlanApplied(plan=plan, begun_s=begun_s)
        except (BackendError, TimeoutError, KeyError) as failed:
            error = failed
            seen = BackendFailed(
                backend=plan.backend,
                epoch=plan.epoch,
                error=str(failed) or f"no answer within {APPLY_DEADLINE_S:.0f} s",
                fenced=isinstance(failed, BackendFenced),
                plan=plan,
            )
        if begun_s is not None:
            self._observe("apply", order, begun_s, error)
        self.put(seen)

    async def _save(self, order: Apply) -> bool:
        """Write the plan ahead, if the words that it saw are still the words that are in force."""
        plan = order.plan
        begun_s = self.clock.now().boot_s
        failed: Exception | None = None
        try:
            async with asyncio.timeout(self.world.topology.store_timeout_s):
                await self.store.commit(
                    {f"plan/{plan.backend}": to_document(plan)},
                    if_revision=order.revision,
                    if_epoch=plan.epoch,
                )
        except StoreConflict as error:
            newer = False
            with contextlib.suppress(StoreError):
                newer = (await self.spoken.load()).revision != order.revision
            self.put(SaveFailed(plan=plan, error=str(error), conflict=newer))
            return False
        except (StoreError, TimeoutError) as error:
            failed = error
            why = str(error) or "the store does not answer"
            self.put(StoreHealth(error=why))
            if not self._embedded:
                self.put(SaveFailed(plan=plan, error=why))
                return False
            # Alone on this machine: steering goes on within the guards (safety.md, "Decided").
        self._observe("save", order, begun_s, failed)
        return True

    async def _keep(self, order: Keep) -> None:
        now = self.clock.now()
        offset_s = now.wall_s - now.boot_s
        puts: dict[str, dict[str, object] | None] = {}
        for memory in order.memories:
            puts[f"site/{memory.site}"] = to_document(shifted(memory, offset_s))
        for name, services in order.adopted.items():
            puts[f"adopted/{name}"] = {"services": list(services)}
        for name, text in order.conflicts.items():
            puts[f"conflict/{name}"] = None if text is None else {"text": text}
        if order.incidents is not None:
            puts["incidents"] = {"number": order.incidents}
        self.keeper.put(puts)
        try:
            await self.spoken.forget(order.dropped)
        except StoreError as error:
            self.put(StoreHealth(error=str(error)))
