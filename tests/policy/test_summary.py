"""The world in a few sentences: what is told must be so."""

from dataclasses import replace

import pytest

from gslb.domain.health import Cause
from gslb.domain.messages import StoreHealth
from gslb.domain.traffic import Generation
from gslb.policy.summary import back_after, length, problems, traffic
from tests.policy.build import DNS, EU, NAME, Life, topology, with_timing


def texts(life: Life) -> list[str]:
    return [f"{p.severity}: {p.text}" for p in problems(life.world, life.now)]


def test_a_quiet_world_has_no_problem() -> None:
    life = Life()
    assert texts(life) == []
    seen = traffic(life.world, EU, life.now)
    assert (seen.state, seen.owner, seen.next) == ("in", None, "")
    assert seen.share == pytest.approx(1 / 3)


def test_a_site_that_automation_took_out() -> None:
    life = Life()
    life.break_("eu", "store", Cause.IO, "put: 500")
    life.wait(5)
    assert texts(life) == ["warn: eu is down and out: store.write: put: 500"]
    seen = traffic(life.world, EU, life.now)
    assert (seen.state, str(seen.owner), seen.until_wall_s) == ("out", "auto", None)
    assert seen.next == "back after 10 passes (0/10) + 5 s quiet"
    assert back_after(life.world, EU, life.now) == seen.next


def test_a_site_that_several_hold_out() -> None:
    life = Life()
    life.break_("eu", "store", Cause.IO, "put: 500")
    life.say("drain", "eu", "alert:A")
    life.say("drain", "eu", for_s=3 * 3600.0)
    life.wait(5)
    seen = traffic(life.world, EU, life.now)
    assert [str(o) for o in seen.owners] == ["person:kim", "alert:A", "auto"]
    assert seen.because == "drain by person:kim: works"
    assert seen.next == "ends by itself in 3 h"
    assert seen.until_wall_s is not None


def test_a_dead_site_that_a_guard_keeps_in_is_a_page() -> None:
    life = Life()
    life.set_pause()
    life.break_("eu", "store", Cause.IO, "put: 500")
    life.wait(5)
    found = texts(life)
    assert found[0] == "page: eu is down and still in: store.write: put: 500"
    assert any(t.startswith("page: eu stays in quay.demo at dns: refused by paused") for t in found)
    assert found[-1] == "warn: automation is off: paused by person:kim: works"
    assert traffic(life.world, EU, life.now).next.startswith("stays in: refused by paused")


def test_a_site_that_waits_for_ack_says_so() -> None:
    life = Life(with_timing(topology(), block_s=3600))
    for _ in range(2):
        life.break_("eu", "store", Cause.IO)
        life.wait(5)
        life.mend("eu", "store")
        life.wait(40)
    assert traffic(life.world, EU, life.now).next.endswith("then `gslb ack i-2`")
    assert any(t.startswith("warn: eu is up and out") for t in texts(life))


def test_what_waits_for_a_person_and_what_is_not_ours() -> None:
    life = Life(served=("eu",))
    (plan,) = life.world.waiting.values()
    assert f"warn: {plan.digest} at dns waits for a person" in texts(life)
    life.generation = Generation("demo", "i2", 1, 1)
    life.wait(40)
    assert any(t.startswith("page: dns is in conflict: it belongs to another") for t in texts(life))


def test_a_backend_that_fails_or_lags_and_a_store_that_takes_no_writes() -> None:
    life = Life()
    life.tell(StoreHealth(error="disk full"))
    life.backend_fault = "fails"
    life.wait(40)
    found = texts(life)
    assert "page: the store takes no writes: disk full; overrides are refused" in found
    assert any("dns does not answer for" in t for t in found)
    view = replace(life.world.backends[DNS], behind={NAME: ("ns2 lags",)})
    life.world = replace(life.world, backends={DNS: view})
    assert "warn: dns: ns2 lags" in texts(life)


def test_what_cannot_be_read_is_unknown() -> None:
    life = Life(settle_s=0)
    assert traffic(life.world, EU, life.now).state == "unknown"


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(8.4, "8 s"), (60, "1 min"), (90, "90 s"), (300, "5 min"), (7200, "2 h"), (3 * 86400, "3 d")],
)
def test_a_length_is_told_in_its_own_unit(seconds: float, text: str) -> None:
    assert length(seconds) == text
