"""evidence.md 4.5: the state of a site, its reasons, and what asks for a person."""

from dataclasses import replace

import pytest

from gslb.domain.health import AlarmKind, Cause, SiteVerdict
from gslb.domain.topology import Role
from tests.policy.build import EU, Life, topology, with_aspects, without_probes


@pytest.mark.parametrize(
    ("aspect", "cause", "blind", "state"),
    [
        ("store.write", Cause.IO, False, "down"),
        ("store.read", Cause.MISSING, False, "down"),
        ("quay.front", Cause.GATEWAY, False, "down"),
        ("store.list", Cause.IO, False, "degraded"),
        ("quay.front", Cause.LOCAL, True, "unknown"),
        ("store.list", Cause.DENIED, True, "up"),  # unknown where it is not needed
        ("quay.storage", Cause.SLOW, True, "up"),  # slow is not down (4.3)
        ("quay.database", Cause.SLOW, True, "up"),
        ("store.write", Cause.DENIED, True, "up"),  # Quay's own word is needed instead
        ("store.write", Cause.OVERLOAD, False, "down"),  # local, when it is all that comes
    ],
)
def test_an_aspect_makes_a_state(aspect: str, cause: Cause, blind: bool, state: str) -> None:
    life = Life()
    life.break_("eu", aspect, cause, "detail", blind=blind)
    life.wait(60)
    assert life.verdict("eu") == state
    assert life.verdict("us") == "up"


def test_down_beats_unknown_and_unknown_beats_degraded() -> None:
    life = Life()
    life.break_("eu", "store.list", Cause.IO)
    life.wait(5)
    assert life.verdict("eu") == "degraded"
    life.break_("eu", "quay.front", Cause.LOCAL, blind=True)
    life.wait(20)
    assert life.verdict("eu") == "unknown"
    life.looks.pop(("eu", "store.list"))
    life.break_("eu", "store.read", Cause.IO)
    life.wait(5)
    assert life.verdict("eu") == "down"


def test_a_reason_says_what_was_last_seen() -> None:
    life = Life()
    life.break_("eu", "store.write", Cause.IO, "put: 500")
    life.wait(5)
    assert life.world.states[EU].reasons[0].text == "store.write: put: 500"
    assert life.world.states[EU].reasons[0].cause is Cause.IO


def test_what_cannot_be_told_says_why() -> None:
    life = Life(without_probes(topology(), "quay.endtoend"))
    life.break_("eu", "store", Cause.DENIED, "put: 403", blind=True)
    life.wait(20)
    state = life.world.states[EU]
    assert [r.text for r in state.reasons] == [
        "store.write: cannot tell: put: 403",
        "store.read: cannot tell: put: 403",
    ]
    assert state.reasons[0].cause is Cause.DENIED
    life.due["eu/store"] = 1e12
    life.looks.clear()
    life.wait(1)
    assert life.verdict("eu") == "unknown"


def test_no_result_at_all_is_no_fresh_result() -> None:
    life = Life(settle_s=0)
    life.tell()
    assert life.world.states[EU].verdict is SiteVerdict.UNKNOWN
    assert "quay.front: no fresh result" in [r.text for r in life.world.states[EU].reasons]


def test_slow_is_said_and_degrades() -> None:
    life = Life()
    topo = with_aspects(life.topo, "quay.front", slow_s=-1.0)  # every answer is later than that
    life = Life(topo)
    assert life.verdict("eu") == "degraded"
    text = life.world.states[EU].reasons[0].text
    assert text.startswith("quay.front: slow, 3 answers in a row later than")
    assert life.served == "eu,us,ap"


@pytest.mark.parametrize(
    ("cause", "kind"),
    [
        (Cause.DENIED, AlarmKind.CREDENTIALS),
        (Cause.CLOCK, AlarmKind.CLOCK),
        (Cause.LOCAL, None),
        (Cause.SLOW, None),
    ],
)
def test_what_is_our_own_fault_asks_for_a_person_and_never_drains(
    cause: Cause, kind: AlarmKind | None
) -> None:
    life = Life()
    life.break_("eu", "store", cause, blind=True)
    life.wait(60)
    assert life.alarms() == ({str(kind)} if kind is not None else set())
    assert life.served == "eu,us,ap"


def test_a_probe_that_has_never_passed_decides_nothing_and_is_reported() -> None:
    life = Life(settle_s=0)
    life.break_("eu", "store", Cause.MISSING, "put: NoSuchBucket")
    life.wait(40)
    assert AlarmKind.NEVER_HEALTHY in life.alarms()
    assert life.served == "eu,us,ap"
    assert ("never_healthy", "eu") in life.refusals()


def test_that_it_has_passed_survives_a_restart_in_an_outage() -> None:
    life = Life()
    life.break_("eu", "store", Cause.IO)
    life.epoch = 1
    life.restart()
    life.wait(40)
    assert AlarmKind.NEVER_HEALTHY not in life.alarms()
    assert life.served == "us,ap"


def test_but_not_a_change_of_the_probes_settings() -> None:
    life = Life()
    life.break_("eu", "store", Cause.MISSING)
    life.topo = with_aspects(life.topo, "store.write", digest="other")
    life.topo = with_aspects(life.topo, "store.read", digest="other")
    life.restart()
    life.wait(40)
    assert AlarmKind.NEVER_HEALTHY in life.alarms()
    assert life.served == "eu,us,ap"


def test_an_ignored_aspect_is_not_diagnosed() -> None:
    life = Life(with_aspects(topology(), "quay.front", role=Role.IGNORE))
    life.break_("eu", "quay.front", Cause.GATEWAY)
    life.wait(20)
    assert life.verdict("eu") == "up"


def test_a_state_keeps_its_beginning_while_its_verdict_stays() -> None:
    life = Life()
    life.break_("eu", "store", Cause.IO, "put: 500")
    life.wait(5)
    since_s = life.world.states[EU].since_s
    life.break_("eu", "store", Cause.IO, "put: 503")
    life.wait(5)
    state = life.world.states[EU]
    assert state.since_s == since_s
    assert state.reasons[0].text.endswith("put: 503")
    assert state == replace(state)
