"""World + site, service or backend -> why it is as it is, and what comes next."""

from gslb.domain.control import Now
from gslb.domain.topology import BackendName, ServiceName, SiteName
from gslb.domain.words import Explanation
from gslb.domain.world import World


def explain_site(world: World, site: SiteName, now: Now) -> Explanation: ...


def explain_service(world: World, service: ServiceName, now: Now) -> Explanation: ...


def explain_backend(world: World, backend: BackendName, now: Now) -> Explanation: ...
