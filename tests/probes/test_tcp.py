"""The TCP probe: a connection is proof enough, and whatever else happens is a finding."""

import asyncio
import socket
from collections.abc import AsyncIterator

import pytest

from gslb.domain.health import Finding
from gslb.probes.tcp import ADAPTER, Settings, open_probe
from gslb.wire import Wire
from gslb.wire.http import open_http
from tests.kit import free_port
from tests.wire.servers import server, silent


@pytest.fixture
async def wire() -> AsyncIterator[Wire]:
    async with open_http(["127.0.0.0/8"]) as http:
        yield Wire(http=http)


async def look(wire: Wire, port: int, address: str = "127.0.0.1", timeout_s: float = 5) -> Finding:
    settings = Settings(address=address, port=port, timeout_s=timeout_s)
    async with open_probe(settings, wire) as probe:
        (finding,) = (await probe.run()).findings
    assert finding.aspect == "tcp"
    return finding


def said(finding: Finding) -> str:
    return f"{finding.outcome} {finding.cause or ''} {finding.detail}".strip()


def test_the_adapter_is_named_as_its_file() -> None:
    assert (ADAPTER.kind, ADAPTER.settings, ADAPTER.open) == ("tcp", Settings, open_probe)


async def test_a_connection_passes_though_nothing_is_said(wire: Wire) -> None:
    async with server(silent) as port:
        finding = await look(wire, port)
        assert said(await look(wire, port, "localhost")) == "pass"
    assert said(finding) == "pass"
    assert finding.latency_s > 0


async def test_nobody_there_is_refused_and_a_name_without_address_unresolved(wire: Wire) -> None:
    assert said(await look(wire, free_port())) == "fail refused connection refused"
    assert said(await look(wire, 80, "no-such-name.invalid")).startswith("fail unresolved ")
    assert said(await look(wire, 80, f"{'x' * 70}.example")).startswith("blind local ")


async def test_a_full_backlog_is_waited_for_no_longer_than_the_deadline(wire: Wire) -> None:
    with socket.socket() as full:
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        port = full.getsockname()[1]
        waiting = [await _begun(port) for _ in range(4)]
        try:
            assert said(await look(wire, port, timeout_s=0.2)) == (
                "fail timeout no answer after 0.2 s"
            )
        finally:
            for each in waiting:
                each.close()


async def _begun(port: int) -> socket.socket:
    """A connection that nobody will take."""
    each = socket.socket()
    each.setblocking(False)
    try:
        async with asyncio.timeout(0.05):
            await asyncio.get_running_loop().sock_connect(each, ("127.0.0.1", port))
    except TimeoutError:
        pass
    return each


async def test_what_is_not_opened_to_probes_is_not_connected_to() -> None:
    async with open_http() as http, server(silent) as port:
        for name in ("127.0.0.1", "localhost", "169.254.169.254"):
            finding = await look(Wire(http=http), port, name)
            assert said(finding).startswith("blind local "), name
            assert "probe_networks" in finding.detail
