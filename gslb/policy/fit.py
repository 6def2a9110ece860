"""What we want, in what a backend can say: rounded before anything is compared."""

from collections.abc import Mapping
from ipaddress import ip_address
from math import gcd

from gslb.domain.topology import BackendSpec, Service, SiteName, Topology
from gslb.domain.traffic import Answer, Member, Pool, Target


def pool_of(topology: Topology, service: Service, backend: BackendSpec) -> Pool:
    """Who could be in this service at this backend, and what stands for each there."""
    members = []
    for endpoint in service.endpoints:
        values = values_of(topology, endpoint.site, backend)
        if values:
            members.append(Member(site=endpoint.site, values=values))
    return Pool(
        service=service.name,
        members=tuple(members),
        ttl_s=max(service.ttl_s, backend.shape.ttl_min_s),
    )


def values_of(topology: Topology, site: SiteName, backend: BackendSpec) -> tuple[str, ...]:
    """The addresses (or the host name, or the server) that stand for a site at a backend."""
    if not backend.shape.addresses:
        return (backend.servers[site],) if site in backend.servers else ()
    addresses = topology.site(site).addresses
    return tuple(a for a in addresses if backend.shape.families or ":" not in a)


def fit(
    weights: Mapping[SiteName, int],
    service: Service,
    pool: Pool,
    backend: BackendSpec,
    served: Answer | None,
) -> Answer | None:
    """The answer that a backend can give for these weights; None when it can name none of them.

    Plain DNS has no weights: a site is in or out. Host names are answered one at a time: the
    heaviest of the lowest tier, and among equals the one that is served already.
    """
    able = {m.site: m.values for m in pool.members if weights.get(m.site, 0) > 0}
    if (
        able
        and all(is_host_name(values[0]) for values in able.values())
        and backend.shape.addresses
    ):
        able = _one_host(able, weights, service, served)
    top = max((weights[site] for site in able), default=1)
    targets = tuple(
        Target(value, _weight(weights[site], top, backend), site)
        for site, values in able.items()
        for value in values
    )
    return Answer(name=service.name, targets=targets) if targets else None


def same(left: Answer | None, right: Answer | None) -> bool:
    """Do both say the same? Weights count as shares: 1 to 1 is as good as 100 to 100."""
    if left is None or right is None:
        return left is right
    return _shares(left) == _shares(right)


def is_host_name(value: str) -> bool:
    """Is it a host name, and no IP address?"""
    try:
        ip_address(value)
    except ValueError:
        return True
    return False


def _one_host(
    able: Mapping[SiteName, tuple[str, ...]],
    weights: Mapping[SiteName, int],
    service: Service,
    served: Answer | None,
) -> dict[SiteName, tuple[str, ...]]:
    tiers = {e.site: e.tier for e in service.endpoints}
    now = served.sites if served is not None else ()
    best = min(able, key=lambda s: (tiers[s], -weights[s], s not in now))
    return {best: able[best]}


def _weight(weight: int, top: int, backend: BackendSpec) -> int:
    if not backend.shape.weights:
        return 1
    most = backend.shape.weight_max
    return weight if top <= most else max(round(weight * most / top), 1)


def _shares(answer: Answer) -> tuple[tuple[str, int], ...]:
    divisor = gcd(*(t.weight for t in answer.targets))
    return tuple((t.value, t.weight // divisor) for t in answer.targets)
