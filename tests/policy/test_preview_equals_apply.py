"""Law 3: what a preview says of a state is what the core then orders, in lives led by dice."""

import os
import random
from dataclasses import replace

import pytest

from gslb.domain.control import Mode
from gslb.domain.health import Cause
from gslb.domain.messages import Apply, Input, PlanConfirmed, Read
from gslb.domain.topology import Topology
from gslb.domain.traffic import Change, Generation
from gslb.domain.words import Fate
from gslb.policy.learn import learn
from gslb.policy.ledger import Ledger
from gslb.policy.preview import preview
from gslb.policy.step import Step
from tests.policy.build import DNS, KIM, Life, answer, topology, with_backend, with_limits

SEEDS = min(int(os.environ.get("GSLB_SEEDS", "12")), 200)
SITES = ("eu", "us", "ap")


class Foreseen(Life):
    """A life in which every step is foretold, from what has been learned, right before it."""

    told_of = 0
    refused = 0
    waited = 0

    def tell(self, *inputs: Input) -> Step:
        world, ledger = self.world, Ledger(self.now)
        for seen in inputs:
            world = learn(world, seen, ledger)
        said = preview(world, self.now, whole=True)
        taken = super().tell(*inputs)
        view = world.backends.get(DNS)
        asleep = view is None or view.busy or self.now.boot_s < view.rest_until_s
        plans = [o.plan for o in taken.orders if isinstance(o, Apply)]
        raised = any(not plan.changes for plan in plans)
        if (
            asleep
            or raised
            or world.epoch is None
            or any(isinstance(o, Read) for o in taken.orders)
        ):
            return taken  # it is asked of the backend first what it serves
        foretold = [c for c in said.changes if c.fate is Fate.GOES]
        ordered = [_words(change) for plan in plans for change in plan.changes]
        assert [(c.service, c.before, c.after) for c in foretold] == ordered
        refused = {(g.guard, g.site) for g in said.guards if g.verdict == "refuse"}
        assert refused == {(r.guard, r.site) for r in taken.world.refusals} or ordered
        waits = [c.digest for c in said.changes if c.fate is Fate.WAITS]
        assert waits in ([], [p.digest for p in taken.world.waiting.values()])
        would = any(c.fate is Fate.WOULD for c in said.changes)
        assert would == bool(taken.world.would.get(DNS))
        self.told_of += len(ordered)
        self.refused += len(refused)
        self.waited += len(waits)
        return taken


def _words(change: Change) -> tuple[object, ...]:
    return change.pool.service, change.before, change.after


def a_day(dice: random.Random) -> Foreseen:
    life = Foreseen(
        _topology(dice),
        served=dice.choice([SITES, SITES, SITES, ("eu",), None]),
        mode=dice.choice([Mode.LIVE, Mode.LIVE, Mode.OBSERVE]),
    )
    for _ in range(40):
        something(life, dice)
        life.wait(dice.choice([0.3, 2, 10, 40]))
    return life


def _topology(dice: random.Random) -> Topology:
    topo = replace(topology(), mode=None)
    topo = with_limits(topo, min_sites=dice.choice([1, 1, 2]), max_drained=dice.choice([1, 2]))
    return with_backend(topo, weights=True, weight_max=256) if dice.random() < 0.3 else topo


def something(life: Foreseen, dice: random.Random) -> None:
    site = dice.choice(SITES)
    waiting = tuple(life.world.waiting.values())
    match dice.randrange(9):
        case 0 | 1:
            life.break_(site, dice.choice(["store", "quay.front"]), Cause.IO)
        case 2:
            for aspect in ("store", "quay.front"):
                life.mend(site, aspect)
        case 3:
            who = dice.choice(["person:kim", "person:lee", "alert:Disk"])
            skip = dice.choice([(), ("min_sites",)]) if who != "alert:Disk" else ()
            life.say(dice.choice(["drain", "drain", "force-in"]), site, who, 30.0, skip)
        case 4:
            life.release(site)
        case 5:
            life.set_pause(on=life.pause is None)
        case 6:
            life.held = answer(life.topo, **{site: 1})
        case 7:
            life.backend_fault = dice.choice([None, None, "fails", "ignores"])
        case _ if waiting:
            digest = waiting[0].digest
            life.tell(PlanConfirmed(digest=digest, owner=KIM, reason="as shown"))
        case _:
            life.lead(life.epoch + 1)


@pytest.mark.timeout(110)
@pytest.mark.parametrize("part", range(4))
def test_what_a_preview_says_is_what_the_core_then_orders(part: int) -> None:
    days = [a_day(random.Random(seed)) for seed in range(part, SEEDS, 4)]
    assert sum(d.told_of for d in days) > 1
    assert sum(d.refused for d in days) > 1


def test_what_somebody_else_has_served_so_far_waits_in_the_preview_as_it_does_in_the_plan() -> None:
    life = Foreseen(served=("eu",), generation=None)
    assert life.waited > 0
    (change,) = preview(life.world, life.now).changes
    assert (change.fate, change.after.sites) == (Fate.WAITS, SITES)
    life.tell(PlanConfirmed(digest=change.digest or "", owner=KIM, reason="as shown"))
    life.wait(2)
    assert life.served == ",".join(SITES)


def test_a_record_that_others_edited_again_rests_in_the_preview() -> None:
    life = Foreseen()
    life.say("drain", "eu", for_s=9000.0)
    life.wait(5)
    for _ in range(2):
        life.held = answer(life.topo, us=1)
        life.wait(40)
    assert [c.fate for c in preview(life.world, life.now).changes] == [Fate.RESTS]
    assert life.served == "us"


def test_a_site_that_is_assumed_down_does_to_the_answer_what_a_dead_one_does() -> None:
    life = Foreseen(generation=Generation("demo", "i1", 1, 1))
    said = preview(life.world, life.now, down=(life.topo.sites[0].name,), whole=True)
    life.break_("eu", "store", Cause.IO)
    life.wait(5)
    assert [(c.before, c.after) for c in said.changes] == [
        (c.before, c.after) for p in life.plans for c in p.changes
    ]
