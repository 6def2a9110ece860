"""evidence.md 4.4: dependencies that all sites share."""

from dataclasses import replace

import pytest

from gslb.domain.health import Cause
from gslb.domain.topology import Role
from gslb.policy.evidence import look
from gslb.policy.shared import shared_trouble
from tests.policy.build import EU, Life, topology, with_aspects

DATABASE = "quay.database"


def lived(fails: str, blind: str = "", wait_s: float = 60.0) -> Life:
    life = Life()
    for site in fails.split():
        life.break_(site, DATABASE, Cause.UNHEALTHY, "database: false")
    for site in blind.split():
        life.break_(site, DATABASE, Cause.SLOW, blind=True)
    life.wait(wait_s)
    return life


@pytest.mark.parametrize(
    ("fails", "blind", "shared", "own"),
    [
        ("eu us ap", "", True, None),
        ("eu us", "", True, None),  # two, and at least half of those that answer
        ("eu us", "ap", True, None),
        ("eu", "", False, "eu"),  # every other passed it since
        ("eu", "us", False, "eu"),  # who does not answer has no word
        ("eu", "us ap", False, None),
    ],
)
def test_whose_trouble_it_is(fails: str, blind: str, shared: bool, own: str | None) -> None:
    life = lived(fails, blind, 230.0 if blind else 60.0)
    (trouble,) = shared_trouble(look(life.world, life.moment))
    assert (trouble.shared, trouble.own) == (shared, own)
    assert trouble.sites == tuple(fails.split())
    assert life.served == ("us,ap" if own else "eu,us,ap")
    assert ("shared-outage" in life.alarms()) is shared


def test_two_of_five_that_answer_are_not_shared() -> None:
    life = Life()
    life.break_("eu", DATABASE, Cause.UNHEALTHY)
    life.break_("us", DATABASE, Cause.UNHEALTHY)
    life.wait(60)
    looks = dict(look(life.world, life.moment))
    for extra in ("x1", "x2"):
        looks[extra] = looks["ap"]  # type: ignore[index]  # two more that pass
    (trouble,) = shared_trouble(looks)
    assert not trouble.shared
    assert trouble.own is None


def test_it_is_one_sites_own_only_when_the_others_passed_it_since_its_verdict() -> None:
    life = lived("eu", wait_s=12.2)  # its third false; the others were last asked before
    (trouble,) = shared_trouble(look(life.world, life.moment))
    assert (trouble.shared, trouble.own) == (False, None)
    assert life.served == "eu,us,ap"
    life.wait(20)
    assert life.verdict("eu") == "down"
    lost = life.world.states[EU].losses[0]
    assert lost.reason.text.endswith("every other site passes it")
    assert lost.moves_at_s == lost.reason.since_s + 5  # dwell_path


def test_whoever_heals_last_of_a_shared_outage_is_not_blamed_for_what_failed_before() -> None:
    life = lived("eu us ap")
    for site in ("eu", "us"):
        life.mend(site, DATABASE)
    life.wait(16)  # they have passed once, ap has failed once more
    life.mend("ap", DATABASE)
    life.wait(60)
    assert not shared_trouble(look(life.world, life.moment))
    assert not [told for told in life.told("answer") if "−" in told]


def test_what_does_not_decide_takes_nobody_out() -> None:
    life = Life(with_aspects(topology(), DATABASE, role=Role.DEGRADES))
    life.break_("eu", DATABASE, Cause.UNHEALTHY)
    life.wait(60)
    assert life.served == "eu,us,ap"


def test_what_nobody_would_move_for_is_no_refusal_when_it_fails_everywhere() -> None:
    life = lived("eu us ap")
    assert {guard for guard, _ in life.refusals()} == {"shared_outage"}
    life = Life(with_aspects(topology(), DATABASE, role=Role.DEGRADES))
    for site in ("eu", "us", "ap"):
        life.break_(site, DATABASE, Cause.UNHEALTHY, "database: false")
    life.wait(60)
    assert shared_trouble(look(life.world, life.moment))[0].shared
    assert life.refusals() == set()


def test_registries_are_compared_each_for_itself() -> None:
    life = Life()
    topo = life.topo
    probes = tuple(
        replace(p, aspects=tuple(replace(a, registry=None) for a in p.aspects))
        if p.site == "ap"
        else p
        for p in topo.probes
    )
    life = Life(replace(topo, probes=probes))
    life.break_("ap", DATABASE, Cause.UNHEALTHY)
    life.wait(60)
    (trouble,) = shared_trouble(look(life.world, life.moment))
    assert (trouble.sites, trouble.shared, trouble.own) == (("ap",), False, None)
