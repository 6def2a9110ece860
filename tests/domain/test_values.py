"""Values are frozen, and cannot be wrong."""

import pytest

from gslb.domain.control import Owner, OwnerKind
from gslb.domain.errors import ConfigError, StoreConflict, StoreError, WireError
from gslb.domain.health import Cause, CauseClass, Track
from gslb.domain.topology import Limits, ServiceName, SiteName
from gslb.domain.traffic import Answer, Generation, Target
from gslb.domain.words import GuardWord, Preview
from tests.policy.build import EU, NAME, Life, answer, topology


def test_no_answer_is_empty_and_no_target_without_weight() -> None:
    with pytest.raises(ValueError, match="an empty answer is an outage"):
        Answer(name=NAME, targets=())
    with pytest.raises(ValueError, match="what gets no traffic is left out"):
        Target("127.0.0.1", 0)
    with pytest.raises(ValueError, match="min_sites below 1"):
        Limits(min_sites=0)


def test_an_answer_keeps_its_targets_in_order() -> None:
    found = Answer(name=NAME, targets=(Target("b", 2, EU), Target("a", 1, EU), Target("c")))
    assert [t.value for t in found.targets] == ["a", "b", "c"]
    assert (found.sites, found.weight(EU), found.weight(SiteName("us"))) == ((EU,), 2, 0)
    assert answer(topology(), us=1, eu=1) == answer(topology(), eu=1, us=1)


def test_a_generation_is_read_as_it_is_written() -> None:
    generation = Generation("demo", "i1", 7, 42)
    assert str(generation) == "v1 demo i1 7 42"
    assert Generation.parse(str(generation)) == generation


@pytest.mark.parametrize("text", ["", "v2 demo i1 7 42", "v1 demo i1 7", "v1 demo i1 x 42"])
def test_what_is_no_generation_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"not a generation|invalid literal"):
        Generation.parse(text)


PATH = {Cause.REFUSED, Cause.TIMEOUT, Cause.UNRESOLVED}
BLIND = {Cause.DENIED, Cause.CLOCK, Cause.SLOW, Cause.LOCAL}


@pytest.mark.parametrize("cause", list(Cause))
def test_a_cause_speaks_of_the_site_the_way_or_us(cause: Cause) -> None:
    wanted = CauseClass.PATH if cause in PATH else CauseClass.LOCAL
    assert cause.kind is (CauseClass.BLIND if cause in BLIND else wanted)


def test_a_track_counted_last_when_the_later_of_pass_and_fail_ended() -> None:
    assert Track().counted_s is None
    assert Track(last_pass_s=2.0, last_fail_s=1.0).counted_s == 2.0
    assert Track(last_fail_s=1.0).counted_s == 1.0


def test_what_is_not_configured_is_not_found() -> None:
    topo = topology()
    assert topo.site(EU).name == EU
    assert topo.service(NAME).name == NAME
    with pytest.raises(KeyError):
        topo.site(SiteName("gone"))
    with pytest.raises(KeyError):
        topo.service(ServiceName("gone"))
    assert topo.service(NAME).endpoint(SiteName("gone")) is None


def test_errors_carry_what_the_policy_turns_on() -> None:
    error = ConfigError(("a: wrong", "b: wrong"))
    assert (str(error), error.problems) == ("a: wrong\nb: wrong", ("a: wrong", "b: wrong"))
    assert WireError("timeout", "after 2 s").cause == "timeout"
    assert issubclass(StoreConflict, StoreError)


def test_an_owner_is_told_by_kind_and_name() -> None:
    assert str(Owner(OwnerKind.ALERT, "Ceph")) == "alert:Ceph"
    assert str(Owner(OwnerKind.AUTO)) == "auto"


def test_a_preview_is_refused_by_the_first_guard_that_refuses() -> None:
    words = (
        GuardWord(guard="leader", verdict="pass", text=""),
        GuardWord(guard="min_sites", verdict="refuse", text=""),
    )
    assert Preview(changes=(), guards=words).refused == words[1]
    assert Preview(changes=(), guards=words[:1]).refused is None


def test_a_world_says_why_automation_is_off() -> None:
    life = Life()
    assert life.world.paused is None
    life.set_pause()
    assert life.world.paused == "paused by person:kim: works"
