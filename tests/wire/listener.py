"""A TCP server for one test, whose connections are closed when it ends."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress

Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@asynccontextmanager
async def listening(serve: Serve, path: str | None = None) -> AsyncIterator[int]:
    """Serve each connection on loopback (or on the unix socket `path`); gives the port."""
    tasks: set[asyncio.Task[None]] = set()

    async def one(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        tasks.add(task)
        try:
            with suppress(OSError, EOFError):
                await serve(reader, writer)
        finally:
            writer.close()
            with suppress(OSError):
                await writer.wait_closed()

    if path is None:
        server = await asyncio.start_server(one, "127.0.0.1", 0)
    else:
        server = await asyncio.start_unix_server(one, path)
    try:
        yield 0 if path else int(server.sockets[0].getsockname()[1])
    finally:
        server.close()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Takes everything and says nothing."""
    await reader.read()


async def slam(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Closes at once."""
