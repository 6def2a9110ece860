"""The HTTP client against small servers that behave, misbehave and attack."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest

from gslb.domain.errors import WireError
from gslb.domain.health import Cause
from gslb.wire.http import Http, NoAnswer, Reply, Request, open_http
from tests.kit import free_port

Talk = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


@asynccontextmanager
async def server(talk: Talk) -> AsyncIterator[int]:
    """A TCP server that talks as told; gives its port, and leaves no connection behind."""
    talks: set[asyncio.Task[None]] = set()

    async def on_client(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        me = asyncio.current_task()
        assert me
        talks.add(me)
        try:
            await talk(reader, writer)
        except (ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass
        finally:
            talks.discard(me)
            writer.transport.abort()

    listening = await asyncio.start_server(on_client, "127.0.0.1", 0)
    try:
        yield listening.sockets[0].getsockname()[1]
    finally:
        listening.close()
        for task in list(talks):
            task.cancel()
        await asyncio.gather(*talks)


def always(answer: bytes) -> Talk:
    """One answer for every question, on a kept connection."""

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            await reader.readuntil(b"\r\n\r\n")
            writer.write(answer)
            await writer.drain()

    return talk


@pytest.fixture
async def http() -> AsyncIterator[Http]:
    async with open_http(["127.0.0.0/8"]) as opened:
        yield opened


async def ask(http: Http, port: int, **options: object) -> Reply:
    given = {"url": f"http://127.0.0.1:{port}/", "timeout_s": 5.0, **options}
    return await http.ask(Request(**given))  # type: ignore[arg-type]  # a test's shorthand


async def cause_of(http: Http, port: int, **options: object) -> Cause:
    with pytest.raises(WireError) as caught:
        await ask(http, port, **options)
    return Cause(caught.value.cause)


async def test_an_answer_comes_with_status_headers_and_body(http: Http) -> None:
    async with server(always(b"HTTP/1.1 503 Busy\r\nX-Why: x\r\nContent-Length: 2\r\n\r\nno")) as p:
        reply = await ask(http, p)
    assert (reply.status, reply.headers["x-why"], reply.body) == (503, "x", b"no")
    assert not reply.truncated
    assert reply.took_s > 0


async def test_nobody_listening_is_refused(http: Http) -> None:
    assert await cause_of(http, free_port()) == Cause.REFUSED


async def test_silence_on_a_standing_connection_is_told_from_no_connection(http: Http) -> None:
    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()

    async with server(silent) as port:
        with pytest.raises(NoAnswer) as caught:
            await ask(http, port, timeout_s=0.1)
    assert caught.value.cause == Cause.TIMEOUT
