"""The parts of a running house, and the adapters that are open in it."""

from collections.abc import Callable, Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import Any

from gslb.api.listen import Served
from gslb.backends import haproxy, memory, rfc2136, route53
from gslb.config.load import Configuration, Kinds
from gslb.controller.controller import Controller
from gslb.domain.topology import BackendName, ProbeId
from gslb.ports import Adapter, Backend, Probe
from gslb.probes import dns, http, quay, s3, tcp, tls
from gslb.reporters.metrics import Metrics
from gslb.wire import Wire

PROBES: Mapping[str, Adapter[Any, Any]] = {
    probe.ADAPTER.kind: probe.ADAPTER for probe in (s3, quay, http, tcp, tls, dns)
}
BACKENDS: Mapping[str, Adapter[Any, Any]] = {
    a.kind: a for a in (rfc2136.ADAPTER, haproxy.ADAPTER, route53.ADAPTER, memory.ADAPTER)
}
KINDS = Kinds(probes={k: a.settings for k, a in PROBES.items()}, backends=BACKENDS)


@dataclass(kw_only=True)
class House:
    """One running gslb."""

    configuration: Configuration
    controller: Controller
    served: Served
    wire: Wire
    metrics: Metrics
    follow: Callable[[Configuration], None] = lambda new: None
    """Tells the API of a new configuration. ConfigError: its tokens are wrong."""

    @property
    def url(self) -> str:
        """Of the API over TCP."""
        return self.served.url or ""


@dataclass(kw_only=True)
class Doors:
    """The adapters that are open now, each with what closes it."""

    wire: Wire
    stack: AsyncExitStack
    probes: dict[ProbeId, tuple[object, Probe]]
    backends: dict[BackendName, tuple[object, Backend]]

    async def open(self, configuration: Configuration) -> None:
        """Open what is new or has other settings; what stays as it was stays open.

        What is no longer used is closed with the house: it holds no more than an idle connection.
        """
        probes, backends = {}, {}
        for probe, (kind, settings) in configuration.probes.items():
            known = self.probes.get(probe)
            if known is None or known[0] != settings:
                opened = PROBES[kind].open(settings, self.wire)
                known = (settings, await self.stack.enter_async_context(opened))
            probes[probe] = known
        for name, (kind, settings) in configuration.backends.items():
            held = self.backends.get(name)
            if held is None or held[0] != settings:
                door = BACKENDS[kind].open(settings, self.wire)
                held = (settings, await self.stack.enter_async_context(door))
            backends[name] = held
        self.probes, self.backends = probes, backends
