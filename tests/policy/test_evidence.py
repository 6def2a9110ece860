"""evidence.md 4.5 (needed, abilities), section 3 (fresh evidence) and the dwell."""

from dataclasses import replace

import pytest

from gslb.domain.health import Cause, Outcome, Verdict
from gslb.domain.topology import Ability, Role
from gslb.policy.evidence import NEVER, fresh_since, look, loss, needed, unseen
from tests.policy.build import EU, US, Life, service_of, topology, with_aspects, without_probes


@pytest.mark.parametrize(
    ("known", "names"),
    [
        ("store quay.front quay.endtoend", "store.write store.read quay.front"),
        # A store that we cannot tell of: Quay's own word is needed instead.
        ("quay.front quay.endtoend", "quay.front quay.storage"),
        ("", "quay.front quay.storage"),
    ],
)
def test_what_is_needed_depends_on_whether_the_store_is_known(known: str, names: str) -> None:
    life = Life(settle_s=0)
    for probe in known.split():
        life.see("eu", probe)
    looks = look(life.world, life.moment)["eu"]
    assert [x.aspect.name for x in needed(looks)] == names.split()


def test_without_a_store_probe_quays_word_is_needed() -> None:
    life = Life(without_probes(topology(), "store"))
    assert [x.aspect.base for x in needed(look(life.world, life.moment)[EU])] == [
        "quay.front",
        "quay.storage",
    ]


def test_without_endtoend_the_store_is_needed_even_while_unknown() -> None:
    life = Life(without_probes(topology(), "quay.endtoend"), settle_s=0)
    names = [x.aspect.name for x in needed(look(life.world, life.moment)[EU])]
    assert names == ["store.write", "store.read", "quay.front"]


def test_what_only_degrades_or_is_shared_or_ignored_makes_nothing_unknown() -> None:
    topo = with_aspects(topology(), "quay.front", role=Role.DEGRADES)
    topo = with_aspects(topo, "store.list", role=Role.IGNORE)
    life = Life(topo)
    looks = look(life.world, life.moment)[EU]
    assert "store.list" not in [x.aspect.name for x in looks]
    assert [x.aspect.name for x in needed(looks)] == ["store.write", "store.read"]


def test_a_blind_vantage_knows_nothing() -> None:
    life = Life()
    looks = unseen(look(life.world, life.moment))
    assert {x.verdict for site in looks.values() for x in site} == {Verdict.UNKNOWN}


def test_evidence_is_fresh_when_each_needed_aspect_passed_in_a_look_begun_since() -> None:
    life = Life()
    service = service_of(life.topo)
    since_s = life.now.boot_s + 0.05

    def fresh() -> bool:
        return fresh_since(life.world, US, service, since_s, look(life.world, life.moment))

    assert not fresh()
    life.tenth += 1
    life.see("us", "store")
    assert not fresh()
    life.see("us", "quay.front")
    assert fresh()
    life.tenth += 1
    life.see("us", "quay.front", (Outcome.FAIL, Cause.GATEWAY, ""))
    assert not fresh()  # who is itself failing does not count


@pytest.mark.parametrize(("cause", "counts"), [(Cause.SLOW, True), (Cause.DENIED, False)])
def test_slow_counts_as_fresh_for_endtoend_while_its_verdict_is_up(
    cause: Cause, counts: bool
) -> None:
    life = Life(without_probes(topology(), "store"))
    service = service_of(life.topo)
    since_s = life.now.boot_s + 0.05
    life.tenth += 1
    life.see("us", "quay.front")
    life.see("us", "quay.endtoend", (Outcome.BLIND, cause, "504"))
    looks = look(life.world, life.moment)
    assert fresh_since(life.world, US, service, since_s, looks) is counts


def test_a_site_without_needed_aspects_proves_nothing() -> None:
    topo = topology()
    for name in ("store", "quay.front", "quay.endtoend"):
        topo = without_probes(topo, name, "us")
    life = Life(topo)
    assert not fresh_since(life.world, US, service_of(topo), 0.0, look(life.world, life.moment))


def test_a_silent_site_is_told_from_one_that_answers_wrongly() -> None:
    life = Life()
    life.break_("eu", "store", Cause.TIMEOUT)
    life.break_("us", "store", Cause.IO)
    life.wait(2)
    looks = look(life.world, life.moment)
    eu, us = looks[EU][0], looks[US][0]
    assert (eu.silent, us.silent) == (True, False)
    assert (eu.unanswered, us.unanswered) == (True, False)
    life.break_("us", "store", Cause.LOCAL, blind=True)
    life.wait(2)
    us = look(life.world, life.moment)[US][0]
    assert not us.unanswered  # its last result that counts was an answer
    quiet = replace(us, track=replace(us.track, fails=0, last_fail_s=None))
    assert quiet.unanswered


def test_a_loss_says_what_it_takes_and_when_it_may_move_traffic() -> None:
    life = Life()
    life.break_("eu", "store.write", Cause.IO, "put: 507")
    life.wait(2)
    seen = look(life.world, life.moment)[EU][0]
    lost = loss(seen, "text", seen.track.since_s, 5.0)
    assert lost.takes == (Ability.WRITE,)
    assert lost.reason.cause is Cause.IO
    assert lost.first_fail_s == seen.track.first_fail_s
    assert lost.moves_at_s == seen.track.since_s + 5
    assert not lost.never_passed


def test_the_dwell_is_time_covered_by_fails() -> None:
    life = Life()
    life.break_("eu", "store", Cause.TIMEOUT)
    life.wait(2)
    life.mend("eu", "store")
    life.wait(2)
    seen = look(life.world, life.moment)[EU][0]
    # Passes have come since: only a fail after its end completes it.
    assert loss(seen, "", seen.track.since_s, 5.0).moves_at_s == NEVER
    assert loss(seen, "", seen.track.since_s, 0.5).moves_at_s < life.now.boot_s
    life.wait(6.5)  # rise is 10 passes: it is down all the while, without a fail
    life.break_("eu", "store", Cause.TIMEOUT)
    life.wait(1)
    again = look(life.world, life.moment)[EU][0]
    assert again.down
    assert again.track.covered_since_s is not None
    assert again.track.covered_since_s > seen.track.since_s + 7
    assert loss(again, "", again.track.since_s, 5.0).moves_at_s == again.track.covered_since_s + 5
