"""evidence.md, section 6: each guard refuses what it should, and whom it binds.

A row that is left out of GUARDS fails `test_each_guard_refuses` and `test_whom_it_binds`.
"""

from collections.abc import Callable
from dataclasses import replace

import pytest

from gslb.domain.control import Mode, OwnerKind
from gslb.domain.health import Cause
from gslb.domain.topology import Ability, Freeze, SiteName, Window
from gslb.domain.world import Memory, Wish
from gslb.policy.case import Case, Move
from gslb.policy.evidence import look
from gslb.policy.guard import GUARDS, first_no
from tests.policy.build import (
    AP,
    DNS,
    EU,
    NAME,
    US,
    Life,
    service_of,
    topology,
    with_backend,
    with_limits,
    with_service,
    with_timing,
)

# Section 6 of evidence.md, column by column (A: "kept, not carried out" for alerts).
COLUMNS = {
    "not_empty": "LEM",
    "leader": "LEM",
    "foreign": "LEM",
    "min_sites": "LMS",
    "min_capacity": "LMS",
    "not_sick": "EMS",
    "max_drained": "LAS",
    "velocity": "LAS",
    "hold_down": "ES",
    "budget": "ES",
    "ramp": "ES",
    "ack": "ES",
    "window": "LEAS",
    "shared_outage": "L",
    "all_down": "LE",
    "settled": "LE",
    "stale": "L",
    "vantage_blind": "L",
    "never_healthy": "L",
    "paused": "LEA",
}
FULL = {EU: 100, US: 100, AP: 100}
Scene = tuple[Case, Move]


def scene(
    life: Life | None = None,
    *,
    site: SiteName | None = EU,
    leaving: bool = True,
    kind: OwnerKind = OwnerKind.AUTO,
    after: dict[SiteName, int] | None = None,
    before: dict[SiteName, int] | None = None,
    **wish: object,
) -> Scene:
    """A quiet world, and one move in it: eu leaves (or comes back)."""
    life = life or Life()
    wishes = life.world.wishes[NAME]
    own = next((w for w in wishes if w.site == site), None)
    own = None if own is None else replace(own, **wish)  # type: ignore[arg-type]
    whole = {EU: 100, US: 100, AP: 100}
    rest = {s: w for s, w in whole.items() if s != site}
    move = Move(
        site=site,
        leaving=leaving,
        wish=own,
        kind=kind,
        before=before if before is not None else (whole if leaving else rest),
        after=after if after is not None else (rest if leaving else whole),
    )
    case = Case(
        world=life.world,
        looks=look(life.world, life.moment),
        service=service_of(life.topo),
        view=life.world.backends[DNS],
        wishes=wishes,
        moment=life.moment,
    )
    return case, move


def dead(*sites: str, life: Life | None = None, for_s: float = 2.0) -> Life:
    life = life or Life()
    for site in sites:
        life.break_(site, "store", Cause.IO)
    life.wait(for_s)
    return life


def of(scene: Scene, **changes: object) -> Scene:
    return replace(scene[0], **changes), scene[1]  # type: ignore[arg-type]


def in_world(scene: Scene, **changes: object) -> Scene:
    return of(scene, world=replace(scene[0].world, **changes))  # type: ignore[arg-type]


def left(site: SiteName, ago_s: float) -> Callable[[], Scene]:
    def make() -> Scene:
        case, move = scene()
        memory = Memory(site=site, left=((NAME, case.moment.now_s - ago_s, "auto"),))
        return in_world((case, replace(move, after={AP: 100})), memories={site: memory})

    return make


def stale() -> Scene:
    life = dead("eu")
    life.due["eu/store"] = life.begun["eu/store"] = 1e12
    life.tenth += 300
    return scene(life)


def window(freeze: Freeze, *, leaving: bool) -> Callable[[], Scene]:
    topo = replace(topology(), windows=(Window(cron="* * * * *", for_s=60, freeze=freeze),))
    return lambda: scene(Life(topo), leaving=leaving)


