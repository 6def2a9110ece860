"""evidence.md 4.1: `storage: false` at Quay is not yet the site's trouble."""

import pytest

from gslb.domain.health import AlarmKind, Cause
from gslb.domain.topology import Topology
from tests.policy.build import EU, Life, topology, with_limits, without_probes

ALL = "eu us ap"


def lived(
    stores: str = "", falses: str = "", denied: str = "", topo: Topology | None = None
) -> Life:
    """A minute with these stores dead, these Quays saying false, these stores refusing our key."""
    life = Life(topo)
    for site in stores.split():
        life.break_(site, "store", Cause.IO, "put: 500")
    for site in denied.split():
        life.break_(site, "store", Cause.DENIED, "put: 403", blind=True)
    for site in falses.split():
        life.break_(site, "quay.storage", Cause.UNHEALTHY, "storage: false")
    life.wait(60)
    return life


@pytest.mark.parametrize(
    ("stores", "falses", "denied", "down", "alarms"),
    [
        # Exactly X's store is down: X, whatever the Quays say; those that said false get the lint.
        ("eu", "", "", "eu", ""),
        ("eu", "eu", "", "eu", ""),
        ("eu", "us", "", "eu", "preference-lists-other-site"),
        ("eu", ALL, "", "eu", "preference-lists-other-site"),
        # All stores up, false at X only: its Quay cannot use its store.
        ("", "eu", "", "eu", ""),
        # All stores up, false at several: shared, disputed, nothing moves for it.
        ("", "eu us", "", "", "storage-disputed"),
        ("", ALL, "", "", "storage-disputed"),
        # X's store unknown, false at X only: X, uncorroborated.
        ("", "eu", "eu", "eu", "uncorroborated credentials-refused"),
        # X's store unknown, false at several: shared.
        ("", ALL, "eu", "", "storage-disputed credentials-refused"),
        # Several stores down: those.
        ("eu us", "", "", "eu us", ""),
        ("eu us", ALL, "", "eu us", "preference-lists-other-site"),
    ],
)
def test_whose_trouble_it_is(stores: str, falses: str, denied: str, down: str, alarms: str) -> None:
    life = lived(stores, falses, denied)
    assert {s for s in life.world.states if life.verdict(s) == "down"} == set(down.split())
    assert life.alarms() == set(alarms.split())


def test_several_dead_stores_leave_in_the_order_in_which_they_fell() -> None:
    life = Life(with_limits(topology(), max_drained=2))
    life.break_("us", "store", Cause.IO)
    life.wait(0.2)
    life.break_("eu", "store", Cause.IO)
    life.wait(20)
    assert life.served == "eu,ap"
    life.wait(20)
    assert life.served == "ap"


def test_without_a_store_probe_the_dwell_is_doubled() -> None:
    life = lived(falses="eu", topo=without_probes(topology(), "store"))
    (lost,) = life.world.states[EU].losses
    assert "uncorroborated" in lost.reason.text
    aspect = next(a for a in life.topo.aspects if a.name == "quay.storage")
    assert lost.moves_at_s == lost.reason.since_s + 2 * aspect.dwell_local_s
    assert AlarmKind.UNCORROBORATED in life.alarms()


def test_a_store_that_is_only_suspect_leaves_it_undecided() -> None:
    life = Life()
    life.break_("eu", "quay.storage", Cause.UNHEALTHY)
    life.wait(11.5)
    life.see("us", "store", (life.looks["eu", "quay.storage"][0], Cause.IO, "put: 500"))
    life.due["us/store"] = life.now.boot_s + 100
    life.begun["us/store"] = 1e9
    life.wait(1)
    assert life.world.tracks  # the third false came meanwhile
    assert life.verdict("eu") == "up"
    life.begun["us/store"], life.due["us/store"] = 0.0, life.now.boot_s
    life.wait(50)  # its store passes again, and the falses since then count
    assert life.verdict("eu") == "down"


def test_a_false_that_outlives_the_dead_store_is_not_held_against_the_others() -> None:
    life = lived("eu", ALL)
    life.mend("eu", "store")
    for site in ("eu", "us"):
        life.mend(site, "quay.storage")
    # `ap` said it while eu's store was dead, and says so until its next run at the slow pace.
    life.due["ap/quay.endtoend"] = life.now.boot_s + 60
    life.wait(59)
    assert life.verdict("ap") == "up"
    assert life.verdict("eu") == "up"
    life.wait(60)  # but what it goes on saying, with all stores whole, is its own
    assert life.verdict("ap") == "down"


def test_who_is_blamed_stays_blamed_while_another_store_dies() -> None:
    life = lived(falses="eu")
    life.break_("us", "store", Cause.IO)
    life.wait(5)
    assert life.verdict("eu") == "down"
    assert life.verdict("us") == "down"
