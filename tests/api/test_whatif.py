"""`/v1/plan` and `/v1/probe`: what would be, and one look; nothing is changed by either."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from gslb.api.whatif import LOOKS_PER_MIN
from gslb.domain.control import Mode
from gslb.domain.health import Cause, Finding, Seen
from tests.api.fake_operator import EU, FakeOperator, a_world, down
from tests.api.live import Live, live, token
from tests.api.test_openapi import fits


@pytest.fixture
async def api(tmp_path: Path) -> AsyncIterator[Live]:
    here = token("here", "drain", sites=["eu"])
    async with live(tmp_path, None, here) as running:
        yield running


async def test_a_whole_house_has_nothing_to_change(api: Live) -> None:
    said = await api.get("/v1/plan")
    assert (said.status, said.body["pending"], said.body["changes"]) == (200, 0, [])
    assert said.body["text"] == "Now: nothing to change."
    fits(said.body, "Plan")


async def test_a_site_assumed_down_leaves_and_the_world_is_as_before(api: Live) -> None:
    before = api.operator.world
    said = await api.post("/v1/plan", {"assume": {"eu": "down"}}, token="read")
    (change,) = said.body["changes"]
    assert [t["site"] for t in change["after"]] == ["us", "ap"]
    assert (change["fate"], said.body["pending"]) == ("goes", 1)
    assert said.body["text"] == "If eu were down now: 1 change to write."
    assert {g["verdict"] for g in said.body["guards"]} == {"pass"}
    assert said.body["shares"]["eu"] == [0.3333, 0.0]
    fits(said.body, "Plan")
    assert api.operator.world is before
    assert api.operator.said == []


async def test_what_a_guard_refuses_has_its_figures_and_what_becomes_of_it(api: Live) -> None:
    body = {"assume": {"us": "down"}, "overrides": {"eu": "drain"}}
    said = await api.post("/v1/plan", body, token="read")
    text = "If us were down and eu were drained now: 1 change to write; 1 move refused."
    assert (said.body["text"], said.body["pending"]) == (text, 2)
    (word,) = [g for g in said.body["guards"] if g["verdict"] == "refuse"]
    assert (word["id"], word["site"]) == ("velocity", "us")
    assert "us stays in quay.demo at dns" in word["next"]


async def test_observe_says_that_it_would_only_show(tmp_path: Path) -> None:
    operator = FakeOperator(down(a_world(mode=Mode.OBSERVE), EU))
    async with live(tmp_path, operator) as api:
        said = await api.post("/v1/plan", {"assume": {"eu": "down"}}, token="read")
        assert said.body["effective"] is False
        assert [c["fate"] for c in said.body["changes"]] == ["would"]
        assert "only shown (observe); nothing would be written" in said.body["text"]


@pytest.mark.parametrize(
    ("body", "status", "part"),
    [
        ({"assume": {"eux": "down"}}, 404, "did you mean `eu`?"),
        ({"overrides": {"uss": "drain"}}, 404, "did you mean `us`?"),
        ({"assume": {"eu": "up"}}, 422, "down"),
        ({"more": 1}, 422, "/more"),
    ],
)
async def test_what_cannot_be_asked(api: Live, body: object, status: int, part: str) -> None:
    said = await api.post("/v1/plan", body)
    assert (said.status, part in said.body["detail"]) == (status, True)


@pytest.mark.parametrize("aspect", ["store", "store.write", None])
async def test_a_configured_probe_is_run_once(api: Live, aspect: str | None) -> None:
    said = await api.post("/v1/probe", {"site": "eu", "aspect": aspect}, token="drain")
    (row,) = said.body["results"]
    assert (row["probe"], row["outcome"], said.body["vantage"]) == ("eu/store", "pass", "here")
    assert row["steps"] == [{"step": "put", "took_s": 0.014}]
    assert api.operator.looked == ["eu/store"]


async def test_a_fail_outweighs_what_is_blind(api: Live) -> None:
    blind, fails = (Finding.of("store.write", 0.1, c, "no") for c in (Cause.DENIED, Cause.IO))
    for findings, outcome in (((blind,), "blind"), ((blind, fails), "fail")):
        api.operator.seen = Seen(findings=findings)
        said = await api.post("/v1/probe", {"site": "eu"})
        assert said.body["results"][0]["outcome"] == outcome


@pytest.mark.parametrize(
    ("token_", "body", "status", "part"),
    [
        ("read", {"site": "eu"}, 403, "scope drain"),
        ("here", {"site": "us"}, 403, "eu only"),
        ("drain", {"site": "euu"}, 404, "did you mean `eu`?"),
        ("drain", {"site": "eu", "aspect": "store.wirte"}, 404, "did you mean `store.write`?"),
        ("drain", {"site": "eu", "aspect": "http://192.0.2.9/"}, 404, "no configured aspect"),
        ("drain", {"site": "eu", "url": "http://192.0.2.9/"}, 422, "/url"),
    ],
)
async def test_who_may_look_and_only_at_what_is_configured(
    api: Live, token_: str, body: object, status: int, part: str
) -> None:
    said = await api.post("/v1/probe", body, token=token_)
    assert (said.status, part in said.body["detail"]) == (status, True)
    assert api.operator.looked == []


async def test_so_many_looks_a_minute_and_then_it_is_too_many(api: Live) -> None:
    for _ in range(LOOKS_PER_MIN):
        assert (await api.post("/v1/probe", {"site": "eu"})).status == 200
    said = await api.post("/v1/probe", {"site": "eu"})
    assert (said.status, said.headers["Retry-After"]) == (429, "10")
    api.operator.pass_time(61)
    assert (await api.post("/v1/probe", {"site": "eu"})).status == 200
