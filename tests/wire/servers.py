"""Small TCP servers that say exactly what a test wants, and certificates for them."""

import asyncio
import ssl
import subprocess
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

Talk = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@asynccontextmanager
async def server(
    talk: Talk, *, port: int = 0, tls: ssl.SSLContext | None = None
) -> AsyncIterator[int]:
    """A server on 127.0.0.1 that talks as told; gives its port, and leaves no connection behind."""
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

    listening = await asyncio.start_server(on_client, "127.0.0.1", port, ssl=tls)
    try:
        yield listening.sockets[0].getsockname()[1]
    finally:
        listening.close()
        under_way = list(talks)
        for task in under_way:
            task.cancel()
        await asyncio.gather(*under_way)


def page(status: int, body: bytes | str = b"", *headers: str) -> bytes:
    """A whole answer."""
    body = body.encode() if isinstance(body, str) else body
    lines = [f"HTTP/1.1 {status} Said", f"Content-Length: {len(body)}", *headers]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


def always(answer: bytes, heard: list[bytes] | None = None) -> Talk:
    """One answer for every question, on a kept connection; `heard` gets the questions."""

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            question = await reader.readuntil(b"\r\n\r\n")
            if heard is not None:
                heard.append(question)
            writer.write(answer)
            await writer.drain()

    return talk


def by_path(answers: dict[str, bytes | None]) -> Talk:
    """An answer by path; None or an unknown path: silence."""

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            question = await reader.readuntil(b"\r\n\r\n")
            answer = answers.get(question.split(b" ")[1].decode())
            if answer is None:
                await reader.read()
                return
            writer.write(answer)
            await writer.drain()

    return talk


async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Listens, and says nothing."""
    await reader.read()


@dataclass(frozen=True)
class Certificates:
    """A CA of our own, and a server's context with a certificate for `quay.example` from it."""

    ca: Path
    server: ssl.SSLContext


def certificates(folder: Path) -> Certificates:
    """Made new by openssl, in `folder`."""
    new = ("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256")
    ca, key, cert = folder / "ca.pem", folder / "key.pem", folder / "cert.pem"
    ca_key = folder / "ca.key"
    own = ("-nodes", "-days", "2", "-keyout", str(ca_key), "-out", str(ca), "-subj", "/CN=test CA")
    leaf = ("-nodes", "-days", "2", "-keyout", str(key), "-out", str(cert))
    name = ("-subj", "/CN=quay.example", "-addext", "subjectAltName=DNS:quay.example")
    by_ca = ("-CA", str(ca), "-CAkey", str(ca_key), "-addext", "basicConstraints=CA:FALSE")
    subprocess.run([*new, *own], check=True, capture_output=True)
    subprocess.run([*new, *leaf, *name, *by_ca], check=True, capture_output=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(cert, key)
    return Certificates(ca, context)
