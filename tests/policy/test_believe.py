"""evidence.md 3 (blind), 6 (settled) and 7 (ends, clocks)."""

from dataclasses import replace

import pytest

from gslb.domain.health import AlarmKind, Cause
from gslb.domain.messages import ReferenceRan
from gslb.domain.topology import Ability
from tests.policy.build import EU, Life, topology, with_service, with_timing


def test_a_vantage_to_which_nothing_answers_is_blind_and_takes_nobody_out() -> None:
    life = Life()
    for site in ("eu", "us", "ap"):
        life.break_(site, "store", Cause.TIMEOUT)
        life.break_(site, "quay.front", Cause.REFUSED)
    life.wait(30)
    assert life.alarms() == {"vantage-blind"}
    assert {life.verdict(s) for s in ("eu", "us", "ap")} == {"unknown"}
    assert life.served == "eu,us,ap"
    life.mend("us", "quay.front")
    life.wait(2)
    assert life.world.blind is None


@pytest.mark.parametrize(
    ("answers", "blind"), [("+--", True), ("++-", False), ("++", False), ("--", False)]
)
def test_a_vantage_is_blind_when_at_most_half_of_all_references_answer(
    answers: str, blind: bool
) -> None:
    life = Life(replace(topology(), references=("a", "b", "c")))
    for name, mark in zip("abc", answers, strict=False):
        life.tell(ReferenceRan(reference=name, answered=mark == "+", at_s=life.now.boot_s))
    assert (life.world.blind is not None) is blind
    life.wait(31)  # what they said is too old now
    assert life.world.blind is None


def test_a_process_is_settled_when_every_needed_aspect_has_a_verdict() -> None:
    life = Life(settle_s=0)
    assert not life.world.settled
    life.wait(1)
    assert life.world.settled
    life.break_("eu", "quay.front", Cause.LOCAL, blind=True)
    life.wait(20)
    assert life.world.settled  # for good


def test_and_after_settle_max_in_any_case() -> None:
    life = Life(settle_s=0)
    life.break_("eu", "quay.front", Cause.LOCAL, blind=True)
    life.wait(29)
    assert not life.world.settled
    life.wait(2)
    assert life.world.settled


def test_a_jump_of_the_wall_clock_is_told_and_moves_no_end() -> None:
    life = Life()
    life.wait(60)
    life.say("drain", "eu", for_s=100)
    life.wall_jump_s = 3600.0
    life.wait(50)
    assert life.told("clock") == ["the wall clock jumped by +3600 s; no expiry moves"]
    assert life.served == "us,ap"
    life.wait(51)
    assert life.served == "eu,us,ap"


def test_a_small_drift_of_the_clocks_is_not_told() -> None:
    life = Life()
    life.wall_jump_s = 4.0
    life.wait(2)
    assert life.told("clock") == []


def test_after_a_start_no_word_ends_within_sixty_seconds() -> None:
    life = Life()
    life.wait(60)
    life.say("drain", "eu", for_s=10)
    life.restart()
    life.wait(59)
    assert life.served == "us,ap"
    life.wait(2)
    assert life.served == "eu,us,ap"


def test_what_ends_in_a_pause_returns_no_site_before_resume() -> None:
    life = Life()
    life.wait(60)
    life.say("drain", "eu", for_s=10)
    life.wait(5)
    life.set_pause()
    life.wait(10)
    assert life.overrides == ()
    assert (life.served, life.refusals()) == ("us,ap", {("paused", "eu")})
    life.set_pause(on=False)
    life.wait(1)
    assert life.served == "eu,us,ap"


def test_a_pause_ends_by_itself() -> None:
    life = Life()
    life.wait(60)
    life.set_pause(20)
    life.break_("eu", "store", Cause.IO)
    life.wait(19)
    assert life.served == "eu,us,ap"
    life.wait(2)
    assert "the pause has ended by itself" in life.told("pause")
    assert life.served == "us,ap"


def test_an_outage_is_one_incident_from_its_fall_to_its_return() -> None:
    life = Life()
    life.break_("eu", "store", Cause.IO)
    life.wait(5)
    assert life.world.memories[EU].incident == "i-1"
    life.mend("eu", "store")
    life.wait(30)
    assert life.world.memories[EU].incident is None
    life.break_("eu", "store", Cause.IO)
    life.wait(5)
    assert life.world.memories[EU].incident == "i-2"


def test_a_ramp_is_over_after_its_last_step_or_with_its_site() -> None:
    life = Life(with_timing(topology(), ramp=(10, 50, 100)))
    memory = replace(life.world.memories[EU], ramps=((life.topo.services[0].name, 1020.0),))
    life.world = replace(life.world, memories={**life.world.memories, EU: memory})
    life.wait(59)
    assert life.world.memories[EU].ramps != ()
    life.wait(2)
    assert life.world.memories[EU].ramps == ()
    gone = replace(memory, site="gone", ramps=memory.ramps)  # type: ignore[arg-type]
    life.world = replace(life.world, memories={**life.world.memories, gone.site: gone})
    life.wait(1)
    assert life.world.memories[gone.site].ramps == ()


def test_nobody_able_is_told_from_nobody_that_takes_writes() -> None:
    for broken, kind in (("store", AlarmKind.ALL_DOWN), ("store.write", AlarmKind.READ_ONLY)):
        life = Life(with_service(topology(), accept=(Ability.READ,)))
        for site in ("eu", "us", "ap"):
            life.break_(site, broken, Cause.IO)
        life.wait(5)
        assert life.alarms() == {str(kind)}
