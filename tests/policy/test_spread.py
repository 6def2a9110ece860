"""On its way to clients: what resolvers say of a change, and when it is told."""

from dataclasses import replace

import pytest

from gslb.domain.control import Now
from gslb.domain.messages import Event, EventKind, ResolverAnswered
from gslb.domain.traffic import Change, Plan, Pool
from gslb.domain.world import World
from gslb.policy import spread
from gslb.policy.explain import explain_service, explain_site
from gslb.policy.ledger import Ledger
from tests.api.fake_operator import ADDRESS, AP, DNS, EU, QUAY, US, a_world, answer

A, B = "192.0.2.53", "192.0.2.54"
STAGES = (("first_fail", 90.0), ("verdict", 92.0), ("decided", 95.0), ("read_back", 96.0))
WITH = (tuple(ADDRESS.values()), 8.0)
WITHOUT = ((ADDRESS[US], ADDRESS[AP]), 12.0)


def plan(before: tuple[str, ...], after: tuple[str, ...], digest: str = "p-1") -> Plan:
    change = Change(
        pool=Pool(service=QUAY, members=(), ttl_s=12.0),
        before=answer(*before),  # type: ignore[arg-type]  # names
        after=answer(*after),  # type: ignore[arg-type]  # names
    )
    return Plan(backend=DNS, epoch=3, changes=(change,), expects=None, leaves=None, digest=digest)


LEFT = plan((EU, US, AP), (US, AP))


class Way:
    """A world with two resolvers, and what was said in it."""

    def __init__(self, *resolvers: str) -> None:
        world = a_world()
        self.world: World = replace(world, topology=replace(world.topology, resolvers=resolvers))
        self.events: list[Event] = []

    def begin(self, plan: Plan = LEFT, at_s: float = 96.0) -> None:
        ledger = Ledger(Now(at_s, 1000.0))
        stages = (*STAGES[:-1], ("read_back", at_s))
        self.world = spread.begin(self.world, plan, stages, ledger)
        self.events += ledger.events

    def says(self, resolver: str, said: object, at_s: float) -> None:
        ledger = Ledger(Now(at_s, 1000.0))
        found = {QUAY: said} if isinstance(said, tuple) else {}
        seen = ResolverAnswered(resolver=resolver, answers=found, error=str(said), at_s=at_s)
        self.world = spread.answered(self.world, seen, ledger)
        self.events += ledger.events

    @property
    def words(self) -> str:
        return spread.words(self.world.spreads[-1])


def test_without_resolvers_nothing_is_asked_and_no_line_is_there() -> None:
    way = Way()
    way.begin()
    assert (way.world.spreads, spread.asked(way.world)) == ((), ())
    sections = explain_site(way.world, EU, Now(100.0, 1000.0)).sections
    assert [s.title for s in sections] == [
        *("evidence", "verdict", "guards", "plan", "applied", "words")
    ]


def test_who_still_has_it_is_named_with_its_ttl_until_all_show_it() -> None:
    way = Way(A, B)
    way.begin()
    assert spread.asked(way.world) == (QUAY,)
    assert (way.words, way.world.spreads[0].waiting) == (
        "0 of 2 resolvers answer without eu",
        True,
    )
    way.says(A, WITHOUT, 97.0)
    way.says(B, WITH, 97.0)
    wanted = f"1 of 2 resolvers answer without eu; {B} still has {ADDRESS[EU]}, TTL 8 s left"
    assert way.words == wanted
    now = Now(98.0, 1.0)
    for text in (explain_site(way.world, EU, now), explain_service(way.world, QUAY, now)):
        assert [(s.lines, s.outcome) for s in text.sections if s.title == "seen"] == [
            ((wanted,), "waiting")
        ]
    assert way.events == []
    way.says(B, WITHOUT, 105.0)
    (event,) = way.events
    assert event.kind is EventKind.SEEN
    assert event.text == "dns: quay.demo: 2 of 2 resolvers answer without eu"
    assert (event.plan, event.backend) == ("p-1", DNS)
    assert dict(event.figures) == {
        **{"first_fail_s": 0.0, "verdict_s": 2.0, "decided_s": 5.0, "read_back_s": 6.0},
        **{"seen_s": 15.0, "resolvers": 2.0, "shown": 2.0},
    }
    assert spread.asked(way.world) == ()
    way.says(B, WITH, 106.0)
    assert len(way.events) == 1


def test_a_silent_resolver_holds_nothing_up_and_is_told_when_the_time_is_over() -> None:
    way = Way(A, B)
    way.begin()
    way.says(A, WITHOUT, 97.0)
    way.says(B, "no answer within 1 s", 97.0)
    assert way.words == (
        f"1 of 2 resolvers answer without eu; {B} does not answer: no answer within 1 s"
    )
    assert not way.world.spreads[0].waiting
    way.says(B, "no answer within 1 s", 96.0 + 12.0 + spread.MARGIN_S)
    (event,) = way.events
    assert dict(event.figures)["seen_s"] == 7.0
    assert dict(event.figures)["shown"] == 1.0


def test_one_that_keeps_it_beyond_its_time_was_not_seen() -> None:
    way = Way(A)
    way.begin()
    way.says(A, WITH, 200.0)
    (event,) = way.events
    assert "seen_s" not in dict(event.figures)
    assert way.world.spreads[0].waiting


def test_the_next_change_of_the_same_name_ends_the_one_before() -> None:
    way = Way(A)
    way.begin()
    way.says(A, WITH, 97.0)
    way.begin(plan((US, AP), (EU, US, AP), "p-2"), 98.0)
    assert [e.plan for e in way.events] == ["p-1"]
    way.says(A, WITHOUT, 99.0)
    assert way.words == (
        f"0 of 1 resolvers answer with eu; {A} does not have {ADDRESS[EU]} yet, TTL 12 s left"
    )
    way.says(A, WITH, 100.0)
    assert [e.plan for e in way.events] == ["p-1", "p-2"]


def test_no_more_than_the_last_are_kept_and_a_new_resolver_is_not_waited_for() -> None:
    way = Way(A)
    for number in range(spread.KEPT_MAX + 3):
        way.begin(plan((EU, US), (US,), f"p-{number}"))
    assert len(way.world.spreads) == spread.KEPT_MAX
    way.says(B, WITHOUT, 97.0)
    assert [*way.world.spreads[-1].said] == [A]


@pytest.mark.parametrize(
    ("stages", "wanted"),
    [
        (STAGES, 6.0),
        (STAGES[2:], None),
        (STAGES[:2], None),
    ],
)
def test_the_failover_is_what_began_with_a_fail(
    stages: tuple[tuple[str, float], ...], wanted: float | None
) -> None:
    assert dict(spread.figures(stages)).get("failover_s") == wanted
