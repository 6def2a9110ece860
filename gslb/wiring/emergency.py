"""Taking a site out without API and store (break-glass): straight at the backends, fenced.

What is left in a fenced backend is the generation of an instance of its own, `emergency`: to every
controller, whether it runs or is started later, and however often, that is another instance's, a
conflict that ends only by `adopt` (evidence.md 8). Our own epoch with a raised SEQ would stop a
running controller, too; but one that is started again raises the epoch and would undo it.
"""

import asyncio
import syslog
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace

from gslb.config.load import Configuration
from gslb.domain.errors import BackendError
from gslb.domain.topology import BackendName, SiteName
from gslb.domain.traffic import Answer, Change, Fencing, Generation, Plan, Reading
from gslb.policy.fit import pool_of, same
from gslb.policy.plan import digest
from gslb.ports import Backend
from gslb.wire import Wire
from gslb.wire.http import open_http
from gslb.wiring.parts import BACKENDS

INSTANCE = "emergency"
READ_BACK_S = 10.0
AGAIN_S = 0.25


@dataclass(frozen=True, kw_only=True)
class Draft:
    """What would be written to one backend, or why it cannot be."""

    name: BackendName
    backend: Backend
    plan: Plan | None = None
    refused: tuple[str, str] | None = None
    """(guard, sentence)."""
    error: str | None = None


@asynccontextmanager
async def drafts(
    configuration: Configuration, site: SiteName, only: BackendName | None
) -> AsyncIterator[list[Draft]]:
    """Read every backend (or `only` one), and draft what takes the site out there."""
    async with open_http(configuration.probe_networks) as client, AsyncExitStack() as stack:
        found = []
        for name, (kind, settings) in configuration.backends.items():
            if only in (None, name):
                opened = BACKENDS[kind].open(settings, Wire(http=client))
                backend: Backend = await stack.enter_async_context(opened)
                found.append(Draft(name=name, backend=backend))
        yield list(await asyncio.gather(*(_draft(configuration, d, site) for d in found)))


async def _draft(configuration: Configuration, draft: Draft, site: SiteName) -> Draft:
    topology = configuration.topology
    spec = next(b for b in topology.backends if b.name == draft.name)
    pools = {s: pool_of(topology, s, spec) for s in topology.services if draft.name in s.via}
    try:
        reading = await draft.backend.read(tuple(pools.values()))
    except BackendError as error:
        return replace(draft, error=str(error))
    changes = []
    for service, pool in pools.items():
        before = reading.answers[service.name]
        if before is None or site not in before.sites:
            continue
        left = tuple(t for t in before.targets if t.site != site)
        others, wanted = len({t.site for t in left} - {None}), service.limits.min_sites
        if not left or others < wanted:
            text = f"{others} would be left for {service.name} at {draft.name}, {wanted} wanted"
            return replace(draft, refused=("min_sites" if left else "not_empty", text))
        after = Answer(name=service.name, targets=left)
        changes.append(Change(pool=pool, before=before, after=after))
    found = reading.generation
    if reading.foreign_generation or (found and found.cluster != topology.cluster):
        text = f"{draft.name} belongs to another: {reading.foreign_generation or found}"
        return replace(draft, refused=("foreign", text))
    fenced = spec.shape.fencing is Fencing.CAS
    plan = _plan(draft.name, topology.cluster, changes, reading, fenced=fenced)
    return replace(draft, plan=plan)


def _plan(
    name: BackendName, cluster: str, changes: Sequence[Change], reading: Reading, *, fenced: bool
) -> Plan:
    found = reading.generation or Generation(cluster, INSTANCE, 0, 0)
    return Plan(
        backend=name,
        epoch=found.epoch,
        changes=tuple(changes),
        expects=reading.generation,
        leaves=replace(found, instance=INSTANCE, seq=found.seq + 1) if fenced else None,
        digest=digest(name, changes),
    )


async def carry_out(draft: Draft, reason: str) -> str | None:
    """Write, and read back from every server until it is so: None, or what is not so yet. Raises
    BackendError; BackendFenced: it was changed meanwhile, and nothing is."""
    plan = draft.plan
    assert plan is not None
    syslog.syslog(syslog.LOG_WARNING, f"gslb emergency drain at {draft.name}: {reason!r}")
    await draft.backend.apply(plan)
    pools = tuple(c.pool for c in plan.changes)
    ends_s = asyncio.get_running_loop().time() + READ_BACK_S
    while True:
        reading = await draft.backend.read(pools)
        late = [why for behind in reading.behind.values() for why in behind]
        late += [
            f"{c.after.name} is not as written"
            for c in plan.changes
            if not same(reading.answers[c.after.name], c.after)
        ]
        if not late or asyncio.get_running_loop().time() > ends_s:
            return "; ".join(dict.fromkeys(late)) or None
        await asyncio.sleep(AGAIN_S)
