"""When a word ends: at once if its speaker says so, never by a wrong clock after a start."""

from dataclasses import replace

from gslb.domain.control import Action, Mode, Now, Override, Owner, OwnerKind, Pause
from gslb.domain.messages import ControlChanged
from gslb.domain.world import World
from gslb.policy.learn_words import control_changed
from gslb.policy.ledger import Ledger
from tests.api.fake_operator import EU, WALL_S, a_world

WORD = Override(
    site=EU,
    action=Action.DRAIN,
    owner=Owner(OwnerKind.ALERT, "ceph"),
    reason="r",
    created_wall_s=WALL_S,
    ends_wall_s=WALL_S + 5,
)
PAUSE = Pause(owner=WORD.owner, reason="r", created_wall_s=WALL_S, ends_wall_s=WALL_S + 5)
STARTED = replace(a_world(), started_s=100.0)


def learned(world: World, word: Override, now: Now, pause: Pause | None = None) -> World:
    seen = ControlChanged(revision=1, overrides=(word,), pause=pause, mode=Mode.LIVE)
    return control_changed(world, seen, Ledger(now))


def test_what_is_said_to_a_process_that_just_started_ends_when_it_was_said_to() -> None:
    world = learned(STARTED, replace(WORD, ends_at_s=107.0), Now(102.0, WALL_S))
    assert world.overrides[0].ends_at_s == 107.0


def test_what_the_store_kept_does_not_end_in_the_first_minute() -> None:
    world = learned(STARTED, WORD, Now(102.0, WALL_S), PAUSE)
    assert world.pause is not None
    assert (world.overrides[0].ends_at_s, world.pause.ends_at_s) == (160.0, 160.0)


def test_what_the_store_kept_for_longer_ends_by_its_wall_time() -> None:
    world = learned(STARTED, replace(WORD, ends_wall_s=WALL_S + 900), Now(102.0, WALL_S))
    assert world.overrides[0].ends_at_s == 1002.0


def test_a_jump_of_the_wall_clock_moves_no_end() -> None:
    world = learned(STARTED, WORD, Now(102.0, WALL_S), PAUSE)
    world = learned(world, WORD, Now(103.0, WALL_S + 7200), PAUSE)
    assert world.pause is not None
    assert (world.overrides[0].ends_at_s, world.pause.ends_at_s) == (160.0, 160.0)
