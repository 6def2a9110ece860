"""What would follow from a word, by the functions that make the plan."""

from dataclasses import replace

from gslb.domain.control import Action, Mode, Override, Owner, OwnerKind
from gslb.domain.health import Cause
from gslb.domain.topology import ServiceName
from gslb.policy.preview import preview
from tests.policy.build import EU, KIM, Life, topology, with_limits


def word(action: Action = Action.DRAIN, skip: tuple[str, ...] = ()) -> Override:
    return Override(
        site=EU,
        action=action,
        owner=KIM,
        reason="works",
        created_wall_s=2e9,
        ends_wall_s=2e9,
        skip=skip,
    )


def test_a_drain_shows_the_answer_before_and_after_and_who_was_asked() -> None:
    life = Life()
    found = preview(life.world, life.now, add=(word(),))
    ((change,),) = (found.changes,)
    assert change.before is not None
    assert (change.before.sites, change.after.sites) == (("eu", "us", "ap"), ("us", "ap"))
    assert found.refused is None
    assert [g.guard for g in found.guards] == [
        "not_empty",
        "leader",
        "foreign",
        "min_sites",
        "min_capacity",
    ]
    assert {(g.verdict, g.backend) for g in found.guards} == {("pass", "dns")}
    assert life.served == "eu,us,ap"


def test_a_guard_refuses_in_the_preview_as_it_would_in_the_plan_and_may_be_named() -> None:
    life = Life(with_limits(topology(), min_sites=3))
    found = preview(life.world, life.now, add=(word(),))
    assert found.changes == ()
    assert found.refused is not None
    assert (found.refused.guard, found.refused.skippable) == ("min_sites", True)
    named = preview(life.world, life.now, add=(word(skip=("min_sites",)),))
    assert named.refused is None
    assert [g.guard for g in named.guards if g.verdict == "skipped"] == ["min_sites"]
    life.say("drain", "eu", skip=("min_sites",))
    life.wait(1)
    assert life.served == ",".join(named.changes[0].after.sites)


def test_a_release_drops_all_persons_words_and_no_alerts() -> None:
    life = Life()
    life.say("drain", "eu", "person:lee")
    life.wait(2)
    found = preview(life.world, life.now, drop=(EU,))
    assert found.changes[0].after.sites == ("eu", "us", "ap")
    alert = replace(word(), owner=Owner(OwnerKind.ALERT, "A"))
    life.world = replace(life.world, overrides=(*life.world.overrides, alert))
    assert preview(life.world, life.now, drop=(EU,)).changes == ()


def test_going_live_shows_all_that_observe_held_back() -> None:
    life = Life(replace(topology(), mode=None), mode=Mode.OBSERVE)
    life.break_("eu", "store", Cause.IO)
    life.wait(5)
    found = preview(life.world, life.now, live=True)
    assert found.changes[0].after.sites == ("us", "ap")
    assert "stale" in {g.guard for g in found.guards}
    assert preview(life.world, life.now).guards == ()


def test_a_backend_that_was_not_read_is_said() -> None:
    life = Life(settle_s=0)
    found = preview(life.world, life.now, add=(word(),))
    assert found.notes == ("dns could not be read yet: what it serves is unknown",)


def test_a_service_that_is_not_served_there_is_not_asked() -> None:
    life = Life()
    (service,) = life.topo.services
    other = replace(service, name=ServiceName("other"), via=())
    topo = replace(life.topo, services=(service, other))
    life.world = replace(life.world, topology=topo)
    assert len(preview(life.world, life.now, add=(word(),)).changes) == 1
