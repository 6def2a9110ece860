"""Explanations answer like a colleague: why, since when, what holds, what is next; and why not."""

import pytest

from gslb.domain.control import Action, Override, Owner, OwnerKind
from gslb.domain.topology import SiteName
from gslb.domain.words import Explanation
from gslb.policy.explain import explain_backend, explain_service, explain_site
from tests.controller.house import House, running
from tests.kit import until
from tests.simulation.town import DNS, NAME

pytestmark = pytest.mark.looptime
EU = SiteName("eu")


def told(found: Explanation) -> str:
    lines = [*found.headline]
    for section in found.sections:
        lines += [f"[{section.title}: {section.outcome}]", *section.lines]
    return "\n".join([*lines, f"next: {found.next}", *found.you_can])


def site(house: House, name: str = "eu") -> str:
    return told(explain_site(house.controller.world, SiteName(name), house.controller.now()))


async def test_a_site_that_was_drained_says_who_why_since_when_and_what_brings_it_back() -> None:
    async with running() as house:
        house.town.places["eu"].store = "500"
        await until(lambda: house.served == {"us", "ap"}, 10)
        await until(lambda: house.told("read back"), 5)
        text = site(house)
    assert "eu is out since" in text
    assert "taken out by the controller. Incident i-1." in text
    assert "It is down because store.write: put: 500" in text
    assert "The fault is its own: us and ap pass." in text
    assert "store.write is down (3 in a row)" in text
    assert "pass when it left quay.demo at dns (us, ap in; at least 1 wanted)" in text
    assert "dns: as planned, read" in text
    assert "next: back after 10 passes (0/10) + 5 s quiet" in text
    assert "gslb events --incident i-1" in text


async def test_a_sick_site_that_stays_in_names_the_guard_that_keeps_it() -> None:
    async with running() as house:
        for name in ("eu", "us"):
            house.town.places[name].store = "500"
        await until(lambda: house.told("refused by max_drained"), 10)
        (kept,) = house.served - {"ap"}
        text = site(house, kept)
    assert f"{kept} is in since" in text
    assert "It is not taken out: max_drained refuses: 1 kept out already" in text
    assert "[guards: refused]" in text
    assert "next: stays in: refused by max_drained" in text


async def test_a_disputed_store_says_that_it_is_our_path() -> None:
    async with running() as house:
        house.town.places["eu"].path = "refuse"
        await until(lambda: house.told("our path to its store"), 10)
        text = site(house)
        assert house.served == {"eu", "us", "ap"}
    assert "It is degraded because our path to its store" in text
    assert "while Quay there says storage: true" in text


async def test_a_word_is_told_with_its_owner_reason_and_end() -> None:
    async with running() as house:
        now = house.controller.now().wall_s
        word = Override(
            site=EU,
            action=Action.DRAIN,
            owner=Owner(OwnerKind.PERSON, "kim"),
            reason="disk swap",
            created_wall_s=now,
            ends_wall_s=now + 7200,
        )
        await house.controller.set_override(word)
        await until(lambda: house.served == {"us", "ap"}, 5)
        text = site(house)
    assert "held out by person:kim until" in text
    assert "drain by person:kim for another 2 h: disk swap" in text
    assert "gslb undrain eu" in text


async def test_shared_trouble_says_why_nothing_moves() -> None:
    async with running() as house:
        house.town.database = "refuse"
        await until(lambda: house.told("moving traffic cannot help"), 60)
        await until(lambda: "3 of 3 sites" in site(house), 30)
        text = site(house)
        assert house.served == {"eu", "us", "ap"}
    assert "It is not taken out: shared_outage refuses: quay.database fails at 3 of 3 sites" in text


async def test_a_service_and_a_backend_say_what_is_served_and_how_it_was_chosen() -> None:
    async with running() as house:
        house.town.places["eu"].store = "500"
        await until(lambda: house.served == {"us", "ap"}, 10)
        await until(lambda: house.told("read back"), 5)
        world, now = house.controller.world, house.controller.now()
        service = told(explain_service(world, NAME, now))
        backend = told(explain_backend(world, DNS, now))
    assert "quay.demo is answered by 127.0.0.12 (us), 127.0.0.13 (ap) at dns since" in service
    assert "able no" in service
    assert "next: eu returns when store.write passes again" in service
    assert "dns (memory) is as planned, read" in backend
    assert "quay.demo: 127.0.0.12 (us), 127.0.0.13 (ap)" in backend
