"""evidence.md 6 (adoption, drift, observe) and 8 (identity and fencing)."""

from dataclasses import replace

import pytest

from gslb.domain.control import Mode
from gslb.domain.health import Cause
from gslb.domain.messages import (
    Acknowledged,
    Adopted,
    Apply,
    BackendFailed,
    PlanConfirmed,
    Read,
    Remembered,
)
from gslb.domain.topology import Drift
from gslb.domain.traffic import Fencing, Generation
from gslb.policy.explain_backend import explain_backend
from gslb.policy.summary import problems
from tests.policy.build import (
    DNS,
    KIM,
    Life,
    answer,
    topology,
    with_backend,
    with_limits,
    with_service,
)

OURS = "v1 demo i1"


def view(life: Life):
    return life.world.backends[DNS]


def dead(life: Life, site: str = "eu", for_s: float = 5.0) -> Life:
    life.break_(site, "store", Cause.IO)
    life.wait(for_s)
    return life


def test_who_does_not_lead_gives_no_order() -> None:
    life = Life()
    life.lead(None)
    life.orders.clear()
    dead(life)
    assert [o for o in life.orders if isinstance(o, Read | Apply)] == []
    assert life.verdict("eu") == "down"


def test_a_backend_is_read_before_it_is_changed_and_again_at_resync() -> None:
    life = Life(settle_s=0)
    assert isinstance(life.orders[-1], Read)
    life.wait(20)
    reads = [o for o in life.orders if isinstance(o, Read)]
    assert len(reads) == 2  # at the start, and after the generation was written
    life.wait(12)
    assert len([o for o in life.orders if isinstance(o, Read)]) == 3


def test_a_new_term_first_raises_the_generation_alone() -> None:
    life = dead(Life())
    assert str(life.generation) == f"{OURS} 1 2"
    life.lead(4)
    life.wait(1)
    assert str(life.generation) == f"{OURS} 4 1"
    assert life.plans[-1].changes == ()
    assert life.plans[-1].expects == Generation("demo", "i1", 1, 2)
    assert life.served == "us,ap"


@pytest.mark.parametrize("why", ["observe", "paused"])
def test_but_not_in_observe_nor_while_paused(why: str) -> None:
    life = dead(Life(replace(topology(), mode=None)))
    if why == "observe":
        life.mode = Mode.OBSERVE
        life.control()
    else:
        life.set_pause()
    life.lead(4)
    life.wait(5)
    assert str(life.generation) == f"{OURS} 1 2"
    # While paused a person's change takes it along.
    life.say("drain", "us", skip=("min_sites",))
    life.wait(5)
    assert str(life.generation) == f"{OURS} {'1 2' if why == 'observe' else '4 1'}"


@pytest.mark.parametrize(
    ("stands", "what"),
    [
        ("other i1 1 1", "it belongs to the cluster other"),
        ("demo i2 1 1", "it belongs to another instance of this cluster, i2"),
        ("demo i1 9 1", "its epoch 9 is above our 1: was our store cloned or restored?"),
        ("demo i1 1 7", "its sequence 7 is above any that we wrote in epoch 1"),
    ],
)
def test_what_is_not_ours_is_a_conflict_until_adopt(stands: str, what: str) -> None:
    life = Life()
    life.plans.clear()
    cluster, instance, epoch, seq = stands.split()
    life.generation = Generation(cluster, instance, int(epoch), int(seq))
    life.wait(40)
    assert view(life).conflict is not None
    assert what in str(view(life).conflict)
    dead(life)
    assert life.served == "eu,us,ap"
    assert ("foreign", "eu") in life.refusals()
    assert life.plans == []
    # It is kept in the store and survives a restart.
    life.restart()
    life.wait(5)
    assert view(life).conflict is not None
    life.tell(Adopted(backend=DNS, owner=KIM, reason="ours"))
    life.wait(5)
    assert view(life).conflict is None
    assert str(life.generation).startswith(f"{OURS} 2 ")
    assert life.served == "us,ap"


def test_adopting_takes_over_what_is_read_next_not_what_was_seen_long_ago() -> None:
    life = Life()
    life.generation = Generation("demo", "i2", 1, 1)
    life.wait(40)
    assert view(life).conflict is not None
    life.generation = Generation("demo", "i2", 1, 2)  # the other goes on writing
    life.tell(Adopted(backend=DNS, owner=KIM, reason="ours"))
    life.wait(5)
    assert view(life).conflict is None
    assert str(life.generation).startswith(f"{OURS} 1 ")


def test_a_term_that_stands_before_we_wrote_in_it_is_of_a_twin_with_our_store() -> None:
    life = dead(Life())
    life.generation = Generation("demo", "i1", 4, 1)
    life.lead(4)
    life.wait(5)
    assert "its sequence 1 is above any that we wrote in epoch 4" in str(view(life).conflict)
    life.tell(Adopted(backend=DNS, owner=KIM, reason="the other is gone"))
    life.wait(5)
    assert view(life).conflict is None
    assert str(life.generation) == f"{OURS} 4 2", "above all that the twin wrote: it will see that"


