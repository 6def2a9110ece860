"""Which addresses may be connected to: all but this machine's, the link's and the clouds' own."""

import asyncio
import ipaddress
import socket
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

from aiohttp.abc import AbstractResolver, ResolveResult

# Where clouds hand out a machine's credentials, when it is not link-local anyway.
METADATA = frozenset({"fd00:ec2::254", "100.100.100.200", "168.63.129.16", "192.0.0.192"})
NAT64 = ipaddress.ip_network("64:ff9b::/96")


class Closed(OSError):
    """An address that no probe is sent to."""


class Guard:
    """`probe_networks` are ranges that are open all the same."""

    def __init__(self, probe_networks: Sequence[str]) -> None:
        self._open = [ipaddress.ip_network(network) for network in probe_networks]

    def admit(self, host: str) -> None:
        """Raise Closed for a closed address; a name is looked at when it is resolved."""
        try:
            address = ipaddress.ip_address(host.partition("%")[0])
        except ValueError:
            return
        if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped:
            address = address.ipv4_mapped
        elif address in NAT64:
            address = ipaddress.IPv4Address(address.packed[-4:])
        closed = (
            address.is_loopback
            or address.is_link_local
            or address.is_multicast
            or address.is_unspecified
            or str(address) in METADATA
        )
        if closed and not any(address in network for network in self._open):
            raise Closed(f"{host} is not probed; if it is meant, add its range to probe_networks")


class Resolver(AbstractResolver):
    """Names by the system, in threads of our own: a hung lookup holds up nobody else's work."""

    def __init__(self, guard: Guard) -> None:
        self._guard = guard
        self._threads = ThreadPoolExecutor(8, thread_name_prefix="resolve")

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        """The addresses of `host` that are open. OSError if there is none, Closed if they are."""
        found = await asyncio.get_running_loop().run_in_executor(
            self._threads, socket.getaddrinfo, host, port, family, socket.SOCK_STREAM
        )
        results: list[ResolveResult] = []
        closed: Closed | None = None
        for kind, _, proto, _, (address, *_) in found:
            try:
                self._guard.admit(str(address))
            except Closed as error:
                closed = error
                continue
            results.append(
                ResolveResult(
                    hostname=host,
                    host=str(address),
                    port=port,
                    family=kind,
                    proto=proto,
                    flags=socket.AI_NUMERICHOST | socket.AI_NUMERICSERV,
                )
            )
        if closed and not results:
            raise closed
        return results

    async def close(self) -> None:
        """Let go of the threads; one in a lookup ends with it."""
        self._threads.shutdown(wait=False, cancel_futures=True)
