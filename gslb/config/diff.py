"""What a new configuration changes, in words of consequence."""

from collections.abc import Iterator
from dataclasses import asdict, dataclass

from gslb.config.load import Configuration
from gslb.domain.topology import Limits, SiteName, Topology

LOOSER_BELOW = ("min_sites", "min_capacity_share", "change_window_s")
LOOSER_ABOVE = ("max_drained", "changes_per_hour", "override_max_s", "requests_per_min")


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """All empty where nothing differs."""

    lines: tuple[str, ...]
    loosened: tuple[str, ...]
    """Limits that bind less than before: these wait for `--loosen`."""
    removed_sites: tuple[SiteName, ...]
    """These wait for `--remove SITE` while they are served."""


def diff(old: Configuration, new: Configuration) -> Difference:
    """From the one in force to the one that would replace it."""
    loosened = tuple(_loosened(old.topology, new.topology))
    kept = {site.name for site in new.topology.sites}
    return Difference(
        lines=(*_lines(old, new), *loosened),
        loosened=loosened,
        removed_sites=tuple(s.name for s in old.topology.sites if s.name not in kept),
    )


def _lines(old: Configuration, new: Configuration) -> Iterator[str]:
    whole: list[str] = []
    before, after = _parts(old.topology), _parts(new.topology)
    for part in sorted(before ^ after):
        whole.append(part + ".")
        sign, topology = ("+", new.topology) if part in after else ("-", old.topology)
        yield f"{sign} {part}{_consequence(part, topology)}"
    for path in {**old.origins, **new.origins}:
        was, becomes = (c.origins.get(path, ("(none)", ""))[0] for c in (old, new))
        if was != becomes and not path.startswith(tuple(whole)):
            yield f"~ {path} {was} → {becomes}{_consequence(path, new.topology)}"


def _parts(topology: Topology) -> set[str]:
    return {
        *(f"sites.{site.name}" for site in topology.sites),
        *(f"services.{service.name}" for service in topology.services),
        *(f"backends.{backend.name}" for backend in topology.backends),
    }


def _consequence(path: str, topology: Topology) -> str:
    """How many services answer otherwise when this changes."""
    touched = 0
    for service in topology.services:
        sites = [f"sites.{end.site}" for end in service.endpoints]
        ways = [f"{site}{key}" for site in sites for key in ("", ".address", ".capacity")]
        mine = f"services.{service.name}"
        touched += path in (*ways, mine) or path.startswith(f"{mine}.sites.")
    return f" (answers change: {touched} service{'s' * (touched > 1)})" if touched else ""


def _loosened(old: Topology, new: Topology) -> Iterator[str]:
    yield from _looser("limits", old.limits, new.limits)
    before = {service.name: service.limits for service in old.services}
    for service in new.services:
        limits = before.get(service.name, service.limits)
        for line in _looser(f"services.{service.name}.limits", limits, service.limits):
            if service.limits != new.limits:  # else it is said once, for all
                yield line


def _looser(at: str, old: Limits, new: Limits) -> Iterator[str]:
    was, becomes = asdict(old), asdict(new)
    for key in was:
        a, b = was[key], becomes[key]
        if key == "changes_per_hour":
            a, b = a or float("inf"), b or float("inf")
        looser = (key in LOOSER_BELOW and b < a) or (key in LOOSER_ABOVE and b > a)
        if looser or (key == "on_all_down" and (a, b) == ("hold", "all")):
            name = key.removesuffix("_s")
            yield f"! {at}.{name} {was[key]} → {becomes[key]} loosens a limit: repeat with --loosen"
