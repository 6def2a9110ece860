"""evidence.md, section 5: tiers, what is unknown, last resort."""

from dataclasses import replace

import pytest

from gslb.domain.health import Cause
from gslb.domain.topology import Ability, OnAllDown, Topology
from gslb.domain.world import Wish
from gslb.policy.evidence import look
from gslb.policy.steer import no_site_able, steer
from tests.policy.build import (
    EU,
    US,
    Life,
    service_of,
    topology,
    with_backend,
    with_limits,
    with_service,
    with_timing,
)


def tiered(tiers: str, **limits: object) -> Topology:
    """`001`: the tier of eu, us, ap."""
    topo = topology()
    ends = zip(topo.services[0].endpoints, tiers, strict=True)
    topo = with_service(topo, endpoints=tuple(replace(e, tier=int(t)) for e, t in ends))
    return with_limits(topo, **limits)


def wishes(life: Life, served: str = "eu us ap") -> tuple[Wish, ...]:
    service = service_of(life.topo)
    looks = look(life.world, life.moment)
    return steer(life.world, looks, service, served.split(), life.moment)  # type: ignore[arg-type]


def stances(life: Life, served: str = "eu us ap") -> str:
    return " ".join(w.stance + ("!" if w.at_once else "") for w in wishes(life, served))


def lived(topo: Topology | None = None, *, dead: str = "", blind: str = "") -> Life:
    life = Life(topo)
    for site in dead.split():
        life.break_(site, "store", Cause.IO)
    for site in blind.split():
        life.break_(site, "quay.front", Cause.LOCAL, blind=True)
    life.wait(20 if blind else 3)
    return life


@pytest.mark.parametrize(
    ("tiers", "min_sites", "dead", "wanted"),
    [
        ("000", 1, "", "in in in"),
        ("001", 1, "", "in in standby"),
        ("011", 1, "", "in standby standby"),
        ("012", 2, "", "in in standby"),  # a tier that cannot muster min_sites: the next is added
        ("012", 3, "", "in in in"),
        ("001", 1, "eu", "out in standby"),
        ("001", 2, "eu", "out in in"),
        ("001", 1, "eu us", "out out in"),
        ("012", 1, "eu", "out in standby"),
        ("012", 1, "eu us", "out out in"),
    ],
)
def test_the_lowest_tiers_that_muster_min_sites_serve(
    tiers: str, min_sites: int, dead: str, wanted: str
) -> None:
    life = lived(tiered(tiers, min_sites=min_sites, max_drained=3), dead=dead)
    assert stances(life).replace("!", "") == wanted


def test_a_trickle_keeps_a_standby_warm() -> None:
    topo = tiered("001")
    ends = tuple(replace(e, trickle=1) for e in topo.services[0].endpoints)
    topo = with_backend(with_service(topo, endpoints=ends), weights=True, weight_max=256)
    life = lived(topo)
    assert [(w.stance, w.weight) for w in wishes(life)] == [("in", 100), ("in", 100), ("in", 1)]
    life.break_("ap", "store", Cause.IO)
    life.wait(3)
    assert stances(life) == "in in out"


def test_a_degraded_site_has_a_smaller_share() -> None:
    topo = with_service(topology(), degraded_weight=30)
    life = Life(topo)
    life.break_("eu", "store.list", Cause.IO)
    life.wait(3)
    assert [w.weight for w in wishes(life)] == [30, 100, 100]
    topo = with_service(topology(), degraded_weight=0)
    life.world = replace(life.world, topology=topo)
    life.topo = topo
    assert [w.weight for w in wishes(life)] == [1, 100, 100]


def test_an_unknown_site_keeps_the_share_it_has() -> None:
    life = lived(blind="eu")
    assert stances(life) == "keep in in"
    assert stances(life, "us ap") == "out in in"
    reasons = [w.reason for w in (wishes(life)[0], wishes(life, "us ap")[0])]
    assert reasons == ["unknown: it keeps what it has", "unknown: it keeps being out"]


def test_a_down_site_is_kept_within_its_dwell_and_never_enters() -> None:
    topo = with_timing(topology())
    life = Life(topo)
    life.break_("eu", "store", Cause.REFUSED)
    life.wait(3)
    first = wishes(life)[0]
    assert first.stance == "keep"
    assert first.reason.endswith("not yet for long enough to move traffic")
    assert stances(life, "us ap") == "out in in"
    life.wait(5)
    assert stances(life) == "out in in"


def test_a_word_is_carried_out_whatever_the_state() -> None:
    life = lived(dead="eu")
    life.say("force-in", "eu")
    life.say("drain", "us", "alert:A", skip=())
    assert stances(life) == "in out in"
    assert wishes(life)[1].reason == "drain by alert:A: works"


