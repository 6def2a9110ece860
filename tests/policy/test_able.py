"""evidence.md 4.5 (abilities), 5 (return) and 7 (words of several owners)."""

from dataclasses import replace

import pytest

from gslb.domain.control import OwnerKind
from gslb.domain.health import Cause
from gslb.domain.topology import Ability, Freeze, ServiceName, Window
from gslb.domain.world import Memory
from gslb.policy.able import Able, able, brake, quiet_s, ramp_share, word_on, words_on
from gslb.policy.evidence import look
from gslb.policy.moment import Moment
from tests.policy.build import (
    EU,
    NAME,
    Life,
    service_of,
    topology,
    with_backend,
    with_limits,
    with_sites,
    with_timing,
)

READ, WRITE = (Ability.READ,), (Ability.WRITE,)


@pytest.mark.parametrize(
    ("broken", "needs", "can"),
    [
        ("store.write", READ, Able.YES),  # takes no writes, and stays able for pulls
        ("store.write", WRITE, Able.NO),
        ("store.read", READ, Able.NO),
        ("store.read", WRITE, Able.NO),
        ("quay.front", READ, Able.NO),
    ],
)
def test_a_registry_can_lose_the_one_ability_and_keep_the_other(
    broken: str, needs: tuple[Ability, ...], can: Able
) -> None:
    life = Life()
    life.break_("eu", broken, Cause.IO)
    life.wait(5)
    assert able(life.world, EU, service_of(life.topo), needs) is can


def test_a_site_that_never_had_an_ability_has_it_not() -> None:
    life = Life(with_sites(topology(), abilities=READ))
    assert able(life.world, EU, service_of(life.topo)) is Able.NO
    assert able(life.world, EU, service_of(life.topo), READ) is Able.YES


def test_what_was_not_seen_is_unknown() -> None:
    life = Life(settle_s=0)
    assert able(replace(life.world, states={}), EU, service_of(life.topo)) is Able.UNKNOWN
    assert able(life.world, EU, service_of(life.topo)) is Able.UNKNOWN


def test_what_another_service_lost_does_not_count_unless_probed_as_that() -> None:
    life = Life()
    life.break_("eu", "quay.front", Cause.GATEWAY)
    life.wait(5)
    other = replace(service_of(life.topo), name=ServiceName("other"))
    assert able(life.world, EU, other) is Able.YES
    assert able(life.world, EU, replace(other, probe_as=NAME)) is Able.NO


@pytest.mark.parametrize(
    ("words", "in_force"),
    [
        ("person:kim drain, person:lee force-in", "person:lee"),  # the newest of persons' wins
        ("person:lee force-in, person:kim drain", "person:kim"),
        ("person:kim force-in, alert:A drain", "person:kim"),  # a person's beats an alert's
        ("alert:A force-in, alert:B drain", "alert:B"),  # drain holds while any does
        ("alert:B drain, alert:A force-in", "alert:B"),
        ("alert:A drain, alert:B drain", "alert:A"),
        ("practice:p drain, alert:A drain", "practice:p"),
    ],
)
def test_of_several_words_one_is_in_force(words: str, in_force: str) -> None:
    life = Life()
    for said in words.split(", "):
        who, action = said.split()
        life.say(action, "eu", who)
        life.wait(1)
    word = word_on(life.world, EU, service_of(life.topo), life.moment)
    assert word is not None
    assert str(word.owner) == in_force
    assert len(words_on(life.world, EU, None, life.moment)) == 2


def test_the_newest_word_is_the_one_that_was_kept_last_though_the_wall_clock_was_set_back() -> None:
    life = Life()
    life.say("drain", "eu", "person:kim")
    life.wait(1)
    life.say("force-in", "eu", "person:lee")
    kim, lee = life.overrides
    life.overrides = (kim, replace(lee, created_wall_s=kim.created_wall_s - 3600))
    life.control()
    life.wait(1)
    word = word_on(life.world, EU, service_of(life.topo), life.moment)
    assert str(word and word.owner) == "person:lee"


def test_a_word_that_has_ended_or_speaks_of_another_service_is_none() -> None:
    life = Life()
    life.say("drain", "eu", services=(ServiceName("other"),))
    life.say("drain", "eu", "person:lee", for_s=100)
    service = service_of(life.topo)
    word = word_on(life.world, EU, service, life.moment)
    assert word is not None
    assert word.owner.name == "lee"
    assert word_on(life.world, EU, service, Moment(word.ends_at_s)) is None


def healed(life: Life) -> Life:
    """eu was out, and is up again with all its passes."""
    life.break_("eu", "store", Cause.IO)
    life.wait(5)
    life.mend("eu", "store")
    life.wait(9.5)
    return life


def held(life: Life) -> tuple[str, str] | None:
    looks = look(life.world, life.moment)
    return brake(life.world, looks, service_of(life.topo), EU, life.moment)


