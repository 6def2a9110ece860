"""What is kept comes back as it was; what is none of ours does not get in."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gslb.controller.documents import from_document, shifted, to_document
from gslb.domain.control import Action, Override, Owner, OwnerKind, Pause
from gslb.domain.topology import ServiceName, SiteName
from gslb.domain.world import Memory

TIMES = st.floats(0, 1e9)
NAMES = st.text("abcxyz.-", min_size=1).map(ServiceName)
MEMORIES = st.builds(
    Memory,
    site=st.sampled_from(["eu", "us"]).map(SiteName),
    fell_at_s=st.none() | TIMES,
    failed_at_s=st.none() | TIMES,
    drains=st.lists(TIMES).map(tuple),
    needs_ack=st.booleans(),
    left=st.lists(st.tuples(NAMES, TIMES, st.sampled_from(["auto", "person"]))).map(tuple),
    ramps=st.lists(st.tuples(NAMES, TIMES)).map(tuple),
    passed=st.lists(st.text()).map(tuple),
    incident=st.none() | st.just("i-3"),
)


@given(MEMORIES)
def test_a_memory_survives_json(memory: Memory) -> None:
    assert from_document(Memory, json.loads(json.dumps(to_document(memory)))) == memory


@given(MEMORIES)
def test_moving_a_memory_to_another_clock_and_back_keeps_what_was_set(memory: Memory) -> None:
    back = shifted(shifted(memory, 5e8), -5e8)
    assert back.passed == memory.passed
    assert len(back.left) == len(memory.left)
    assert (back.fell_at_s is None) == (memory.fell_at_s is None)
    if memory.fell_at_s is not None:
        assert back.fell_at_s == pytest.approx(memory.fell_at_s, abs=1e-3)


def test_an_override_and_a_pause_survive_with_their_owners() -> None:
    owner = Owner(OwnerKind.ALERT, "CephHealthError")
    word = Override(
        site=SiteName("eu"),
        action=Action.DRAIN,
        owner=owner,
        services=(ServiceName("quay.demo"),),
        reason="r",
        created_wall_s=1.0,
        ends_wall_s=2.0,
        fingerprints=("f1", "f2"),
        skip=("min_sites",),
    )
    pause = Pause(owner=owner, reason="r", created_wall_s=1.0)
    for value in (word, pause):
        assert from_document(type(value), json.loads(json.dumps(to_document(value)))) == value


@pytest.mark.parametrize("document", [{}, {"owner": 7}, {"owner": {"kind": "king"}}, [], "pause"])
def test_what_cannot_be_read_is_an_error_of_three_kinds_only(document: object) -> None:
    with pytest.raises((ValueError, TypeError, KeyError)):
        from_document(Pause, document)
