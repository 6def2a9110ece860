"""Processes in the lab's namespaces: started, broken by signals, and ended by their own id."""

import asyncio
import os
import signal
from collections.abc import Mapping
from pathlib import Path

from tests.lab.network import Network


class Process:
    """One program in one namespace; it can be killed and started again."""

    def __init__(
        self,
        net: Network,
        node: str,
        log: Path,
        *command: str,
        env: Mapping[str, str] | None = None,
        spoken: bool = False,
    ) -> None:
        self.net, self.node, self.log, self.command = net, node, log, command
        self.env, self.spoken = dict(env or {}), spoken
        self.process: asyncio.subprocess.Process | None = None

    async def start(self) -> None:
        """`spoken`: until it says that it is ready; it then takes lines."""
        pipe = asyncio.subprocess.PIPE if self.spoken else asyncio.subprocess.DEVNULL
        with self.log.open("ab") as log:
            self.process = await asyncio.create_subprocess_exec(
                *self.net.inside(self.node),
                *self.command,
                stdin=pipe,
                stdout=asyncio.subprocess.PIPE if self.spoken else log,
                stderr=log,
                env=os.environ | self.env,
                cwd=self.log.parent,
            )
        if self.spoken:
            assert (await self._line()).startswith(b"ready"), self.tail

    async def _line(self) -> bytes:
        assert self.process
        assert self.process.stdout
        return await self.process.stdout.readline()

    async def tell(self, line: str) -> None:
        """One line, which it must say it has done."""
        assert self.process
        assert self.process.stdin
        self.process.stdin.write(f"{line}\n".encode())
        assert await self._line() == b"done\n", self.tail

    @property
    def tail(self) -> str:
        return self.log.read_text(errors="replace")[-2000:]

    def send(self, number: signal.Signals) -> None:
        assert self.process
        self.process.send_signal(number)

    async def end(self, number: signal.Signals = signal.SIGKILL) -> None:
        """For good, whatever state it is in. NSD needs SIGTERM: its children outlive it else."""
        if self.process is None:
            return
        if self.process.returncode is None:
            self.process.send_signal(number)
        await self.process.wait()
        if self.process.stdin:
            self.process.stdin.close()
        self.process = None
