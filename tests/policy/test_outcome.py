"""What is remembered of leaving and coming back."""

from dataclasses import replace

from gslb.domain.control import OwnerKind
from gslb.domain.health import AlarmKind, Cause
from gslb.policy.summary import problems
from tests.policy.build import AP, EU, NAME, Life, topology, with_limits, with_service


def tiered() -> Life:
    topo = with_limits(topology(), max_drained=3)
    ends = tuple(replace(e, tier=1 if e.site == "ap" else 0) for e in topo.services[0].endpoints)
    return Life(with_service(topo, endpoints=ends), served=("eu", "us"))


def test_a_standby_that_hands_back_has_not_left() -> None:
    life = tiered()
    for site in ("eu", "us"):
        life.break_(site, "store", Cause.IO)
    life.wait(40)
    assert life.served == "ap"
    for site in ("eu", "us"):
        life.mend(site, "store")
    life.wait(40)
    assert life.served == "eu,us"
    assert life.world.memories[AP].left == ()
    # So an outage of it, while it stands by, is over when it is up again.
    life.break_("ap", "store", Cause.IO)
    life.wait(5)
    assert life.world.memories[AP].incident is not None
    life.mend("ap", "store")
    life.wait(30)
    assert life.world.memories[AP].incident is None


def test_who_left_and_by_whose_word_is_remembered_until_it_is_back() -> None:
    life = Life()
    life.say("drain", "eu")
    life.wait(2)
    ((name, _, who),) = life.world.memories[EU].left
    assert (name, who) == (NAME, OwnerKind.PERSON)
    assert life.world.memories[EU].drains == ()  # no flap: a person did it
    life.release("eu")
    life.wait(2)
    assert life.world.memories[EU].left == ()


def test_a_lost_sentinel_asks_for_a_person() -> None:
    life = Life()
    life.break_("eu", "store.read", Cause.MISSING, "sentinel: gone")
    life.wait(5)
    assert AlarmKind.SENTINEL in life.alarms()


def test_a_degraded_site_is_a_warning() -> None:
    life = Life()
    life.break_("eu", "store.list", Cause.IO, "list: 500")
    life.wait(5)
    (problem,) = problems(life.world, life.now)
    assert (problem.severity, problem.text) == ("warn", "eu is degraded: store.list: list: 500")
