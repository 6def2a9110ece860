"""Targets that a probe may meet and must survive: each is what a server does with a connection."""

import asyncio
import gzip
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass

CHUNK = b"x" * 65_536
BOMB = gzip.compress(b"\0" * 50_000_000, 9)
OK = b"HTTP/1.1 200 OK\r\n"
DRIP_S = 0.1

Act = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


async def _asked(reader: asyncio.StreamReader) -> None:
    """Until the head of a request is here; of what follows nothing is read."""
    await reader.readuntil(b"\r\n\r\n")


async def _for_ever(writer: asyncio.StreamWriter, first: bytes, again: bytes) -> None:
    writer.write(first)
    while True:
        writer.write(again)
        await writer.drain()
        await asyncio.sleep(0)


def flood(first: bytes, again: bytes) -> Act:
    """Answers by `first`, and then by `again` for ever, as fast as it is read."""

    async def act(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await _asked(reader)
        await _for_ever(writer, first, again)

    return act


def said(answer: bytes, *, close: bool = True) -> Act:
    """Answers by these octets, and hangs up or does not."""

    async def act(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await _asked(reader)
        writer.write(answer)
        await writer.drain()
        if not close:
            await reader.read()

    return act


async def drip(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """One octet at a time."""
    await _asked(reader)
    writer.write(OK + b"Content-Length: 1000000\r\n\r\n")
    while True:
        writer.write(b"x")
        await writer.drain()
        await asyncio.sleep(DRIP_S)


async def drip_of_the_head(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await _asked(reader)
    writer.write(OK + b"X-Slow: ")
    while True:
        writer.write(b"x")
        await writer.drain()
        await asyncio.sleep(DRIP_S)


async def slow_handshake(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """TLS: the head of a ServerHello that never ends."""
    await reader.read(1)
    writer.write(b"\x16\x03\x03\x40\x00\x02\x00\x3f\xfc\x03\x03")
    while True:
        writer.write(b"\0")
        await writer.drain()
        await asyncio.sleep(DRIP_S)


async def handshake_of_noise(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.read(1)
    await _for_ever(writer, b"", CHUNK)


async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Takes the connection and says nothing."""
    await reader.read()


async def gone(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Hangs up at once."""


def redirect(to: str) -> Act:
    """Sends whoever asks somewhere else."""
    return said(b"HTTP/1.1 302 Found\r\nLocation: %s\r\nContent-Length: 0\r\n\r\n" % to.encode())


LENGTH = OK + b"Content-Length: "
CHUNKED = OK + b"Transfer-Encoding: chunked\r\n\r\n"
TARGETS: dict[str, Act] = {
    "endless body": flood(OK + b"\r\n", CHUNK),
    "endless chunked body": flood(CHUNKED, b"10000\r\n" + CHUNK + b"\r\n"),
    "endless chunk extension": flood(CHUNKED + b"1;", CHUNK),
    "endless trailer": flood(CHUNKED + b"0\r\n", b"X-More: x\r\n" * 1000),
    "many headers": flood(OK, b"X-More: x\r\n" * 1000),
    "one endless header": flood(OK + b"X-Large: ", CHUNK),
    "endless status line": flood(b"HTTP/1.1 200 ", CHUNK),
    "1xx flood": flood(b"", b"HTTP/1.1 100 Continue\r\n\r\n" * 1000),
    "early hints flood": flood(b"", b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n" * 1000),
    "drip": drip,
    "drip of the head": drip_of_the_head,
    "silent": silent,
    "gone": gone,
    "length too long": said(LENGTH + b"100\r\n\r\nhealthy"),
    "length too long and held": said(LENGTH + b"100\r\n\r\nhealthy", close=False),
    "length too short": said(LENGTH + b"3\r\n\r\nhealthy and more"),
    "two lengths": said(LENGTH + b"3\r\nContent-Length: 7\r\n\r\nhealthy"),
    "length below nothing": said(LENGTH + b"-7\r\n\r\nhealthy"),
    "length and chunks": said(LENGTH + b"7\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nhealthy"),
    "bad chunk": said(CHUNKED + b"zz\r\nhealthy\r\n0\r\n\r\n"),
    "chunk cut": said(CHUNKED + b"100\r\nhealthy"),
    "gzip bomb": said(
        LENGTH + b"%d\r\nContent-Encoding: gzip\r\n\r\n" % len(BOMB) + BOMB, close=False
    ),
    "HTTP/0.9": said(b"healthy, as in 1991\n"),
    "no HTTP at all": said(b"220 mail.example.com ESMTP\r\n", close=False),
    "metadata": redirect("http://169.254.169.254/latest/meta-data/"),
    "slow handshake": slow_handshake,
    "handshake of noise": handshake_of_noise,
}


@dataclass
class Server:
    """One of them, on loopback."""

    address: str
    port: int
    asked: int = 0
    """Connections so far, and those that are open."""
    open: int = 0


@asynccontextmanager
async def serving(act: Act, address: str = "127.0.0.1") -> AsyncIterator[Server]:
    """Until the block ends; then every connection is cut."""
    found = Server(address, 0)
    tasks = set[asyncio.Task[None]]()

    async def one(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        found.asked += 1
        found.open += 1
        acting = asyncio.ensure_future(act(reader, writer))
        ended = asyncio.ensure_future(_left(writer))
        try:
            await asyncio.wait((acting, ended), return_when=asyncio.FIRST_COMPLETED)
        finally:
            found.open -= 1
            for task in (acting, ended):
                task.cancel()
            await asyncio.gather(acting, ended, return_exceptions=True)
            writer.transport.abort()

    def begin(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.ensure_future(one(reader, writer))
        tasks.add(task)
        task.add_done_callback(tasks.discard)

    server = await asyncio.start_server(begin, address, 0)
    found.port = server.sockets[0].getsockname()[1]
    try:
        async with server:
            yield found
    finally:
        for task in list(tasks):
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _left(writer: asyncio.StreamWriter) -> None:
    """Until the other side is gone."""
    with suppress(ConnectionError):
        await writer.wait_closed()
