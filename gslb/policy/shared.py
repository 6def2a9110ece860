"""Dependencies that all sites share: whose trouble is it (evidence.md 4.4)?"""

from dataclasses import dataclass

from gslb.domain.health import Reason, Verdict
from gslb.domain.topology import AspectName, Scope, SiteName
from gslb.policy.evidence import Look, Looks


@dataclass(frozen=True, slots=True, kw_only=True)
class Trouble:
    """One shared aspect that is down somewhere."""

    shared: bool
    """Down at two or more sites and at half of those that answer; else not known to be."""
    own: SiteName | None
    """The one site whose own trouble it is."""
    sites: tuple[SiteName, ...]
    aspects: tuple[AspectName, ...]
    others: tuple[Look, ...]
    """Of the sites where it is not down."""
    reason: Reason


def shared_trouble(looks: Looks) -> tuple[Trouble, ...]:
    """One entry for each shared aspect of a registry that is down at a site."""
    groups: dict[tuple[str | None, str], list[Look]] = {}
    for seen in (x for site in looks.values() for x in site):
        if seen.aspect.scope is Scope.SHARED:
            groups.setdefault((seen.aspect.registry, seen.aspect.base), []).append(seen)
    return tuple(t for key, group in groups.items() if (t := _trouble(key[1], group)) is not None)


def _trouble(base: str, group: list[Look]) -> Trouble | None:
    downs = [x for x in group if x.down]
    answering = [x for x in group if x.verdict is not Verdict.UNKNOWN]
    if not downs:
        return None
    shared = len(downs) >= 2 and len(downs) * 2 >= len(answering)
    since_s = min(x.track.since_s for x in downs)
    others = [x for x in answering if not x.down]
    own = None
    if len(downs) == 1 and others:
        # Seen to pass *since*: else the others may only not have noticed yet.
        verdict_s = downs[0].track.since_s
        if all(not x.track.fails and (x.track.pass_begun_s or 0.0) >= verdict_s for x in others):
            own = downs[0].aspect.site
    names = ", ".join(x.aspect.site for x in downs)
    text = (
        f"{base} fails at {len(downs)} of {len(answering)} sites ({names}): "
        f"{downs[0].track.detail or 'fails'}; all sites share it, so moving traffic cannot help"
    )
    return Trouble(
        shared=shared,
        own=own,
        sites=tuple(x.aspect.site for x in downs),
        aspects=tuple(x.aspect.name for x in downs),
        others=tuple(others),
        reason=Reason(
            aspect=downs[0].aspect.name,
            cause=downs[0].track.causes[-1] if downs[0].track.causes else None,
            text=text,
            since_s=since_s,
            shared=True,
        ),
    )
