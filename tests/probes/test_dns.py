"""The DNS probe against a real BIND, and against servers that say what BIND would not."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import dns.message
import dns.rcode
import pytest

from gslb.domain.health import Finding
from gslb.probes.dns import ADAPTER, Settings, open_probe
from gslb.wire import Wire
from gslb.wire.http import open_http
from tests.backends.nameservers import Running, bind
from tests.kit import free_port


@pytest.fixture
async def wire() -> AsyncIterator[Wire]:
    async with open_http(["127.0.0.0/8"]) as http:
        yield Wire(http=http)


@pytest.fixture
async def named(tmp_path: Path) -> AsyncIterator[Running]:
    async with bind(tmp_path / "bind") as one:
        yield one


async def look(wire: Wire, port: int, **more: object) -> Finding:
    given = {"address": "127.0.0.1", "port": port, "name": "www.geo.test", "timeout_s": 5.0, **more}
    async with open_probe(Settings.model_validate(given), wire) as probe:
        (finding,) = (await probe.run()).findings
    assert finding.aspect == "dns"
    return finding


def said(finding: Finding) -> str:
    return f"{finding.outcome} {finding.cause or ''} {finding.detail}".strip()


def test_the_adapter_is_named_as_its_file() -> None:
    assert (ADAPTER.kind, ADAPTER.settings, ADAPTER.open) == ("dns", Settings, open_probe)


@pytest.mark.real
async def test_bind_answers_as_expected_or_the_finding_says_what_it_said(
    wire: Wire, named: Running
) -> None:
    port = named.server.port
    there = f"127.0.0.1:{port}"
    passes: list[dict[str, object]] = [
        {},
        {"expect": "192.0.2.10"},
        {"expect": ["192.0.2.10"], "server": there, "address": "192.0.2.1"},
        {"name": "other.geo.test.", "type": "TXT", "expect": "stays"},
        {"name": "geo.test", "type": "NS", "expect": "NS.geo.test."},
    ]
    for wants in passes:
        found = await look(wire, port, **wants)
        assert said(found) == "pass", wants
        assert found.latency_s > 0
    fails: list[tuple[dict[str, object], str]] = [
        ({"expect": ["192.0.2.10", "192.0.2.11"]}, "says 192.0.2.10, not 192.0.2.11"),
        ({"name": "absent.geo.test"}, "absent.geo.test. A: {} says NXDOMAIN"),
        ({"type": "AAAA"}, "www.geo.test. AAAA: {} says nothing"),
        ({"name": "www.example.com"}, "www.example.com. A: {} says REFUSED"),
    ]
    for wants, wanted in fails:
        found = await look(wire, port, **wants)
        assert said(found).startswith("fail mismatch "), wants
        assert wanted.format(there) in found.detail


@asynccontextmanager
async def saying(answer: Callable[[bytes], bytes | None]) -> AsyncIterator[int]:
    """A UDP server that answers as it is told; None: silence."""

    class Says(asyncio.DatagramProtocol):
        def connection_made(self, transport: asyncio.BaseTransport) -> None:
            self.transport = transport

        def datagram_received(self, data: bytes, addr: object) -> None:
            if (text := answer(data)) is not None:
                self.transport.sendto(text, addr)  # type: ignore[attr-defined]  # of datagrams

    port = free_port()
    loop = asyncio.get_running_loop()
    transport, _ = await loop.create_datagram_endpoint(Says, local_addr=("127.0.0.1", port))
    try:
        yield port
    finally:
        transport.close()


def failing(question: bytes) -> bytes:
    reply = dns.message.make_response(dns.message.from_wire(question))
    reply.set_rcode(dns.rcode.SERVFAIL)
    return reply.to_wire()


async def test_an_error_nonsense_silence_and_nobody_are_told_apart(wire: Wire) -> None:
    for answer, wanted in (
        (failing, "fail mismatch www.geo.test. A: 127.0.0.1:{} says SERVFAIL"),
        (
            lambda q: q[:2] + b"junk",
            "fail mismatch www.geo.test. A: 127.0.0.1:{}: not a DNS answer",
        ),
        (lambda q: None, "fail timeout "),
    ):
        async with saying(answer) as port:
            found = await look(wire, port, timeout_s=0.5)
        assert said(found).startswith(wanted.format(port))
    assert said(await look(wire, free_port())).startswith("fail refused www.geo.test. A: ")


async def test_what_is_not_opened_to_probes_is_not_asked() -> None:
    async with open_http() as http:
        assert said(await look(Wire(http=http), 53)).startswith("blind local 127.0.0.1 is not pro")