def ramping(after: int) -> Scene:
    topo = with_timing(with_backend(topology(), weights=True, weight_max=100), ramp=(10, 100))
    case, move = scene(Life(topo), leaving=False, after={**FULL, EU: after})
    memory = Memory(site=EU, ramps=((NAME, case.moment.now_s - 1),))
    return in_world((case, move), memories={EU: memory})


def capacity(share: float) -> Scene:
    return scene(Life(with_limits(topology(), min_capacity_share=share)))


def lease_run_out() -> Scene:
    case, move = scene()
    return in_world((case, move), lease_until_s=case.moment.now_s)


REFUSES: list[tuple[str, Callable[[], Scene]]] = [
    ("not_empty", lambda: scene(after={})),
    ("leader", lambda: in_world(scene(), epoch=None)),
    ("leader", lease_run_out),
    ("foreign", lambda: of(s := scene(), view=replace(s[0].view, conflict="another's"))),
    ("min_sites", lambda: scene(dead("us", "ap"))),
    ("min_sites", lambda: scene(Life(with_limits(topology(), min_sites=3)))),
    ("min_capacity", lambda: capacity(0.7)),
    ("not_sick", lambda: scene(dead("eu"), leaving=False)),
    ("max_drained", lambda: scene(dead("us"), before={EU: 1, AP: 1}, after={AP: 1})),
    ("velocity", left(US, 10)),
    ("velocity", lambda: of(scene(), left_now=(US,))),
    ("hold_down", lambda: scene(leaving=False, brake=("hold_down", "quiet"))),
    ("budget", lambda: scene(leaving=False, brake=("budget", "many"))),
    ("ack", lambda: scene(leaving=False, brake=("ack", "again"))),
    ("ramp", lambda: ramping(100)),
    ("window", window(Freeze.RETURNS, leaving=False)),
    ("window", window(Freeze.ALL, leaving=False)),
    ("window", window(Freeze.ALL, leaving=True)),
    ("shared_outage", lambda: scene(declined="shared_outage", reason="database")),
    ("never_healthy", lambda: scene(declined="never_healthy")),
    ("all_down", lambda: of(scene(), nobody_able=True)),
    ("settled", lambda: in_world(scene(), settled=False)),
    ("stale", stale),
    ("vantage_blind", lambda: in_world(scene(), blind="our own network")),
    ("paused", lambda: in_world(scene(), pause_file=True)),
    ("paused", lambda: in_world(scene(), pause_unreadable=True)),
]
LETS: list[tuple[str, Callable[[], Scene]]] = [
    ("min_capacity", lambda: capacity(0.6)),
    ("velocity", left(US, 31)),
    ("velocity", left(EU, 10)),
    ("ramp", lambda: ramping(10)),
    ("window", window(Freeze.RETURNS, leaving=True)),
    ("all_down", lambda: of(scene(at_once=True), nobody_able=True)),
    ("not_sick", lambda: scene(dead("eu"), leaving=False, at_once=True)),
    ("not_sick", lambda: scene(dead("eu"), leaving=False, before=FULL)),
    ("hold_down", lambda: scene(leaving=False, brake=("hold_down", "quiet"), at_once=True)),
    ("stale", lambda: scene(dead("eu"))),
    ("stale", lambda: scene(site=None)),
]


def said(scene: Scene, *, bold: bool = False) -> str | None:
    """The guard that refuses first."""
    found = first_no(*scene, bold=bold)
    return found[0].id if found is not None else None


def test_the_table_is_the_one_of_the_evidence() -> None:
    assert {g.id: g.on for g in GUARDS} == COLUMNS


def test_a_quiet_world_lets_one_site_leave_and_come() -> None:
    assert said(scene()) is None
    assert said(scene(leaving=False)) is None


@pytest.mark.parametrize(("guard", "make"), REFUSES)
def test_each_guard_refuses(guard: str, make: Callable[[], Scene]) -> None:
    found = first_no(*make())
    assert found is not None
    assert found[0].id == guard
    assert found[1].text


@pytest.mark.parametrize(("guard", "make"), LETS)
def test_and_lets_through_what_it_should(guard: str, make: Callable[[], Scene]) -> None:
    assert said(make()) != guard