@pytest.mark.parametrize(
    ("dead", "drained", "served", "wanted"),
    [
        # No served site is able, and one that is out is: it enters at once.
        ("us ap", "alert:A", "us ap", "in! out out"),
        # A person's drain is never undone by this.
        ("us ap", "person:kim", "us ap", "out out out"),
        ("us ap", "practice:p", "us ap", "out out out"),
        # A served site is able: no last resort.
        ("us", "alert:A", "us ap", "out out in"),
    ],
)
def test_the_last_resort(dead: str, drained: str, served: str, wanted: str) -> None:
    life = Life()
    life.say("drain", "eu", drained)
    for site in dead.split():
        life.break_(site, "store", Cause.IO)
    life.wait(3)
    assert stances(life, served) == wanted


def test_failing_one_that_is_up_one_with_fall_passes_in_a_row_is_the_last_resort() -> None:
    life = lived(dead="eu us ap")
    assert no_site_able(wishes(life))
    life.mend("eu", "store")
    life.wait(2)
    assert stances(life).startswith("out")
    life.wait(1)  # the third pass; rise is 10
    assert stances(life) == "in! out out"
    assert life.verdict("eu") == "down"
    assert not no_site_able(wishes(life))


def test_the_last_resort_takes_the_lowest_tier() -> None:
    life = lived(tiered("012", max_drained=3))
    life.say("drain", "us", "alert:A")
    life.say("drain", "ap", "alert:A")
    life.break_("eu", "store", Cause.IO)
    life.wait(3)
    assert stances(life, "eu") == "out in! out"


def test_the_last_resort_enters_at_full_weight_whatever_its_ramp() -> None:
    topo = with_backend(topology(), weights=True, weight_max=256)
    life = lived(with_timing(topo, ramp=(10, 100), quiet_s=600, quiet_max_s=600), dead="eu")
    life.mend("eu", "store")
    life.wait(12)
    assert wishes(life, "us ap")[0].brake is not None
    for site in ("us", "ap"):
        life.break_(site, "store", Cause.IO)
    life.wait(1)
    found = wishes(life, "us ap")[0]
    assert (found.stance, found.weight, found.at_once, found.brake) == ("in", 100, True, None)


@pytest.mark.parametrize(
    ("what", "wanted"), [(OnAllDown.HOLD, "out out out"), (OnAllDown.ALL, "out in! in!")]
)
def test_on_all_down_keeps_or_takes_all_but_what_people_drained(
    what: OnAllDown, wanted: str
) -> None:
    life = Life(with_limits(topology(), on_all_down=what))
    life.say("drain", "eu")
    for site in ("eu", "us", "ap"):
        life.break_(site, "store", Cause.IO)
    life.wait(3)
    assert stances(life) == wanted


@pytest.mark.parametrize(
    ("writes_lost", "accept", "wanted"),
    [
        ("eu", (Ability.READ,), "out in in"),  # a site has what is needed: that one serves
        ("eu us ap", (Ability.READ,), "in in in"),
        ("eu us ap", (Ability.READ, Ability.WRITE), "out out out"),
    ],
)
def test_what_is_accepted_when_nobody_has_what_is_needed(
    writes_lost: str, accept: tuple[Ability, ...], wanted: str
) -> None:
    life = Life(with_service(topology(), accept=accept))
    for site in writes_lost.split():
        life.break_(site, "store.write", Cause.IO)
    life.wait(3)
    assert stances(life) == wanted


def test_what_can_neither_be_written_nor_read_serves_nobody() -> None:
    life = Life(with_service(topology(), accept=(Ability.READ,)))
    for site in ("eu", "us", "ap"):
        life.break_(site, "store", Cause.IO)
    life.wait(3)
    assert stances(life) == "out out out"
    assert no_site_able(wishes(life))


def test_shared_trouble_and_what_never_passed_are_said_and_not_done() -> None:
    life = Life()
    for site in ("eu", "us", "ap"):
        life.break_(site, "quay.database", Cause.UNHEALTHY)
    life.wait(40)
    assert [w.declined for w in wishes(life)] == ["shared_outage"] * 3
    life = Life(settle_s=0)
    life.break_("eu", "store", Cause.MISSING)
    life.wait(20)
    assert wishes(life)[0].declined == "never_healthy"
    assert (wishes(life)[0].stance, wishes(life, "us")[0].stance) == ("in", "out")


def test_a_site_that_may_not_return_yet_says_what_holds_it() -> None:
    life = lived(with_timing(topology(), quiet_s=60, quiet_max_s=600), dead="eu")
    life.mend("eu", "store")
    life.wait(10)
    found = wishes(life, "us ap")[0]
    assert found.brake is not None
    assert found.reason.startswith("up, and held back by hold_down: ")
    assert {EU, US} <= {w.site for w in wishes(life)}
