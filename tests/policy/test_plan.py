"""What is served and what is wanted give moves, in order, each judged against what is left."""

from dataclasses import replace

from gslb.domain.control import OwnerKind
from gslb.domain.health import Cause
from gslb.domain.traffic import Answer, Fencing, Target
from gslb.policy.evidence import look
from gslb.policy.plan import Decided, change_of, decide, digest, in_full, make_plan, skippable
from tests.policy.build import (
    DNS,
    NAME,
    Life,
    answer,
    service_of,
    topology,
    with_backend,
    with_limits,
    with_service,
)


def decided(life: Life, *, bold: bool = False, **view: object) -> Decided:
    world = life.world
    if view:
        world = replace(world, backends={DNS: replace(world.backends[DNS], **view)})  # type: ignore[arg-type]
    looks = look(world, life.moment)
    return decide(
        world, looks, service_of(life.topo), life.topo.backends[0], life.moment, bold=bold
    )


def wanted(d: Decided) -> str:
    return "" if d.wanted is None else ",".join(d.wanted.sites)


def frozen(dead: str = "", life: Life | None = None) -> Life:
    """What died is seen, and nothing was done yet: we do not lead."""
    life = life or Life()
    life.lead(None)
    for site in dead.split():
        life.break_(site, "store", Cause.IO)
        life.wait(0.5)
    life.wait(2)
    life.world = replace(life.world, epoch=2)
    return life


def test_nothing_differs_in_a_quiet_world() -> None:
    d = decided(frozen())
    assert (wanted(d), d.differs, d.moves, d.refusals) == ("eu,us,ap", False, (), ())


def test_of_two_that_fell_the_first_leaves() -> None:
    d = decided(frozen("us eu"))
    assert wanted(d) == "eu,ap"
    assert [(m.site, m.leaving, m.kind) for m in d.moves] == [("us", True, OwnerKind.AUTO)]
    assert [(r.guard, r.site, r.leaving) for r in d.refusals] == [("max_drained", "eu", True)]
    bold = decided(frozen("us eu"), bold=True)
    assert wanted(bold) == "ap"


def test_who_enters_goes_first_and_counts_for_those_who_leave() -> None:
    topo = topology()
    ends = tuple(replace(e, tier=1 if e.site != "eu" else 0) for e in topo.services[0].endpoints)
    life = frozen("eu", Life(with_service(topo, endpoints=ends), served=("eu",)))
    d = decided(life)
    assert [(m.site, m.leaving) for m in d.moves] == [("us", False), ("ap", False), ("eu", True)]
    assert wanted(d) == "us,ap"


def test_a_persons_undrain_is_the_persons_move() -> None:
    life = Life()
    life.say("drain", "eu")
    life.wait(2)
    life.set_pause()
    life.release("eu")
    life.wait(1)
    assert life.served == "eu,us,ap"


def test_an_undrain_of_one_that_must_be_quiet_is_automations_move() -> None:
    life = Life()
    life.say("drain", "eu")
    life.break_("eu", "store", Cause.IO)
    life.wait(3)
    life.mend("eu", "store")
    life.wait(1)
    life.world = replace(life.world, states={**life.world.states})
    life.release("eu")
    life.wait(1)
    assert life.served == "us,ap"


def test_an_edit_by_others_that_moves_no_site_is_put_right() -> None:
    life = frozen()
    odd = answer(life.topo, eu=3, us=1, ap=1)
    topo = with_backend(life.topo, weights=True, weight_max=256)
    life.world = replace(life.world, topology=topo)
    life.topo = topo
    d = decided(life, served={NAME: odd})
    assert d.differs
    assert d.wanted == answer(topo, eu=100, us=100, ap=100)


def test_a_foreign_record_leaves_and_is_judged_too() -> None:
    life = frozen()
    targets = (*answer(life.topo, eu=1, us=1, ap=1).targets, Target("192.0.2.66"))
    odd = Answer(name=NAME, targets=targets)
    d = decided(life, served={NAME: odd})
    assert (wanted(d), d.differs, d.refusals) == ("eu,us,ap", True, ())
    life.world = replace(life.world, pause_file=True)
    d = decided(life, served={NAME: odd})
    assert not d.differs
    assert [(r.guard, r.site) for r in d.refusals] == [("paused", None)]


