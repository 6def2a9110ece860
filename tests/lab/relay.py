"""A relay before a store, as a process of its own: `python -m tests.lab.relay HOST PORT TO`.

It says `ready`, takes a line from its standard input for each change, and says `done`:
`pass`, `drip` (each answer comes byte by byte), `slow SECONDS`, `half` (every second request is
answered 500), `stall` (takes what is sent, answers nothing).
"""

import asyncio
import re
import sys

REQUEST = re.compile(rb"(PUT|GET|HEAD|DELETE|POST) /")
BROKEN = b"HTTP/1.1 500 Internal Server Error\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
DRIP_EVERY_S = 0.2


class Relay:
    """All connections, and the fault that is on."""

    def __init__(self, host: str, to: int) -> None:
        self.host, self.to, self.fault, self.asked = host, to, "pass", 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            up_reader, up_writer = await asyncio.open_connection(self.host, self.to)
        except OSError:
            writer.transport.abort()
            return
        try:
            async with asyncio.TaskGroup() as both:
                both.create_task(self._up(reader, up_writer, writer))
                both.create_task(self._down(up_reader, writer))
        except* OSError:
            pass
        finally:
            writer.transport.abort()
            up_writer.transport.abort()

    async def _up(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        back: asyncio.StreamWriter,
    ) -> None:
        while chunk := await reader.read(65536):
            if REQUEST.match(chunk):
                self.asked += 1
                if self.fault == "half" and self.asked % 2:
                    back.write(BROKEN)
                    await back.drain()
                    back.close()
                    raise ConnectionAbortedError
            if self.fault == "stall":
                continue
            writer.write(chunk)
            await writer.drain()
        raise ConnectionAbortedError  # the asker has left: so does the other half

    async def _down(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while chunk := await reader.read(65536):
            fault, _, figure = self.fault.partition(" ")
            if fault == "slow":
                await asyncio.sleep(float(figure))
            while fault == "drip" and self.fault == "drip" and chunk:
                writer.write(chunk[:1])
                await writer.drain()
                chunk = chunk[1:]
                await asyncio.sleep(DRIP_EVERY_S)
            if self.fault != "stall":
                writer.write(chunk)
                await writer.drain()
        raise ConnectionAbortedError


async def run(host: str, port: int, to: int) -> None:
    lines, relay = asyncio.StreamReader(), Relay(host, to)
    await asyncio.get_running_loop().connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(lines), sys.stdin
    )
    async with await asyncio.start_server(relay.serve, host, port):
        sys.stdout.write("ready\n")
        sys.stdout.flush()
        while line := await lines.readline():
            relay.fault = line.decode().strip()
            sys.stdout.write("done\n")
            sys.stdout.flush()


if __name__ == "__main__":
    asyncio.run(run(sys.argv[1], int(sys.argv[2]), int(sys.argv[3])))