def test_what_was_fenced_was_never_written_so_the_same_number_there_is_a_twins() -> None:
    life = dead(Life())
    plan = life.plans[-1]
    assert str(plan.leaves) == str(life.generation) == f"{OURS} 1 2"
    life.tell(
        BackendFailed(backend=DNS, epoch=1, error="NXRRSET says BIND", fenced=True, plan=plan)
    )
    life.wait(5)
    assert "its sequence 2 is above any that we wrote" in str(view(life).conflict)


@pytest.mark.parametrize("stands", ["demo i1 1 1", "demo i1 0 99"])
def test_our_own_older_generation_is_gone_on_from(stands: str) -> None:
    life = dead(Life())
    cluster, instance, epoch, seq = stands.split()
    life.generation = Generation(cluster, instance, int(epoch), int(seq))
    life.wait(40)
    assert view(life).conflict is None
    assert str(life.generation).startswith(f"{OURS} 1 ")


def test_a_lost_generation_is_made_again() -> None:
    life = dead(Life())
    life.generation = None
    life.wait(40)
    assert str(life.generation) == f"{OURS} 1 3"
    assert life.plans[-1].expects is None
    assert life.plans[-1].changes == ()


def test_where_nobody_compares_there_is_no_generation() -> None:
    life = dead(Life(with_backend(topology(), fencing=Fencing.TIME)))
    assert (life.served, life.generation) == ("us,ap", None)


def test_what_is_served_as_wanted_is_adopted_at_once() -> None:
    life = Life()
    assert view(life).adopted == {"quay.demo"}
    assert life.plans == [] or life.plans[0].changes == ()
    assert life.adopted == {DNS: ("quay.demo",)}


def test_where_nothing_is_served_the_answer_is_written_at_once() -> None:
    life = Life(served=None)
    assert life.served == "eu,us,ap"
    assert view(life).adopted == {"quay.demo"}


def test_where_something_else_is_served_the_first_plan_waits_for_a_person() -> None:
    life = Life(served=("eu",))
    assert (life.served, view(life).adopted) == ("eu", frozenset())
    (plan,) = life.world.waiting.values()
    life.tell(PlanConfirmed(digest="p-something-else", owner=KIM, reason="?"))
    life.wait(1)
    assert life.served == "eu"
    life.tell(PlanConfirmed(digest=plan.digest, owner=KIM, reason="seen"))
    life.wait(1)
    assert life.served == "eu,us,ap"
    assert life.world.waiting == {}
    # From now on no drain waits on this ground.
    dead(life)
    assert life.served == "us,ap"


def test_a_confirm_lapses_after_fifteen_minutes() -> None:
    life = Life(served=("eu",))
    (plan,) = life.world.waiting.values()
    life.set_pause()
    life.mode = Mode.LIVE
    life.lead(None)
    life.tell(PlanConfirmed(digest=plan.digest, owner=KIM, reason="seen"))
    life.wait(901)
    life.set_pause(on=False)
    life.lead(7)
    life.wait(5)
    assert life.served == "eu"


@pytest.mark.parametrize("why", ["paused", "not settled"])
def test_what_a_guard_holds_at_first_is_not_adopted_by_that(why: str) -> None:
    life = Life(served=("eu",), settle_s=0)
    if why == "paused":
        life.set_pause()
    else:
        life.break_("us", "quay.front", Cause.LOCAL, blind=True)
    life.wait(10)
    assert (life.served, view(life).adopted) == ("eu", frozenset())
    life.set_pause(on=False)
    life.looks.clear()
    life.wait(10)
    assert (life.served, len(life.world.waiting)) == ("eu", 1)


def test_a_person_lets_a_refused_plan_go_by_its_digest() -> None:
    life = Life()
    life.break_("eu", "store", Cause.IO)
    life.break_("us", "store", Cause.IO)
    life.wait(5)
    assert life.served == "us,ap"
    (plan,) = life.world.waiting.values()
    assert len(life.told("confirm")) == 2  # one for each plan that waited, not one a step
    life.tell(PlanConfirmed(digest=plan.digest, owner=KIM, reason="seen"))
    life.wait(1)
    assert life.served == "ap"


def test_observe_tells_what_it_would_do_once() -> None:
    life = dead(Life(replace(topology(), mode="observe")), for_s=50)
    (text,) = life.told("would")
    assert text.startswith("dns: would change quay.demo from 127.0.0.11 (eu), ")
    assert text.endswith("(observe: nothing is written)")
    assert (life.served, life.plans, life.generation) == ("eu,us,ap", [], None)


