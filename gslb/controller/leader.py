"""Keeps the lease: campaigns, renews while the loop lives, and says when a term is over."""

import asyncio
import contextlib

from gslb.controller.documents import remembered
from gslb.controller.loop import Loop
from gslb.domain.errors import StoreError
from gslb.domain.messages import LeaseChanged
from gslb.ports import Elector

TTL_S = 15.0
RENEW_S = 3.0
REQUEST_S = 2.0
MARGIN_S = 5.0
"""By so much our own term ends before the store gives the lease to another."""
assert RENEW_S + 2 * REQUEST_S + MARGIN_S <= TTL_S


class Leader:
    """One replica's side of the election, with a timer of its own."""

    def __init__(self, elector: Elector, loop: Loop) -> None:
        self._elector = elector
        self._loop = loop
        self._epoch: int | None = None
        self._until_s = 0.0
        self._asked_at_s = 0.0

    async def run(self) -> None:
        """Until cancelled. A replica stands for election once it knows what it would decide on."""
        while True:
            begun_s = self._loop.clock.now().boot_s
            if self._epoch is not None and begun_s >= self._until_s:
                self._over()
            # Renewed only by a living loop: one that is stuck loses the lease by itself.
            if self._loop.world.settled and self._loop.passed_at_s > self._asked_at_s:
                with contextlib.suppress(StoreError, TimeoutError):
                    async with asyncio.timeout(REQUEST_S):
                        await self._ask(begun_s)
            now_s = self._loop.clock.now().boot_s
            rest_s = begun_s + RENEW_S - now_s
            if self._epoch is not None:
                rest_s = min(rest_s, self._until_s - now_s)
            await asyncio.sleep(max(rest_s, 0.0))

    async def resign(self) -> None:
        """Let another lead at once; after the loop has ended."""
        if self._epoch is not None:
            with contextlib.suppress(StoreError, TimeoutError):
                async with asyncio.timeout(REQUEST_S):
                    await self._elector.resign(self._epoch)

    async def _ask(self, begun_s: float) -> None:
        """Time counts from before the question: the answer may have been long under way."""
        self._asked_at_s = begun_s
        until_s = begun_s + TTL_S - MARGIN_S
        if self._epoch is not None:
            if not await self._elector.renew(self._epoch):
                self._over()
                return
            self._until_s = until_s
        elif (epoch := await self._elector.campaign(TTL_S)) is not None:
            # What the leader before us kept counts, and what people said until now.
            kept = await self._loop.spoken.load()
            self._loop.put(remembered(kept, self._loop.clock.now()))
            self._epoch, self._until_s = epoch, until_s
        if self._epoch is not None:
            self._loop.put(LeaseChanged(epoch=self._epoch, until_s=self._until_s))

    def _over(self) -> None:
        self._epoch = None
        self._loop.put(LeaseChanged(epoch=None))
