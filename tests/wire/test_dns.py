"""One DNS exchange against small servers that answer in every wrong way."""

import asyncio
import base64
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from typing import cast

import dns.flags
import dns.message
import dns.rcode
import dns.rrset
import dns.update
import pytest

from gslb.domain.errors import WireError
from gslb.wire.dns import (
    Server,
    Unsent,
    canonical,
    exchange,
    kind_of,
    look_up,
    parse_key,
    parse_name,
    parse_server,
)
from tests.kit import free_port
from tests.wire.listener import listening

SECRET = base64.b64encode(b"fake-secret-fake-secret-fake-sec").decode()
KEY_TEXT = f'key "gslb" {{\n\talgorithm hmac-sha256;\n\tsecret "{SECRET}";\n}};\n'
KEY = parse_key(KEY_TEXT)
Reply = Callable[[dns.message.Message], bytes]


class Udp(asyncio.DatagramProtocol):
    """Answers each datagram with what `replies` says: none, one or several."""

    def __init__(self, replies: Callable[[dns.message.Message], list[bytes]]) -> None:
        self.replies = replies
        self.seen = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.DatagramTransport, transport)

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        self.seen += 1
        for reply in self.replies(dns.message.from_wire(data, keyring=False)):
            self.transport.sendto(reply, addr)


@asynccontextmanager
async def tcp(reply: Reply) -> AsyncIterator[Server]:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        size = int.from_bytes(await reader.readexactly(2), "big")
        raw = reply(dns.message.from_wire(await reader.readexactly(size), keyring={KEY.name: KEY}))
        writer.write(len(raw).to_bytes(2, "big") + raw if raw else b"")

    async with listening(serve) as port:
        yield Server("127.0.0.1", port)


@asynccontextmanager
async def udp(
    replies: Callable[[dns.message.Message], list[bytes]], port: int = 0
) -> AsyncIterator[tuple[Server, Udp]]:
    transport, peer = await asyncio.get_running_loop().create_datagram_endpoint(
        lambda: Udp(replies), local_addr=("127.0.0.1", port)
    )
    try:
        yield Server("127.0.0.1", transport.get_extra_info("sockname")[1]), peer
    finally:
        transport.close()


def update() -> dns.message.Message:
    message = dns.update.UpdateMessage("geo.test")
    message.add("www", 5, "A", "192.0.2.1")
    message.use_tsig(KEY)
    return message


def answered(query: dns.message.Message, rcode: int = 0, flags: int = 0, text: str = "") -> bytes:
    reply = dns.message.make_response(query)
    reply.set_rcode(dns.rcode.Rcode(rcode))
    reply.flags |= flags
    if text:
        reply.answer.append(dns.rrset.from_text("www.geo.test.", 5, "IN", "A", text))
    return reply.to_wire()


def unsigned(query: dns.message.Message, rcode: int) -> bytes:
    reply = dns.message.QueryMessage(id=query.id)
    reply.flags = dns.flags.from_text("QR") | (5 << 11)
    reply.set_rcode(dns.rcode.Rcode(rcode))
    return reply.to_wire()


def refusing(query: dns.message.Message, error: int) -> bytes:
    reply = dns.message.make_response(query, tsig_error=error)
    reply.set_rcode(dns.rcode.NOTAUTH)
    return reply.to_wire()


def altered(query: dns.message.Message) -> bytes:
    raw = bytearray(answered(query))
    raw[3] |= dns.rcode.NXRRSET
    return bytes(raw)


ask_www = dns.message.make_query("www.geo.test", "A", flags=0)


async def test_a_signed_answer_is_verified_and_its_rcode_is_the_callers() -> None:
    async with tcp(lambda query: answered(query, dns.rcode.NXRRSET)) as server:
        reply = await exchange(update(), server, 2, tcp=True)
    assert (reply.rcode, reply.verified) == (dns.rcode.NXRRSET, True)