@pytest.mark.parametrize("kind", list(OwnerKind))
@pytest.mark.parametrize(("guard", "make"), REFUSES)
def test_whom_it_binds(guard: str, make: Callable[[], Scene], kind: OwnerKind) -> None:
    case, move = make()
    binds = (
        kind is OwnerKind.AUTO
        or "M" in COLUMNS[guard]
        or (kind is OwnerKind.ALERT and "A" in COLUMNS[guard])
    )
    assert (said((case, replace(move, kind=kind))) == guard) is binds


@pytest.mark.parametrize(("guard", "make"), REFUSES)
def test_what_may_be_skipped_by_naming_it(guard: str, make: Callable[[], Scene]) -> None:
    case, move = make()
    skippable = "S" in COLUMNS[guard]
    assert move.wish is not None
    named = replace(move, wish=replace(move.wish, skip=(guard,)))
    assert (said((case, named)) != guard) is skippable
    other = replace(move, wish=replace(move.wish, skip=("something",)))
    assert said((case, other)) == guard
    assert (said((case, move), bold=True) != guard) is skippable


def test_sites_count_only_on_evidence_begun_after_the_first_fail() -> None:
    life = Life(with_limits(topology(), min_sites=2))
    life.break_("eu", "store", Cause.IO)
    life.wait(2)
    case, move = scene(life, since_s=life.now.boot_s + 1)
    assert said((case, move)) == "min_sites"
    # For a word of a person or an alert a pass within stale_after is enough.
    for kind in (OwnerKind.PERSON, OwnerKind.ALERT):
        assert said((case, replace(move, kind=kind))) is None


def test_who_enters_in_the_same_plan_as_a_last_resort_counts() -> None:
    life = dead("eu", "us", "ap")
    case, move = scene(life)
    rescue = tuple(
        replace(w, stance="in", at_once=True) if w.site == US else w for w in case.wishes
    )
    assert said((replace(case, wishes=rescue, nobody_able=False), move)) in (None, "max_drained")
    assert said((case, move)) in ("min_sites", "all_down")


def test_who_can_only_be_read_counts_where_that_is_accepted() -> None:
    topo = with_limits(with_service(topology(), accept=(Ability.READ,)), max_drained=3)
    life = Life(topo)
    for site in ("eu", "us", "ap"):
        life.break_(site, "store.write", Cause.IO)
    life.break_("eu", "store.read", Cause.IO)
    life.wait(3)
    assert life.served == "us,ap"
    case, move = scene(life, site=US, leaving=False, before={AP: 100})
    assert said((case, move)) is None  # not_sick lets it in


@pytest.mark.parametrize(("who", "counts"), [("alert:A", True), ("person:kim", False)])
def test_max_drained_counts_alerts_and_not_people(who: str, counts: bool) -> None:
    life = Life(with_limits(topology(), change_window_s=0.0))
    life.say("drain", "us", who)
    life.wait(2)
    case, move = scene(life, before={EU: 100, AP: 100}, after={AP: 100})
    assert (said((case, move)) == "max_drained") is counts


def test_a_standby_is_not_kept_out() -> None:
    topo = topology()
    ends = tuple(replace(e, tier=1 if e.site == "ap" else 0) for e in topo.services[0].endpoints)
    life = dead("ap", life=Life(with_service(topo, endpoints=ends), served=("eu", "us")))
    case, move = scene(life, before={EU: 100, US: 100}, after={US: 100})
    assert said((case, move)) is None


def test_what_nobody_configured_is_asked_about_too() -> None:
    case, move = scene(site=None, after=FULL)
    assert move.wish is None
    assert said((case, move)) is None
    assert said(in_world((case, move), pause_file=True)) == "paused"
    assert said((case, replace(move, leaving=False))) is None


def test_observe_is_no_guard_the_chain_runs_in_full() -> None:
    life = Life(replace(topology(), mode=None), mode=Mode.OBSERVE)
    assert said(scene(life)) is None


def test_a_wish_is_what_a_guard_may_skip_by() -> None:
    assert Wish(site=EU, stance="in").skip == ()
