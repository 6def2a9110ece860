"""`gslb plan`, `gslb probe` and `gslb ack`: their words, forms and exit codes."""

import json
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from gslb.domain.health import Cause, Finding, Seen
from tests.api.fake_operator import DNS, EU, QUAY, US, answer, down
from tests.api.live import live
from tests.cli.test_against_the_api import Command, environment


@pytest.fixture
async def gslb(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> AsyncIterator[Command]:
    async with live(tmp_path) as running:
        env = environment(str(running.served.url), GSLB_TOKEN="fake-admin")
        yield Command(running, env, monkeypatch, capsys)


async def test_nothing_to_change_ends_with_0(gslb: Command) -> None:
    ran = await gslb("plan", "--exit-code")
    assert (ran.code, ran.out) == (0, "Now: nothing to change.\n")


async def test_a_site_assumed_down_shows_what_is_served_and_what_would_be(gslb: Command) -> None:
    ran = await gslb("plan", "--if", "eu=down", COLUMNS="80")
    assert ran.code == 0
    assert ran.out.splitlines()[:5] == [
        "If eu were down now: 1 change to write.",
        "",
        "dns  quay.demo",
        "  now    192.0.2.1 (eu), 192.0.2.2 (us), 192.0.2.3 (ap)",
        "  then   192.0.2.2 (us), 192.0.2.3 (ap)",
    ]
    assert "min_sites" in ran.out
    assert all(len(line) <= 80 for line in ran.out.splitlines())


async def test_what_is_pending_ends_with_5_if_asked(gslb: Command) -> None:
    view = gslb.live.operator.world.backends[DNS]
    served = replace(view, served={QUAY: answer(EU, US)})
    gslb.live.operator._world = replace(gslb.live.operator.world, backends={DNS: served})
    assert (await gslb("plan")).code == 0
    assert (await gslb("plan", "--exit-code")).code == 5


async def test_a_refusal_names_guard_figures_and_what_becomes_of_it(gslb: Command) -> None:
    gslb.live.operator._world = down(gslb.live.operator.world, EU)
    ran = await gslb("plan", "--if", "eu=down", "--if", "us=down", "--exit-code")
    assert ran.code == 5
    assert "refused by max_drained: 1 kept out already (eu)" in ran.out
    assert "→ us stays in quay.demo at dns, GslbDrainRefused fires" in ran.out


@pytest.mark.parametrize("words", [("--if", "eu"), ("--if", "eu=up"), ("--drained", "eux")])
async def test_what_is_no_plan_ends_with_2(gslb: Command, words: tuple[str, ...]) -> None:
    assert (await gslb("plan", *words)).code == 2


async def test_json_is_what_the_api_said(gslb: Command) -> None:
    ran = await gslb("plan", "--drained", "eu", "-o", "json")
    assert json.loads(ran.out)["changes"][0]["after"][0]["site"] == "us"


async def test_a_look_tells_its_steps_and_that_it_changed_nothing(gslb: Command) -> None:
    ran = await gslb("probe", "eu", "store")
    assert ran.code == 0
    assert "eu/store" in ran.out
    assert "put 14 ms" in ran.out
    assert "seen from here" in ran.out
    assert ran.err == "No state was changed.\n"


@pytest.mark.parametrize(("cause", "code"), [(Cause.IO, 1), (Cause.DENIED, 4)])
async def test_bad_differs_from_cannot_tell(gslb: Command, cause: Cause, code: int) -> None:
    gslb.live.operator.seen = Seen(findings=(Finding.of("store.write", 0.1, cause, "put: 5"),))
    ran = await gslb("probe", "eu", "--n", "3", "-v")
    assert ran.code == code
    assert (
        f"store.write      {'fail ' if code == 1 else 'blind'} 100 ms  {cause}: put: 5" in ran.out
    )
    assert "eu/store: 3 runs: 3 " in ran.out


async def test_an_unknown_site_gets_the_nearest_name(gslb: Command) -> None:
    ran = await gslb("probe", "euu")
    assert (ran.code, "did you mean `eu`?" in ran.err) == (2, True)


async def test_a_backend_is_acknowledged_by_its_name(gslb: Command) -> None:
    assert (await gslb("ack", "dns", "--reason", "it was us")).code == 0
    (word,) = gslb.live.operator.said
    assert (word[0], word[1], word[3]) == ("ack", "dns", "it was us")
