"""evidence.md 3: suspicion, and asking the others."""

from dataclasses import replace

import pytest

from gslb.domain.health import Cause, Outcome
from gslb.domain.topology import ProbeId, ProbeSpec, Role
from gslb.policy import pace
from tests.policy.build import EU, PASS, Life, topology, with_aspects, without_probes

FAIL = (Outcome.FAIL, Cause.IO, "put: 500")


def quiet(life: Life | None = None) -> Life:
    """Nothing is probed but what a test asks for."""
    life = life or Life()
    for probe in life.topo.probes:
        life.due[probe.id] = life.begun[probe.id] = 1e12
    life.tenth += 1
    return life


def spec(life: Life, name: str) -> ProbeSpec:
    return next(p for p in life.topo.probes if p.id == name)


def suspect(life: Life) -> bool:
    return pace.is_suspect(life.world, EU, life.now.boot_s)


def test_a_fail_begins_a_suspicion_and_is_told_once() -> None:
    life = quiet()
    assert not suspect(life)
    life.see("eu", "store", FAIL)
    assert suspect(life)
    life.see("eu", "quay.front", (Outcome.FAIL, Cause.TIMEOUT, ""))
    assert life.told("suspect") == ["eu: store.write failed (put: 500); looking closer"]


def test_it_ends_with_a_verdict_and_none_begins_while_it_is_down() -> None:
    life = quiet()
    for _ in range(3):
        life.see("eu", "store", FAIL)
        life.tenth += 2
    assert not suspect(life)
    life.see("eu", "store", FAIL)
    assert not suspect(life)


def test_it_ends_after_twice_fall_passes_of_what_was_suspect() -> None:
    life = quiet()
    life.see("eu", "store", FAIL)
    for number in range(6):
        assert suspect(life), number
        life.see("eu", "quay.front")  # another probe's passes do not count
        life.see("eu", "store")
        life.tenth += 2
    assert not suspect(life)
    life.see("eu", "store", FAIL)  # after passes there is no rest
    assert suspect(life)


def test_a_gray_store_is_probed_fast_at_most_a_third_of_the_time() -> None:
    life = quiet()
    life.see("eu", "store", FAIL)
    fast = 0
    for number in range(180):  # a fail now and then, never a verdict
        life.tenth += 10
        life.see("eu", "store", FAIL if number % 5 == 0 else PASS)
        fast += suspect(life)
    assert fast <= 60 + 2
    assert fast >= 50


def test_what_only_degrades_makes_no_suspicion() -> None:
    life = quiet(Life(with_aspects(topology(), "quay.front", role=Role.DEGRADES)))
    life.see("eu", "quay.front", FAIL)
    assert not suspect(life)


@pytest.mark.parametrize(
    ("failing", "probes", "asked"),
    [
        # The site's own endtoend at once; of the others what is needed there.
        ("store", "", "eu/quay.endtoend us/store us/quay.front ap/store ap/quay.front"),
        # endtoend of others where their store is not known,
        (
            "quay.front",
            "store",
            "eu/quay.endtoend us/quay.front us/quay.endtoend ap/quay.front ap/quay.endtoend",
        ),
        # or when it is what endtoend reports that is suspect.
        (
            "quay.endtoend",
            "",
            "eu/quay.endtoend us/store us/quay.front us/quay.endtoend "
            "ap/store ap/quay.front ap/quay.endtoend",
        ),
    ],
)
def test_the_others_are_asked_once_at_once(failing: str, probes: str, asked: str) -> None:
    life = quiet(Life(without_probes(topology(), probes) if probes else topology()))
    life.see("eu", failing, FAIL)
    assert sorted(life.world.asks) == sorted(asked.split())
    assert set(life.world.asks.values()) == {life.now.boot_s}


def test_paces_under_suspicion() -> None:
    life = quiet()
    store, end = spec(life, "eu/store"), spec(life, "eu/quay.endtoend")
    now_s = life.now.boot_s
    assert [pace.pace_s(life.world, p, now_s) for p in (store, end)] == [1, 15]
    assert [pace.most_in_flight(life.world, p, now_s) for p in (store, end)] == [1, 1]
    life.see("eu", "store", FAIL)
    # endtoend goes by `interval` and never overlaps; the others by `confirm`, beside a hung one.
    assert [pace.pace_s(life.world, p, now_s) for p in (store, end)] == [0.2, 1]
    assert [pace.most_in_flight(life.world, p, now_s) for p in (store, end)] == [3, 1]


@pytest.mark.parametrize(
    ("usual_s", "after_s"), [(0.0, 0.25), (0.05, 0.25), (0.1, 0.3), (0.4, 0.5)]
)
def test_a_probe_is_suspect_after_thrice_its_usual_time_within_bounds(
    usual_s: float, after_s: float
) -> None:
    life = quiet()
    store = spec(life, "eu/store")
    world = replace(life.world, latencies={store.id: usual_s})
    assert pace.unanswered_after_s(world, store) == pytest.approx(after_s)


def test_an_ask_is_for_one_run_begun_since_and_no_sooner_than_confirm() -> None:
    life = quiet()
    store = spec(life, "us/store")
    assert pace.asked_at_s(life.world, store, 0.0) is None
    world = replace(life.world, asks={ProbeId("us/store"): 50.0})
    assert pace.asked_at_s(world, store, 10.0) == 50.0
    assert pace.asked_at_s(world, store, 49.9) == pytest.approx(50.1)
    assert pace.asked_at_s(world, store, 50.0) is None
