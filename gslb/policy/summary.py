"""The world in a few sentences: problems, and the traffic of each site."""

from gslb.domain.control import Now
from gslb.domain.topology import SiteName
from gslb.domain.words import Problem, Traffic
from gslb.domain.world import World


def traffic(world: World, site: SiteName, now: Now) -> Traffic: ...


def problems(world: World, now: Now) -> tuple[Problem, ...]:
    """Worst first; empty when all is as wanted."""
    ...
