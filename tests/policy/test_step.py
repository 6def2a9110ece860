"""house.md 3: pure, deterministic, and asleep until the moment it names."""

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gslb.domain.control import Now
from gslb.domain.health import Cause
from gslb.domain.messages import Keep, Read
from gslb.domain.topology import Freeze, Window
from gslb.policy.step import step
from tests.policy.build import Life, replace_windows, topology, with_limits, with_timing

SITES = ("eu", "us", "ap")
ASPECTS = ("store", "quay.front", "quay.storage", "quay.database", "store.list")
CAUSES = (Cause.IO, Cause.TIMEOUT, Cause.DENIED, Cause.SLOW)
BREAK = st.tuples(
    st.just("break"), st.sampled_from(SITES), st.sampled_from(ASPECTS), st.sampled_from(CAUSES)
)
MEND = st.tuples(st.just("mend"), st.sampled_from(SITES), st.sampled_from(ASPECTS))
SAY = st.tuples(
    st.just("say"),
    st.sampled_from(("drain", "force-in")),
    st.sampled_from(SITES),
    st.sampled_from(("person:kim", "alert:A")),
    st.sampled_from((30.0, 90.0)),
)
OTHER = st.sampled_from(
    [("pause", 20.0), ("resume",), ("fails",), ("works",), ("edit",), ("restart",), ("lead",)]
)
DAYS = st.lists(
    st.tuples(st.one_of(BREAK, MEND, SAY, OTHER), st.sampled_from((0.3, 1.0, 4.0, 15.0))),
    max_size=8,
)
TOPO = replace_windows(
    with_limits(with_timing(topology(), block_s=60), max_drained=2),
    Window(cron="*/2 * * * *", for_s=60, freeze=Freeze.RETURNS),
)


def happen(life: Life, what: tuple[object, ...]) -> None:
    match what:
        case ("break", str(site), str(aspect), Cause() as cause):
            life.break_(site, aspect, cause, blind=cause in (Cause.DENIED, Cause.SLOW))
        case ("mend", str(site), str(aspect)):
            life.mend(site, aspect)
        case ("say", str(action), str(site), str(who), float(for_s)):
            life.say(action, site, who, for_s)
        case ("pause", float(for_s)):
            life.set_pause(for_s)
        case ("resume",):
            life.set_pause(on=False)
        case ("fails" | "works" as fault,):
            life.backend_fault = fault
        case ("edit",):
            life.held = life.held and type(life.held)(
                name=life.held.name, targets=life.held.targets[:1]
            )
        case ("restart",):
            life.restart()
        case ("lead",):
            life.lead(life.epoch + 1)
        case _:
            raise AssertionError(what)


@settings(max_examples=60, deadline=None)
@given(DAYS, st.floats(0.0, 0.999))
def test_before_it_wants_to_be_woken_an_empty_step_says_nothing(
    day: list[tuple[tuple[object, ...], float]], share: float
) -> None:
    life = Life(TOPO)
    for what, wait_s in day:
        happen(life, what)
        life.wait(wait_s)
        _says_nothing(life, share)


def _says_nothing(life: Life, share: float) -> None:
    now = life.now
    # As after any step: what has become due at this very tenth is taken first.
    taken = life.tell()
    until_s = taken.wake_at_s if taken.wake_at_s is not None else now.boot_s + 1000.0
    ahead_s = (until_s - now.boot_s) * share
    later = Now(now.boot_s + ahead_s, now.wall_s + ahead_s)
    empty = step(taken.world, (), later)
    assert (empty.events, empty.orders) == ((), ())
    assert empty.world.states == taken.world.states
    # Nor would deciding anew: else it would have been slept over.
    forced = step(replace(taken.world, decided_on=()), (), later)
    assert (forced.events, forced.orders) == ((), ())


@settings(max_examples=15, deadline=None)
@given(DAYS)
def test_the_same_day_gives_the_same_events_and_orders(
    day: list[tuple[tuple[object, ...], float]],
) -> None:
    lives = [Life(TOPO), Life(TOPO)]
    for life in lives:
        for what, wait_s in day:
            happen(life, what)
            life.wait(wait_s)
    assert lives[0].events == lives[1].events
    assert lives[0].orders == lives[1].orders
    assert lives[0].world == lives[1].world


@settings(max_examples=30, deadline=None)
@given(DAYS)
def test_whatever_happens_the_answer_is_never_empty(
    day: list[tuple[tuple[object, ...], float]],
) -> None:
    life = Life(TOPO)
    for what, wait_s in day:
        happen(life, what)
        life.wait(wait_s)
        assert life.served


def test_a_step_leaves_the_world_it_was_given_as_it_was() -> None:
    life = Life()
    life.break_("eu", "store", Cause.IO)
    life.wait(0.3)
    before, copy = life.world, str(life.world)
    life.wait(3)
    assert life.world is not before
    assert str(before) == copy


def test_a_world_grows_older_only_by_what_was_said() -> None:
    life = Life()
    version = life.world.version
    taken = step(life.world, (), life.now)
    assert taken.world.version == version
    life.wait(1)
    assert life.world.version > version


def test_what_must_be_kept_comes_before_what_must_be_done() -> None:
    life = Life(settle_s=0)
    life.orders.clear()
    life.wait(1)
    kinds = [type(o) for o in life.orders]
    assert Keep in kinds
    assert kinds.index(Keep) == 0


def test_it_asks_to_be_woken_for_the_next_read() -> None:
    life = Life()
    for probe in life.topo.probes:
        life.due[probe.id] = 1e12
    taken = life.tell()
    assert taken.wake_at_s is not None
    read_at_s = life.world.backends[life.topo.backends[0].name].read_at_s
    assert read_at_s is not None
    assert taken.wake_at_s <= read_at_s + 30
    life.orders.clear()
    life.wait(31)
    assert any(isinstance(o, Read) for o in life.orders)


@pytest.mark.parametrize("ends_s", [65.0])
def test_a_word_ends_by_being_woken_for_it(ends_s: float) -> None:
    life = Life()
    life.wait(50)
    life.say("drain", "eu", for_s=ends_s)
    life.wait(ends_s + 1)
    assert any("has ended by itself" in t for t in life.told("override"))