def test_touching_up_is_judged_too() -> None:
    life = frozen()
    life.world = replace(life.world, pause_file=True)
    topo = replace(
        life.topo,
        sites=tuple(
            replace(s, addresses=(f"{s.addresses[0]}", "127.0.1.1")) if s.name == "eu" else s
            for s in life.topo.sites
        ),
    )
    life.world = replace(life.world, topology=topo)
    life.topo = topo
    odd = Answer(
        name=NAME,
        targets=tuple(t for t in answer(topo, eu=1, us=1, ap=1).targets if t.value != "127.0.1.1"),
    )
    d = decided(life, served={NAME: odd})
    assert not d.differs
    assert [(r.guard, r.site) for r in d.refusals] == [("paused", None)]
    life.world = replace(life.world, pause_file=False)
    assert decided(life, served={NAME: odd}).differs


def test_where_nothing_is_served_all_that_serve_enter() -> None:
    d = decided(frozen(), served={NAME: None})
    assert (wanted(d), d.served) == ("eu,us,ap", None)
    assert change_of(d).before is None


def test_a_site_without_a_place_at_this_backend_is_left_alone() -> None:
    life = frozen("eu")
    spec = replace(
        life.topo.backends[0],
        shape=replace(life.topo.backends[0].shape, addresses=False),
        servers={"us": "pool/us", "ap": "pool/ap"},
    )
    topo = replace(life.topo, backends=(spec,))
    life.world, life.topo = replace(life.world, topology=topo), topo
    served = Answer(name=NAME, targets=(Target("pool/ap", 1, "ap"), Target("pool/us", 1, "us")))  # type: ignore[arg-type]
    d = decided(life, served={NAME: served})
    assert (d.moves, d.differs) == ((), False)


def test_named_guards_are_shown_as_skipped_when_used() -> None:
    life = Life(with_limits(topology(), min_sites=3))
    life.lead(None)
    life.say("drain", "eu", skip=("min_sites",))
    life.world = replace(life.world, epoch=2)
    d = decided(life)
    assert (d.skipped, wanted(d)) == (("min_sites",), "us,ap")
    assert skippable("min_sites")
    assert not skippable("not_empty")


def test_in_full_is_the_lowest_tier_in_whole() -> None:
    topo = topology()
    ends = tuple(replace(e, tier=1 if e.site == "ap" else 0) for e in topo.services[0].endpoints)
    life = Life(with_service(topo, endpoints=ends))
    full = in_full(life.world, service_of(life.topo), life.topo.backends[0])
    assert full is not None
    assert full.sites == ("eu", "us")


def test_a_plan_is_fenced_where_the_backend_can_compare() -> None:
    life = frozen("eu")
    view = replace(life.world.backends[DNS], seq=4)
    change = change_of(decided(life))
    plan = make_plan(life.world, view, [change], life.generation, ("because",))
    assert plan.leaves is not None
    assert str(plan.leaves) == "v1 demo i1 2 5"
    assert plan.expects == life.generation
    assert plan.reasons == ("because",)
    bump = make_plan(life.world, view, [], life.generation, ())
    assert bump.leaves is not None
    assert bump.leaves.seq == 5
    life.world = replace(life.world, topology=with_backend(life.topo, fencing=Fencing.TIME))
    plain = make_plan(life.world, view, [change], life.generation, ())
    assert (plain.expects, plain.leaves) == (None, None)


def test_a_digest_is_of_backend_service_before_and_after() -> None:
    life = frozen("eu")
    change = change_of(decided(life))
    first = digest("dns", [change])
    assert first == digest("dns", [change])
    others = {
        digest("other", [change]),
        digest("dns", []),
        digest("dns", [replace(change, before=None)]),
        digest("dns", [replace(change, after=answer(life.topo, ap=1))]),
    }
    assert first not in others
    assert len(others) == 4
    assert len(first) == 14
    assert first.startswith("p-")
