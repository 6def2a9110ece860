"""evidence.md 5: what a backend can say, rounded before anything is compared."""

from dataclasses import replace

import pytest

from gslb.domain.topology import BackendSpec, Endpoint, SiteName
from gslb.domain.traffic import Answer, Shape, Target
from gslb.policy.fit import fit, is_host_name, pool_of, same, values_of
from tests.policy.build import AP, DNS, EU, NAME, US, answer, service_of, topology

TOPO = topology()
SERVICE = service_of(TOPO)


def shaped(**shape: object) -> BackendSpec:
    return BackendSpec(name=DNS, kind="memory", shape=Shape(**{"weights": False, **shape}))  # type: ignore[arg-type]


def fitted(
    weights: str, backend: BackendSpec, *, addresses: str = "", tiers: str = "000", served: str = ""
) -> str:
    """`eu=100 us=50` gives `127.0.0.11*2 127.0.0.12*1`."""
    topo = TOPO
    if addresses:
        sites = (
            replace(s, addresses=tuple(a.split("+")))
            for s, a in zip(topo.sites, addresses.split(), strict=True)
        )
        topo = replace(topo, sites=tuple(sites))
    ends = (
        Endpoint(site=e.site, tier=int(t)) for e, t in zip(SERVICE.endpoints, tiers, strict=True)
    )
    service = replace(SERVICE, endpoints=tuple(ends))
    wanted = {SiteName(w.split("=")[0]): int(w.split("=")[1]) for w in weights.split()}
    pool = pool_of(topo, service, backend)
    now = answer(topo, **dict.fromkeys(served.split(), 1)) if served else None
    found = fit(wanted, service, pool, backend, now)
    return "" if found is None else " ".join(f"{t.value}*{t.weight}" for t in found.targets)


@pytest.mark.parametrize(
    ("weights", "shape", "out"),
    [
        # Plain DNS: a site is in or out.
        ("eu=100 us=10", {}, "127.0.0.11*1 127.0.0.12*1"),
        ("eu=100 us=0", {}, "127.0.0.11*1"),
        ("", {}, ""),
        # With weights, as they are where they fit, else in proportion, and never rounded to none.
        ("eu=100 us=10", {"weights": True, "weight_max": 256}, "127.0.0.11*100 127.0.0.12*10"),
        ("eu=100 us=10", {"weights": True, "weight_max": 10}, "127.0.0.11*10 127.0.0.12*1"),
        ("eu=1000 us=1", {"weights": True, "weight_max": 10}, "127.0.0.11*10 127.0.0.12*1"),
    ],
)
def test_weights_are_rounded_to_what_can_be_said(
    weights: str, shape: dict[str, object], out: str
) -> None:
    assert fitted(weights, shaped(**shape)) == out


@pytest.mark.parametrize(
    ("weights", "tiers", "served", "out"),
    [
        ("eu=100 us=100", "000", "", "a.example"),
        ("eu=100 us=200", "000", "", "b.example"),  # the heaviest
        ("eu=100 us=200", "010", "", "a.example"),  # of the lowest tier
        ("eu=100 us=100", "000", "us", "b.example"),  # among equals the one served already
        ("us=100 ap=100", "000", "eu", "b.example"),
    ],
)
def test_host_names_are_answered_one_at_a_time(
    weights: str, tiers: str, served: str, out: str
) -> None:
    names = "a.example b.example c.example"
    assert fitted(weights, shaped(), addresses=names, tiers=tiers, served=served) == f"{out}*1"


def test_servers_of_a_load_balancer_stand_side_by_side() -> None:
    backend = replace(
        shaped(weights=True, weight_max=256, addresses=False),
        servers={EU: "registry/eu", US: "registry/us"},
    )
    assert fitted("eu=100 us=100 ap=100", backend) == "registry/eu*100 registry/us*100"
    assert values_of(TOPO, AP, backend) == ()


def test_a_family_that_cannot_be_said_is_left_out() -> None:
    both = "192.0.2.1+2001:db8::1 192.0.2.2 2001:db8::3"
    assert fitted("eu=1 us=1 ap=1", shaped(families=True), addresses=both) == (
        "192.0.2.1*1 192.0.2.2*1 2001:db8::1*1 2001:db8::3*1"
    )
    assert fitted("eu=1 us=1 ap=1", shaped(families=False), addresses=both) == (
        "192.0.2.1*1 192.0.2.2*1"
    )


def test_a_pool_has_the_ttl_that_a_backend_can_say() -> None:
    assert pool_of(TOPO, SERVICE, shaped(ttl_min_s=60)).ttl_s == 60
    assert pool_of(TOPO, SERVICE, shaped(ttl_min_s=1)).ttl_s == SERVICE.ttl_s


def test_equal_shares_are_the_same_answer() -> None:
    assert same(answer(TOPO, eu=1, us=1), answer(TOPO, eu=100, us=100))
    assert same(answer(TOPO, eu=2, us=4), answer(TOPO, eu=50, us=100))
    assert not same(answer(TOPO, eu=1, us=2), answer(TOPO, eu=1, us=1))
    assert not same(answer(TOPO, eu=1), answer(TOPO, us=1))
    assert not same(None, answer(TOPO, eu=1))
    assert same(None, None)
    stranger = Answer(name=NAME, targets=(Target("127.0.0.11"),))
    assert same(stranger, answer(TOPO, eu=7))  # what is served is the same, whoever knows it


@pytest.mark.parametrize(
    ("value", "host"), [("192.0.2.1", False), ("2001:db8::1", False), ("a.example", True)]
)
def test_a_host_name_is_told_from_an_address(value: str, host: bool) -> None:
    assert is_host_name(value) is host
