"""A new configuration for a running house: refused whole if anything is wrong."""

import time
from collections.abc import Sequence
from pathlib import Path

from gslb.config.diff import diff
from gslb.config.load import Configuration, load
from gslb.domain.control import Owner
from gslb.domain.errors import ConfigError
from gslb.domain.messages import ConfigReplaced, Event, EventKind
from gslb.domain.topology import SiteName
from gslb.wiring.parts import KINDS, Doors, House


async def reload(
    house: House,
    doors: Doors,
    path: Path,
    remove: Sequence[SiteName],
    loosen: bool,
    dry_run: bool,
    owner: Owner,
) -> tuple[str, ...]:
    """Read the file again. Refused whole if anything is wrong: the old one stays."""
    loop = house.controller.loop
    try:
        new = load(path, KINDS)
        found = diff(house.configuration, new)
        loosened = () if loosen else found.loosened
        _refuse(house, new, loosened, set(found.removed_sites) - {*remove})
        if not dry_run:
            house.follow(new)
    except ConfigError as error:
        house.metrics.put("config_last_reload_successful", 0.0)
        event = Event(
            kind=EventKind.CONFIG,
            text=f"the configuration was refused, the old one stays: {error}",
            boot_s=loop.clock.now().boot_s,
            wall_s=loop.clock.now().wall_s,
        )
        loop.keeper.report(loop.world, [event])
        raise
    if dry_run:
        return found.lines
    await doors.open(new)
    loop.backends = {name: backend for name, (_, backend) in doors.backends.items()}
    house.configuration = new
    loop.put(ConfigReplaced(topology=new.topology, owner=owner, summary=found.lines))
    await house.controller.learned()
    probes = {name: probe for name, (_, probe) in doors.probes.items()}
    loop.pacer.replace(new.topology.probes, probes)
    house.metrics.put("config_last_reload_successful", 1.0)
    house.metrics.put("config_last_reload_success_timestamp_seconds", time.time())
    return found.lines


def _refuse(
    house: House, new: Configuration, loosened: Sequence[str], removed: set[SiteName]
) -> None:
    """Raises ConfigError for what needs a word of its own."""
    old = house.configuration
    fixed = [
        f"{what} cannot change while it runs: restart gslb"
        for what, was, becomes in (
            ("cluster", old.topology.cluster, new.topology.cluster),
            ("store", old.store, new.store),
            ("probe_networks", old.probe_networks, new.probe_networks),
        )
        if was != becomes
    ]
    views = house.controller.world.backends.values()
    served = {s for v in views for a in (v.served or {}).values() if a is not None for s in a.sites}
    gone = [
        f"{new.path}: site {site} is served and would be removed: repeat with --remove {site}"
        for site in sorted(removed & served)
    ]
    problems = (*fixed, *(f"{new.path}: {line}" for line in loosened), *gone)
    if problems:
        raise ConfigError(tuple(problems))
