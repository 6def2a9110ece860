"""The verdicts of several vantages give one (evidence.md 3, Quorum)."""

from collections.abc import Mapping
from dataclasses import dataclass

from gslb.domain.health import Verdict
from gslb.domain.topology import SiteName, VantageName


@dataclass(frozen=True, slots=True, kw_only=True)
class Vote:
    """What one vantage says of one aspect; `local`: by a cause that speaks of the site itself."""

    verdict: Verdict
    local: bool


def quorum(
    votes: Mapping[VantageName, Vote],
    configured: Mapping[VantageName, SiteName | None],
    site: SiteName,
) -> Verdict:
    """Down needs a majority of all *configured* vantages, for silence of those outside the site.

    The denominator is the configuration, never who is alive: else a minority could call itself
    everyone after a partition.
    """
    known = {name: vote for name, vote in votes.items() if name in configured}
    downs = {name: vote for name, vote in known.items() if vote.verdict is Verdict.DOWN}
    if sum(vote.local for vote in downs.values()) * 2 > len(configured):
        return Verdict.DOWN
    outside = [name for name, where in configured.items() if where != site]
    silent = sum(name in downs for name in outside)
    if len(configured) == 1 and downs:
        return Verdict.DOWN  # what one vantage may conclude from silence is in `diagnose` (4.2)
    if silent >= 2 and silent * 2 > len(outside):
        return Verdict.DOWN
    ups = sum(vote.verdict is Verdict.UP for vote in known.values())
    return Verdict.UP if ups * 2 > len(configured) else Verdict.UNKNOWN
