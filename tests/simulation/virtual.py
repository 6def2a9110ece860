"""An event loop in virtual time, in which a whole process can be stopped as SIGSTOP does it.

Nothing waits for the machine: when nobody is ready, the time is that of the next timer. Tasks carry
the name of their process in their context; while it is frozen nothing of it runs, whatever comes
for it is parked, and its timers go off when it is thawed.
"""

import asyncio
import contextvars
import heapq
from asyncio.base_events import BaseEventLoop
from collections.abc import Coroutine
from typing import Any, TypeVar

T = TypeVar("T")
WHO: contextvars.ContextVar[str] = contextvars.ContextVar("who")


class VirtualLoop(BaseEventLoop):
    """Only what runs in this loop: no sockets, no threads, no processes."""

    def __init__(self) -> None:
        super().__init__()
        self._now_s = 0.0
        self._frozen: dict[str, list[asyncio.Handle]] = {}

    def time(self) -> float:
        return self._now_s

    def freeze(self, who: str) -> None:
        """Stop a process at this instant."""
        self._frozen.setdefault(who, [])

    def thaw(self, who: str) -> None:
        """Let it go on with what came for it meanwhile."""
        self._ready.extend(self._frozen.pop(who, ()))

    def _run_once(self) -> None:
        timers = self._scheduled
        while timers and timers[0]._cancelled:
            heapq.heappop(timers)._scheduled = False
        if not self._ready:
            if not timers:
                raise RuntimeError("everybody waits for somebody else")
            self._now_s = max(timers[0]._when, self._now_s)
        while timers and timers[0]._when <= self._now_s:
            timer = heapq.heappop(timers)
            timer._scheduled = False
            self._ready.append(timer)
        for _ in range(len(self._ready)):
            handle = self._ready.popleft()
            if handle._cancelled:
                continue
            parked = self._frozen.get(handle._context.get(WHO, "")) if self._frozen else None
            if parked is None:
                handle._run()
            else:
                parked.append(handle)

    def _process_events(self, event_list: Any) -> None:
        """There are none."""

    def _write_to_self(self) -> None:
        """Nobody else writes."""


def context_of(who: str) -> contextvars.Context:
    """For all that is started in it to belong to the process `who`."""
    context = contextvars.Context()
    context.run(WHO.set, who)
    return context


def live(main: Coroutine[Any, Any, T]) -> T:
    """Run it to its end in a loop of its own."""
    loop = VirtualLoop()
    try:
        return loop.run_until_complete(main)
    finally:
        loop.close()
