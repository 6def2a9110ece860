"""Lines of a history: JSON objects with `t` (CLOCK_BOOTTIME, s), `who` and `kind`.

start   {instance, epoch, cluster}                         by the product: a term begins
event   {type, text, site, service, backend, guard, …}     by the product
saved   {backend, epoch, seq, begun, changes, error}       by the product; error: went on without
call    {backend, op, begun, epoch, seq, outcome, error, changes, lease}
word    {key, site, action, owner, services, skip, version, ends, on}   an override is set, or gone
pause   {on}
config  {services: {name: {sites: {site: [targets]}, min_sites, max_drained, change_window_s,
         tiers: {site: n}}}, backends: {name: {fenced}}, out_within_s: s or {site: s},
         whole_after_s: s}                                 by who starts the run; merged
served  {server, service, targets}     on change; targets null: the server does not answer
truth   {site, able, why}              by the driver of faults
foreign {service, targets}             somebody else changed what is served (null: anything)
soa     {server, serial}               on change; judged only where it is written
"""

import json
import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

from gslb.domain.topology import Topology
from gslb.domain.traffic import Fencing
from gslb.policy.fit import values_of

Line = Mapping[str, Any]


class Lines:
    """Appends lines of a poller or driver to a file; each is written at once."""

    def __init__(self, path: Path, who: str) -> None:
        self._file = path.open("ab", buffering=0)
        self._who = who
        self._last: dict[tuple[object, ...], Line] = {}

    def write(self, kind: str, **told: Any) -> None:
        line = {"t": time.clock_gettime(time.CLOCK_BOOTTIME), "who": self._who, "kind": kind}
        self._file.write(json.dumps(line | told).encode() + b"\n")

    def on_change(self, kind: str, **told: Any) -> None:
        """As `write`, unless the last line of this kind, server, service and site said the same."""
        key = (kind, *(told.get(name) for name in ("server", "service", "site")))
        if self._last.get(key) != told:
            self._last[key] = told
            self.write(kind, **told)

    def close(self) -> None:
        self._file.close()

    def __enter__(self) -> "Lines":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


def config_of(topology: Topology, **more: Any) -> dict[str, Any]:
    """The fields of a `config` line."""
    services = {}
    for s in topology.services:
        via = [b for b in topology.backends if b.name in s.via]
        at = {e.site: [v for b in via for v in values_of(topology, e.site, b)] for e in s.endpoints}
        limits = {k: getattr(s.limits, k) for k in ("min_sites", "max_drained", "change_window_s")}
        plain = set(s.needs) == {"read", "write"} == set(s.accept)
        tiers = {e.site: e.tier for e in s.endpoints}
        services[str(s.name)] = {"sites": at, "tiers": tiers, "plain": plain, **limits}
    fenced = {str(b.name): {"fenced": b.shape.fencing is Fencing.CAS} for b in topology.backends}
    return {"services": services, "backends": fenced, **more}


def merged(lines: Iterable[Line]) -> list[Line]:
    """By time; of the same moment, in the order given."""
    return sorted(lines, key=lambda line: float(line["t"]))


def read(paths: Sequence[Path]) -> list[Line]:
    """All files, merged; the last line of a killed writer may be cut off."""
    found: list[Line] = []
    for path in paths:
        rows = path.read_bytes().split(b"\n")
        for number, row in enumerate(rows, 1):
            try:
                found += [json.loads(row)] if row else []
            except ValueError:
                if number < len(rows):
                    raise
    return merged(found)