@pytest.mark.parametrize("where", ["service", "backend"])
def test_one_service_or_backend_alone_may_only_be_looked_at(where: str) -> None:
    topo = topology()
    if where == "service":
        topo = with_service(topo, mode="observe")
    else:
        topo = replace(topo, backends=(replace(topo.backends[0], mode="observe"),))
    life = dead(Life(topo))
    assert life.served == "eu,us,ap"
    assert len(life.told("would")) == 1


def edited(life: Life, *, after_s: float = 0.0, **sites: int) -> Life:
    """Somebody else changes the record, and it is read again."""
    life.wait(after_s)
    life.held = answer(life.topo, **sites)
    life.wait(40)
    return life


def returned() -> Life:
    life = dead(Life())
    life.mend("eu", "store")
    life.wait(60)
    return life


def acknowledge(life: Life) -> None:
    life.tell(Acknowledged(backend=DNS, owner=KIM, reason="it was us"))
    life.wait(5)


def test_a_foreign_edit_is_put_right_once_an_hour_and_record() -> None:
    life = edited(returned(), eu=1)
    assert (life.served, len(life.told("drift")), life.alarms()) == ("eu,us,ap", 1, set())
    edited(life, after_s=3600, eu=1)
    assert (life.served, len(life.told("drift")), life.alarms()) == ("eu,us,ap", 2, set())


def test_a_record_that_is_edited_again_stays_so_and_is_told_until_a_person_acknowledges() -> None:
    life = edited(edited(returned(), eu=1), eu=1)
    assert (life.served, len(life.told("drift")), life.alarms()) == ("eu", 2, {"drift"})
    life.wait(2 * 3600)
    assert (life.served, len(life.told("drift")), life.alarms()) == ("eu", 2, {"drift"})
    (said,) = [p for p in problems(life.world, life.now) if "drift" in p.text]
    assert (said.severity, "gslb ack dns" in said.text) == ("warn", True)
    assert "left so: gslb ack dns" in str(explain_backend(life.world, DNS, life.now))
    acknowledge(life)
    assert (life.served, life.alarms()) == ("eu,us,ap", set())
    assert life.told("ack") == ["person:kim acknowledges dns: it was us"]
    edited(life, eu=1)
    assert life.served == "eu", "once an hour: the edit after an ack counts from its repair"


def test_whoever_edits_a_record_twice_and_takes_it_back_is_still_told_of() -> None:
    life = edited(edited(edited(returned(), eu=1), eu=1), eu=1, us=1, ap=1)
    assert (life.served, life.alarms()) == ("eu,us,ap", {"drift"})
    acknowledge(life)
    assert life.alarms() == set()


def test_a_dead_site_leaves_a_record_that_rests_for_its_edits() -> None:
    life = edited(edited(returned(), eu=1, us=1), eu=1, us=1)
    assert life.served == "eu,us"
    life.break_("us", "store", Cause.IO)
    life.wait(60)
    assert life.served == "eu,ap"
    assert "drift" in life.alarms()


def test_drift_is_only_reported_where_so_configured() -> None:
    life = dead(Life(with_limits(topology(), drift=Drift.REPORT)))
    edited(life, us=1)
    life.wait(4000)
    assert (life.served, len(life.told("drift")), life.alarms()) == ("us", 1, {"drift"})
    acknowledge(life)
    assert (life.served, life.alarms()) == ("us", set())


def test_written_is_not_done_only_a_read_back_is() -> None:
    life = Life()
    life.backend_fault = "ignores"
    dead(life)
    assert life.told("applied") == []
    assert any("is not what is served" in t for t in life.told("backend"))
    life.backend_fault = None
    life.wait(120)
    assert life.served == "us,ap"
    assert len(life.told("applied")) == 1


def test_a_backend_that_fails_rests_longer_each_time_and_is_read_first() -> None:
    life = Life()
    life.backend_fault = "fails"
    dead(life, for_s=60)
    assert view(life).fails >= 5
    assert len(life.told("backend")) == 1  # said once
    life.backend_fault = None
    life.wait(70)
    assert life.served == "us,ap"
    assert isinstance([o for o in life.orders if not isinstance(o, Apply)][-1], Read)


def test_what_another_leader_wrote_is_read_again_at_once() -> None:
    life = dead(Life())
    life.mend("eu", "store")
    life.generation = Generation("demo", "i1", 0, 1)
    life.wait(30)
    assert life.told("fenced") != []
    assert life.served == "eu,us,ap"


def test_a_refusal_is_told_once_while_it_stands() -> None:
    life = Life()
    for site in ("eu", "us", "ap"):
        life.break_(site, "store", Cause.IO)
    life.wait(100)
    assert len(life.told("refused")) == 3
    assert all(r.since_s < life.now.boot_s - 90 for r in life.world.refusals)


def test_what_was_remembered_is_known_again() -> None:
    life = Life(settle_s=0)
    life.tell(
        Remembered(
            instance="i1", memories=(), adopted={DNS: ()}, conflicts={DNS: "old"}, incidents=4
        )
    )
    assert (view(life).conflict, life.world.incidents) == ("old", 4)
