"""What is learned from each input."""

from dataclasses import replace

from gslb.domain.control import Owner, OwnerKind
from gslb.domain.health import Cause
from gslb.domain.messages import (
    Acknowledged,
    AnswersRead,
    BackendFailed,
    ConfigReplaced,
    PlanApplied,
    ProbeRan,
    ProbeUnanswered,
    SaveFailed,
    StoreHealth,
)
from gslb.domain.topology import ProbeId, SiteName
from gslb.domain.traffic import Reading
from tests.policy.build import DNS, EU, KIM, NAME, Life, with_aspects, without_probes

GONE = ProbeId("gone/store")


def test_a_probe_that_a_reload_took_away_is_not_heard() -> None:
    life = Life()
    before = life.world.tracks
    life.tell(ProbeRan(probe=GONE, observations=()), ProbeUnanswered(probe=GONE, begun_s=0.0))
    assert life.world.tracks == before
    life.topo = with_aspects(life.topo, "store.list", name="store.other")
    ran = life._run(life.topo.probes[0], True)
    life.tell(ran)
    assert "store.other" not in {k.aspect for k in life.world.tracks}


def test_a_probe_that_takes_longer_than_usual_is_suspect() -> None:
    life = Life()
    life.tell(ProbeUnanswered(probe=ProbeId("eu/store"), begun_s=life.now.boot_s))
    assert life.told("suspect") == ["eu: eu/store takes longer than usual; looking closer"]


def test_the_store_is_told_once_when_it_fails_and_when_it_works() -> None:
    life = Life()
    for error in ("disk full", "disk full", None, None):
        life.tell(StoreHealth(error=error))
    assert life.told("store") == ["the store fails: disk full", "the store takes writes again"]


def test_the_usual_time_of_a_probe_is_a_running_high_percentile() -> None:
    life = Life()
    probe = ProbeId("eu/store")
    life.wait(60)
    usual_s = life.world.latencies[probe]
    for _ in range(40):
        life.tell(ProbeRan(probe=probe, observations=(), latency_s=0.5))
    assert life.world.latencies[probe] > usual_s


def test_an_acknowledgement_ends_the_block() -> None:
    life = Life()
    memory = replace(life.world.memories[EU], needs_ack=True, drains=(1.0, 2.0))
    life.world = replace(life.world, memories={**life.world.memories, EU: memory})
    life.tell(Acknowledged(site=EU, owner=KIM, reason="disk changed"))
    assert (life.world.memories[EU].needs_ack, life.world.memories[EU].drains) == (False, (2.0,))
    assert life.told("ack") == ["person:kim acknowledges eu: disk changed"]
    life.tell(Acknowledged(site=SiteName("gone"), owner=KIM, reason=""))
    assert len(life.told("ack")) == 1


def test_a_reload_keeps_the_tracks_of_probes_that_stayed_as_they_were() -> None:
    life = Life()
    topo = with_aspects(life.topo, "quay.front", digest="new")
    topo = without_probes(topo, "store", "us")
    owner = Owner(OwnerKind.PERSON, "kim")
    life.tell(ConfigReplaced(topology=topo, owner=owner, summary=("timeout 3 s",)))
    kept = {(k.site, k.aspect) for k in life.world.tracks}
    assert ("eu", "store.write") in kept
    assert ("eu", "quay.front") not in kept
    assert ("us", "store.write") not in kept
    assert life.told("config")[0].endswith("by person:kim: timeout 3 s")
    assert life.world.settled
    life.wait(2)
    assert life.served == "eu,us,ap"


def test_what_became_of_orders_of_an_old_term_is_not_heard() -> None:
    life = Life()
    life.break_("eu", "store", Cause.IO)
    life.wait(5)
    plan = replace(life.plans[-1], epoch=0)
    before = life.world.backends[DNS]
    life.tell(
        PlanApplied(plan=plan, begun_s=0.0),
        BackendFailed(backend=DNS, epoch=0, error="late"),
        SaveFailed(plan=plan, error="late"),
    )
    assert life.world.backends[DNS] == before


def test_a_plan_that_could_not_be_kept_is_made_again() -> None:
    life = Life()
    life.backend_fault = "fails"
    life.break_("eu", "store", Cause.IO)
    life.wait(0.5)
    plan = life.world.backends[DNS].sent
    assert plan is not None
    life.backend_fault, life.coming = None, []
    life.tell(SaveFailed(plan=plan, error="disk full"))
    assert life.told("store") == ["dns: the plan was not kept: disk full"]
    life.wait(0.5)
    assert life.served == "eu,us,ap"
    life.wait(1)
    assert life.served == "us,ap"


def test_something_that_is_no_generation_is_a_conflict() -> None:
    life = Life()
    reading = Reading(answers={NAME: life.held}, foreign_generation="hello")
    life.tell(AnswersRead(backend=DNS, epoch=1, reading=reading, begun_s=0.0))
    assert "'hello'" in str(life.world.backends[DNS].conflict)


def test_a_change_is_done_when_every_server_shows_it() -> None:
    life = Life()
    life.break_("eu", "store", Cause.IO)
    life.wait(0.6)
    life.coming = []
    plan = life.plans[-1]
    life.tell(PlanApplied(plan=plan, begun_s=0.0))
    for behind, done in (({NAME: ("ns2 lags",)}, False), ({}, True)):
        reading = Reading(
            answers={NAME: plan.changes[0].after}, generation=life.generation, behind=behind
        )
        life.coming = []
        life.tell(AnswersRead(backend=DNS, epoch=1, reading=reading, begun_s=0.0))
        assert bool(life.told("applied")) is done


def test_the_end_of_a_term_is_told_and_its_renewal_is_not() -> None:
    life = Life()
    life.lead(1)
    life.lead(None)
    life.lead(2)
    assert life.told("term")[1:] == ["this replica no longer leads", "term 2 begins"]