def test_nothing_brakes_a_site_that_never_failed() -> None:
    assert held(Life()) is None


def test_a_return_waits_for_rise_then_for_quiet() -> None:
    life = healed(Life(with_timing(topology(), quiet_s=60, quiet_max_s=600)))
    life.tell()
    assert held(life) == (
        "hold_down",
        "quiet for 60 s is wanted, 50 s are left",
    )
    life = Life(with_timing(topology(), quiet_s=1))
    life.break_("eu", "store", Cause.IO)
    life.wait(3)
    life.mend("eu", "store")
    life.wait(4)
    found = held(life)
    assert found == ("hold_down", "store.write has 4 of 10 passes")


def test_a_fail_of_listing_begins_the_quiet_anew() -> None:
    life = healed(Life(with_timing(topology(), quiet_s=60, quiet_max_s=600)))
    life.wait(30)
    life.break_("eu", "store.list", Cause.IO)
    life.wait(1.5)
    life.mend("eu", "store.list")
    life.wait(1)
    found = held(life)
    assert found is not None
    assert found[0] == "hold_down"
    assert "58 s are left" in found[1] or "59 s are left" in found[1]


@pytest.mark.parametrize(
    ("drains", "wanted_s"),
    [(0, 5.0), (1, 5.0), (2, 10.0), (3, 20.0), (4, 20.0)],
)
def test_quiet_doubles_with_each_flap_up_to_quiet_max(drains: int, wanted_s: float) -> None:
    world = Life().world
    memory = Memory(site=EU, drains=tuple(1000.0 + n for n in range(drains)))
    assert quiet_s(world, memory, 1020.0) == wanted_s
    assert quiet_s(world, memory, 1020.0 + 4 * 20 + 10) == 5.0  # flaps are forgotten


def test_a_second_drain_within_block_waits_for_ack() -> None:
    life = healed(Life())
    life.wait(5)
    assert held(life) is None
    memories = {**life.world.memories, EU: Memory(site=EU, needs_ack=True)}
    life.world = replace(life.world, memories=memories)
    found = held(life)
    assert found is not None
    assert found[0] == "ack"


@pytest.mark.parametrize(("most", "guard"), [(0, None), (2, "budget"), (3, None)])
def test_so_many_returns_an_hour(most: int, guard: str | None) -> None:
    life = Life(with_limits(topology(), changes_per_hour=most))
    now_s = life.now.boot_s
    returns = ((NAME, now_s - 10), (NAME, now_s - 5), (NAME, now_s - 3601), ("other", now_s))
    life.world = replace(life.world, returns=returns)  # type: ignore[arg-type]
    found = held(life)
    assert (found[0] if found else None) == guard


@pytest.mark.parametrize("freeze", list(Freeze))
def test_a_window_brakes_returns(freeze: Freeze) -> None:
    topo = replace(topology(), windows=(Window(cron="* * * * *", for_s=60, freeze=freeze),))
    found = held(Life(topo))
    assert found is not None
    assert found[0] == "window"


def test_a_return_grows_by_steps_where_a_backend_has_weights() -> None:
    topo = with_timing(with_backend(topology(), weights=True, weight_max=100), ramp=(10, 50, 100))
    life = Life(topo)
    service = service_of(topo)

    def share(memory: Memory, after_s: float = 0.0) -> int:
        world = replace(life.world, memories={EU: memory})
        return ramp_share(world, service, EU, Moment(2000.0 + after_s))

    assert share(Memory(site=EU)) == 100
    assert share(Memory(site=EU, left=((NAME, 1.0, str(OwnerKind.AUTO)),))) == 10
    ramping = Memory(site=EU, ramps=((NAME, 2000.0),))
    assert [share(ramping, s) for s in (0, 29, 30, 59, 60, 900)] == [10, 10, 50, 50, 100, 100]
    moment = Moment(2031.0)
    ramp_share(replace(life.world, memories={EU: ramping}), service, EU, moment)
    assert moment.wake_at_s == 2060.0


def test_without_weights_there_is_no_ramp() -> None:
    life = Life(with_timing(topology(), ramp=(10, 100)))
    memory = Memory(site=EU, left=((NAME, 1.0, "auto"),))
    world = replace(life.world, memories={EU: memory})
    assert ramp_share(world, service_of(life.topo), EU, Moment(2000.0)) == 100


def test_the_end_of_quiet_is_waited_for() -> None:
    life = healed(Life(with_timing(topology(), quiet_s=60, quiet_max_s=600)))
    moment = Moment(life.now.boot_s)
    looks = look(life.world, Moment(life.now.boot_s))
    assert brake(life.world, looks, service_of(life.topo), EU, moment) is not None
    last_s = max(x.track.last_fail_s or 0.0 for x in looks[EU])
    assert moment.wake_at_s == max(last_s, life.world.memories[EU].failed_at_s or 0.0) + 60