async def test_an_unsigned_answer_is_never_called_verified() -> None:
    async with tcp(lambda query: unsigned(query, dns.rcode.NOERROR)) as server:
        reply = await exchange(update(), server, 2, tcp=True)
    assert (reply.rcode, reply.verified) == (dns.rcode.NOERROR, False)


@pytest.mark.parametrize(
    ("reply", "cause", "says"),
    [
        (lambda q: refusing(q, dns.rcode.BADTIME), "clock", "BADTIME"),
        (lambda q: refusing(q, dns.rcode.BADKEY), "denied", "BADKEY"),
        (lambda q: refusing(q, dns.rcode.BADSIG), "denied", "BADSIG"),
        (lambda q: unsigned(q, dns.rcode.REFUSED), "denied", "REFUSED"),
        (lambda q: unsigned(q, dns.rcode.NOTAUTH), "denied", "NOTAUTH"),
        (lambda q: answered(q, dns.rcode.REFUSED), "denied", "REFUSED"),
        (altered, "mismatch", "not by our key"),
        (lambda q: b"\0\0garbage", "mismatch", "not a DNS answer"),
        (lambda q: answered(update()), "mismatch", "another question"),
        (lambda q: b"", "refused", "closed before an answer"),
    ],
)
async def test_each_shape_of_a_refusal_becomes_one_error(
    reply: Reply, cause: str, says: str
) -> None:
    async with tcp(reply) as server:
        with pytest.raises(WireError, match=says) as caught:
            await exchange(update(), server, 2, tcp=True)
    assert caught.value.cause == cause
    assert not isinstance(caught.value, Unsent)
    assert SECRET not in str(caught.value)


async def test_where_nobody_listens_nothing_was_sent() -> None:
    with pytest.raises(Unsent) as caught:
        await exchange(update(), Server("127.0.0.1", free_port()), 2, tcp=True)
    assert caught.value.cause == "refused"
    with pytest.raises(WireError) as refused:
        await exchange(ask_www, Server("127.0.0.1", free_port()), 2)
    assert refused.value.cause == "refused"


async def test_a_dripping_server_is_left_at_the_deadline() -> None:
    async def drip(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"\x10\x00")
        await reader.read()

    async with listening(drip) as port:
        with pytest.raises(WireError, match=r"within 0\.2 s") as caught:
            await exchange(update(), Server("127.0.0.1", port), 0.2, tcp=True)
    assert caught.value.cause == "timeout"


async def test_a_lost_datagram_is_sent_again() -> None:
    peers: list[Udp] = []

    def second_time(query: dns.message.Message) -> list[bytes]:
        return [answered(query, text="192.0.2.1")] if peers[0].seen == 2 else []

    async with udp(second_time) as (server, peer):
        peers.append(peer)
        reply = await exchange(ask_www, server, 1.5)
    assert [str(rdata) for rdata in reply.message.answer[0]] == ["192.0.2.1"]


async def test_an_answer_with_another_id_is_passed_over() -> None:
    def spoofed(query: dns.message.Message) -> list[bytes]:
        good = answered(query, text="192.0.2.1")
        return [bytes([good[0] ^ 1]) + good[1:], good]

    async with udp(spoofed) as (server, _):
        reply = await exchange(ask_www, server, 2)
    assert reply.message.id == ask_www.id


async def test_what_does_not_fit_into_a_datagram_is_asked_again_by_tcp() -> None:
    async with tcp(lambda query: answered(query, text="192.0.2.7")) as server:
        truncated = dns.flags.TC
        async with udp(lambda q: [answered(q, flags=truncated)], server.port) as (same, _):
            reply = await exchange(ask_www, same, 2)
    assert [str(rdata) for rdata in reply.message.answer[0]] == ["192.0.2.7"]


