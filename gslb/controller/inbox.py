"""The one door: everything that reaches the loop comes through here, and nobody waits at it."""

import asyncio

from gslb.domain.messages import Input, ProbeRan

PER_PROBE_MAX = 64


class Inbox:
    """A bounded list of inputs. Results of one probe beyond the bound push out its oldest."""

    def __init__(self) -> None:
        self._inputs: list[Input] = []
        self._filled = asyncio.Event()
        self.merged = 0

    def __len__(self) -> int:
        return len(self._inputs)

    def put(self, seen: Input) -> None:
        """Never waits."""
        if isinstance(seen, ProbeRan) and len(self._inputs) >= PER_PROBE_MAX:
            same = [x for x in self._inputs if isinstance(x, ProbeRan) and x.probe == seen.probe]
            if len(same) >= PER_PROBE_MAX:
                self._inputs.remove(same[0])
                self.merged += 1
        self._inputs.append(seen)
        self._filled.set()

    def take_all(self) -> list[Input]:
        """All that is there now, in order."""
        taken, self._inputs = self._inputs, []
        self._filled.clear()
        return taken

    async def filled(self, timeout_s: float | None) -> None:
        """Until there is something, or the time is over."""
        try:
            async with asyncio.timeout(timeout_s):
                await self._filled.wait()
        except TimeoutError:
            return
