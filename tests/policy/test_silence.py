"""evidence.md 4.2: silence is not yet the site's trouble."""

from dataclasses import replace

import pytest

from gslb.domain.health import AlarmKind, Cause, Outcome, RegistryFacts
from gslb.domain.messages import ReferenceRan
from tests.policy.build import EU, PASS, Life, topology, with_sites, without_probes

NEW, OLD = RegistryFacts(version="3.18.0"), RegistryFacts(version="3.17.4")
QUIET = {"registry": 3, "dwell": 5}


def silent_store(life: Life, cause: Cause = Cause.TIMEOUT, wait_s: float = 10.0) -> Life:
    life.break_("eu", "store", cause, "put: no answer")
    life.wait(wait_s)
    return life


@pytest.mark.parametrize("cause", [Cause.REFUSED, Cause.TIMEOUT, Cause.UNRESOLVED])
def test_a_silent_store_leaves_when_another_site_answers_and_quay_does_not_contradict(
    cause: Cause,
) -> None:
    life = silent_store(Life(without_probes(topology(), "quay.endtoend")), cause)
    assert (life.verdict("eu"), life.served) == ("down", "us,ap")


def test_a_silent_store_stays_while_no_other_site_is_reached() -> None:
    life = Life(without_probes(topology(), "quay.endtoend"))
    for site in ("us", "ap"):
        life.break_(site, "store", Cause.DENIED, blind=True)
        life.break_(site, "quay.front", Cause.LOCAL, blind=True)
    silent_store(life)
    assert (life.verdict("eu"), life.served) == ("unknown", "eu,us,ap")
    assert "is it us?" in life.world.states[EU].reasons[0].text


@pytest.mark.parametrize(
    ("facts", "preferred", "disputed"),
    [
        (NEW, None, True),
        (RegistryFacts(version="v3.19"), None, True),
        (OLD, None, False),  # a 3.17 may look at another site's store
        (OLD, True, True),  # unless its own is known to be its first preference
        (None, None, False),  # before 3.16 it does not say
        (RegistryFacts(version="unknown"), None, False),
        (RegistryFacts(version="3.18.0", readonly=True), None, False),  # says true without looking
        (RegistryFacts(version="3.17.4", readonly=True), True, False),
    ],
)
def test_quay_contradicts_only_if_it_looked_at_that_store(
    facts: RegistryFacts | None, preferred: bool | None, disputed: bool
) -> None:
    life = Life(with_sites(topology(), store_preferred=preferred), settle_s=0)
    if facts is not None:
        life.facts["eu"] = facts
    life.wait(20)
    silent_store(life)
    assert life.verdict("eu") == ("degraded" if disputed else "down")
    assert (AlarmKind.STORE_DISPUTED in life.alarms()) is disputed
    assert life.served == ("eu,us,ap" if disputed else "us,ap")


def test_nothing_but_silence_can_be_disputed() -> None:
    life = Life(settle_s=0)
    life.facts["eu"] = NEW
    life.wait(20)
    silent_store(life, Cause.IO)
    assert life.verdict("eu") == "down"


def test_the_first_false_ends_the_dispute_and_dwell_runs_from_there() -> None:
    life = Life(settle_s=0)
    life.facts["eu"] = NEW
    life.wait(20)
    silent_store(life, wait_s=3)
    life.looks["eu", "quay.storage"] = (Outcome.FAIL, Cause.UNHEALTHY, "false")
    life.tenth += 1
    life.see("eu", "quay.endtoend")
    (lost, _) = life.world.states[EU].losses
    assert lost.moves_at_s == pytest.approx(life.now.boot_s + 5)
    life.wait(4.5)
    assert life.served == "eu,us,ap"
    life.wait(1)
    assert life.served == "us,ap"


def test_no_true_for_its_stale_after_ends_the_dispute() -> None:
    life = Life(settle_s=0)
    life.facts["eu"] = NEW
    life.wait(20)
    silent_store(life, wait_s=3)
    true_s = life.begun["eu/quay.endtoend"]
    life.break_("eu", "quay.storage", Cause.SLOW, blind=True)
    life.wait(90)
    assert (life.verdict("eu"), life.served) == ("degraded", "eu,us,ap")
    assert life.now.boot_s < true_s + 95
    life.wait(11)
    assert (life.verdict("eu"), life.served) == ("down", "us,ap")


def test_no_drain_before_endtoend_has_answered_or_corroborate_is_over() -> None:
    life = Life(settle_s=0)
    life.topo.sites  # noqa: B018
    life.wait(20)
    # Its endtoend never answers: nothing is heard for `corroborate` (0.5 s) after the first fail.
    life.due["eu/quay.endtoend"] = life.begun["eu/quay.endtoend"] = 1e12
    life.break_("eu", "store", Cause.TIMEOUT)
    life.wait(0.5)
    assert "waiting for what Quay there says" in life.world.states[EU].reasons[0].text
    life.wait(0.2)
    (lost, _) = life.world.states[EU].losses
    assert lost.moves_at_s == pytest.approx(1020.1 + 0.5 + 5)


def test_a_true_that_comes_after_the_drain_changes_nothing() -> None:
    life = Life(settle_s=0)
    life.facts["eu"] = NEW
    life.break_("eu", "quay.storage", Cause.UNHEALTHY, "false")
    life.wait(20)
    silent_store(life)
    assert life.served == "us,ap"
    life.mend("eu", "quay.storage")
    life.wait(30)
    assert (life.verdict("eu"), life.served) == ("down", "us,ap")


def silent_front(life: Life) -> Life:
    life.break_("eu", "quay.front", Cause.REFUSED)
    life.wait(10)
    return life


def test_a_silent_front_leaves_when_another_sites_front_answers() -> None:
    life = silent_front(Life())
    assert (life.verdict("eu"), life.served) == ("down", "us,ap")


def test_a_silent_front_stays_while_no_other_sites_front_answers() -> None:
    life = Life()
    for site in ("us", "ap"):
        life.break_(site, "quay.front", Cause.LOCAL, blind=True)
    silent_front(life)
    assert (life.verdict("eu"), life.served) == ("unknown", "eu,us,ap")


@pytest.mark.parametrize(("answers", "served"), [(True, "us,ap"), (False, "eu,us,ap")])
def test_a_silent_front_leaves_only_if_a_reference_answered_since(
    answers: bool, served: str
) -> None:
    life = Life(replace(topology(), references=("gateway", "resolver", "uplink")))
    life.break_("eu", "quay.front", Cause.REFUSED)
    life.wait(1)
    for name in ("gateway", "resolver"):
        life.tell(ReferenceRan(reference=name, answered=answers, at_s=life.now.boot_s))
    life.wait(9)
    assert life.served == served


def test_an_answer_to_another_aspect_of_the_front_does_not_count() -> None:
    life = Life()
    life.break_("eu", "quay.front", Cause.REFUSED)
    life.wait(0.6)
    before = life.verdict("eu")
    life.see("us", "quay.front", PASS)
    assert (before, life.verdict("eu")) in {("down", "down"), ("unknown", "down")}