async def test_only_an_answer_with_authority_counts() -> None:
    name, kind = parse_name("www.geo.test"), dns.rdatatype.A
    async with udp(lambda q: [answered(q, text="192.0.2.1")]) as (server, _):
        with pytest.raises(WireError, match="not authoritative"):
            await look_up(name, kind, server, 2)
    authority = dns.flags.AA
    async with udp(lambda q: [answered(q, flags=authority, text="192.0.2.1")]) as (server, _):
        assert [str(rdata) for rdata in await look_up(name, kind, server, 2)] == ["192.0.2.1"]
    nothing = dns.rcode.NXDOMAIN
    async with udp(lambda q: [answered(q, nothing, authority)]) as (server, _):
        assert await look_up(name, kind, server, 2) == []
    broken = dns.rcode.SERVFAIL
    async with udp(lambda q: [answered(q, broken, authority)]) as (server, _):
        with pytest.raises(WireError, match="SERVFAIL"):
            await look_up(name, kind, server, 2)


async def test_a_cancelled_exchange_closes_its_socket() -> None:
    arrived, closed = asyncio.Event(), asyncio.Event()

    async def wait(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        arrived.set()
        with suppress(ConnectionResetError):
            await reader.read()
        closed.set()

    async with listening(wait) as port:
        task = asyncio.create_task(exchange(update(), Server("127.0.0.1", port), 30, tcp=True))
        await asyncio.wait_for(arrived.wait(), 5)
        task.cancel()
        await asyncio.wait_for(closed.wait(), 5)
        with pytest.raises(asyncio.CancelledError):
            await task


@pytest.mark.parametrize(
    ("text", "server"),
    [
        ("192.0.2.53", Server("192.0.2.53", 53)),
        ("ns.example.com:5353", Server("ns.example.com", 5353)),
        ("[2001:db8::1]:5353", Server("2001:db8::1", 5353)),
        ("[2001:DB8::1]", Server("2001:db8::1", 53)),
        ("2001:db8::1", Server("2001:db8::1", 53)),
    ],
)
def test_a_server_is_a_host_and_perhaps_a_port(text: str, server: Server) -> None:
    assert parse_server(text) == server
    assert parse_server(str(server)) == server


@pytest.mark.parametrize(
    "text", ["", "a:b", "a:0", "a:65536", "[x]:53", "a b", "a..b", "192.0.2.1:53:1"]
)
def test_what_is_no_server_is_refused_with_a_sentence(text: str) -> None:
    with pytest.raises(ValueError, match=r"is not|port|no DNS name|expected"):
        parse_server(text)


def test_a_key_is_read_as_bind_writes_it() -> None:
    slashes = base64.b64encode(b"\xff" * 32).decode()
    key = parse_key(f"# made today\nkey gslb {{ algorithm HMAC-SHA512; secret {slashes}; }};")
    assert (str(key.name), key.secret) == ("gslb.", b"\xff" * 32)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (KEY_TEXT.replace("hmac-sha256", "hmac-md5"), "too weak"),
        (KEY_TEXT.replace("hmac-sha256", "hmac-sha1"), "too weak"),
        (KEY_TEXT.replace("\talgorithm hmac-sha256;\n", ""), r"\(none\)"),
        (KEY_TEXT.replace(SECRET, "???"), "not base64"),
        (KEY_TEXT.replace(SECRET, ""), "missing"),
        (KEY_TEXT + KEY_TEXT.replace("gslb", "other"), "not 2"),
        ("hello", "not 0"),
    ],
)
def test_a_key_that_is_weak_or_broken_is_refused_without_showing_it(text: str, says: str) -> None:
    with pytest.raises(ValueError, match=says) as caught:
        parse_key(text)
    assert SECRET not in str(caught.value)


def test_values_are_compared_in_one_way() -> None:
    assert canonical("2001:DB8:0::1") == "2001:db8::1"
    assert canonical("EU.Example.com.") == "eu.example.com"
    assert [kind_of(v) for v in ("192.0.2.1", "2001:db8::1", "a.b")] == ["A", "AAAA", "CNAME"]
