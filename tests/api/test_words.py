"""What people may say over HTTP, and what is answered."""

from dataclasses import replace
from pathlib import Path

import pytest

from gslb.domain.control import Action, Mode, Override, Owner, OwnerKind, Pause
from gslb.domain.errors import ConfigError
from gslb.domain.traffic import Plan
from gslb.domain.world import Memory, World
from tests.api.fake_operator import AP, DNS, EU, QUAY, US, WALL_S, FakeOperator, a_world, down
from tests.api.live import live, token

DRAIN = {"action": "drain", "for": "2h", "reason": "disk swap CHG-4711"}
KIM = Owner(OwnerKind.PERSON, "kim")


def said_by(owner: Owner, site: str = EU, version: int = 5, **more: object) -> Override:
    """An override that stands already."""
    fields: dict[str, object] = {
        "site": site,
        "action": Action.DRAIN,
        "owner": owner,
        "reason": "before",
        "created_wall_s": WALL_S - 60,
        "ends_wall_s": WALL_S + 3600,
        "ends_at_s": 3700.0,
        "version": version,
    }
    return Override(**{**fields, **more})  # type: ignore[arg-type]  # the names are checked


def with_(*overrides: Override, world: World | None = None) -> FakeOperator:
    """An operator in whose world these were said."""
    return FakeOperator(replace(world or a_world(), overrides=overrides))


async def test_a_drain_is_kept_with_owner_reason_and_end_and_shows_its_consequences(
    tmp_path: Path,
) -> None:
    operator = FakeOperator()
    async with live(tmp_path, operator) as api:
        said = await api.put("/v1/sites/eu/override", DRAIN, "drain")
        held, site = await api.get("/v1/sites/eu/override"), await api.get("/v1/sites/eu")
    assert said.status == 202
    assert said.headers["Location"] == f"/v1/operations/{said.body['operation']}"
    assert said.headers["ETag"] == f'"{said.body["version"]}"'
    assert said.body["ends_at"] == "2027-01-15T10:00:00Z"
    assert said.body["effective"] is True
    (change,) = said.body["preview"]["changes"]
    assert [t["site"] for t in change["after"]] == ["us", "ap"]
    assert said.body["preview"]["shares"]["us"] == [0.3333, 0.5]
    assert {g["verdict"] for g in said.body["preview"]["guards"]} == {"pass"}
    ((_, kept),) = operator.said
    assert isinstance(kept, Override)
    assert (kept.owner, kept.reason) == (Owner(OwnerKind.PERSON, "t-drain"), DRAIN["reason"])
    assert (kept.ends_wall_s, kept.ends_at_s) == (WALL_S + 7200, 7300.0)
    assert held.body["version"] == said.body["version"]
    assert held.headers["ETag"] == said.headers["ETag"]
    assert held.body["overrides"] == site.body["overrides"]
    assert (site.body["owner"], site.body["until"]) == ("person:t-drain", said.body["ends_at"])


async def test_without_an_end_a_drain_ends_after_the_default(tmp_path: Path) -> None:
    async with live(tmp_path) as api:
        said = await api.put("/v1/sites/eu/override", {"action": "drain", "reason": "r"})
        until = {"action": "drain", "reason": "r", "until": "2027-01-15T09:00:00+00:00"}
        timed = await api.put("/v1/sites/eu/override", until)
    assert said.body["ends_at"] == "2027-01-15T12:00:00Z"
    assert timed.body["ends_at"] == "2027-01-15T09:00:00Z"


async def test_a_dry_run_shows_all_and_keeps_nothing_even_when_it_would_be_refused(
    tmp_path: Path,
) -> None:
    operator = FakeOperator(down(down(a_world(), US), AP))
    async with live(tmp_path, operator) as api:
        said = await api.put("/v1/sites/eu/override", {**DRAIN, "dry_run": True}, "drain")
    assert (said.status, said.body["operation"]) == (200, None)
    assert "refuse" in {g["verdict"] for g in said.body["preview"]["guards"]}
    assert operator.said == []


async def test_a_refused_drain_names_the_guard_its_figures_and_the_way_on(tmp_path: Path) -> None:
    operator = FakeOperator(down(down(a_world(), US), AP))
    async with live(tmp_path, operator) as api:
        said = await api.put("/v1/sites/eu/override", DRAIN, "drain")
        skip = {**DRAIN, "skip": ["min_sites"]}
        lacking = await api.put("/v1/sites/eu/override", skip, "drain", If_Match='"0"')
        unseen = await api.put("/v1/sites/eu/override", skip, "override")
        skipped = await api.put("/v1/sites/eu/override", skip, "override", If_Match='"0"')
    assert said.status == 409
    assert said.headers["Content-Type"].startswith("application/problem+json")
    assert (said.body["type"], said.body["title"]) == (
        "/problems/guard-refused",
        "Refused by min_sites",
    )
    assert said.body["guard"] == "min_sites"
    assert set(said.body["figures"]) >= {"left", "wanted"}
    assert said.body["skippable"] is True
    assert "--skip min_sites" in said.body["hint"]
    assert [lacking.status, unseen.status, skipped.status] == [403, 428, 202]
    assert [word[0] for word in operator.said] == ["override"]


async def test_in_observe_a_drain_is_kept_and_said_to_have_no_effect(tmp_path: Path) -> None:
    operator = FakeOperator(a_world(mode=Mode.OBSERVE))
    async with live(tmp_path, operator) as api:
        said = await api.put("/v1/sites/eu/override", DRAIN)
        held = await api.get("/v1/sites/eu/override")
    assert (said.status, said.body["effective"]) == (202, False)
    assert [o["effective"] for o in held.body["overrides"]] == [False]


@pytest.mark.parametrize(
    ("change", "pointer"),
    [
        ({"reason": " "}, "/reason"),
        ({"reason": None}, "/reason"),
        ({"for": "2"}, "/for"),
        ({"for": 7200}, "/for"),
        ({"for": "73h"}, "/for"),
        ({"for": "0s"}, "/for"),
        ({"until": "2027-01-15T09:00:00Z"}, "/until"),
        ({"for": None, "until": "2020-01-01T00:00:00Z"}, "/until"),
        ({"for": None, "until": "2027-01-15T09:00:00"}, "/until"),
        ({"services": []}, "/services"),
        ({"services": ["other.example.com"]}, "/services"),
        ({"action": "destroy"}, "/action"),
        ({"unknown": 1}, "/unknown"),
    ],
)
async def test_a_wrong_field_is_named_by_its_pointer_and_nothing_is_kept(
    tmp_path: Path, change: dict[str, object], pointer: str
) -> None:
    operator = FakeOperator()
    async with live(tmp_path, operator) as api:
        said = await api.put("/v1/sites/eu/override", {**DRAIN, **change})
    assert said.status == 422
    assert pointer in [e["pointer"] for e in said.body["errors"]]
    assert operator.said == []


async def test_all_mistakes_of_a_body_are_told_at_once(tmp_path: Path) -> None:
    async with live(tmp_path) as api:
        said = await api.put("/v1/sites/eu/override", {"action": "x", "for": "soon"})
    assert {e["pointer"] for e in said.body["errors"]} == {"/action", "/for", "/reason"}


async def test_if_match_guards_against_what_was_not_seen(tmp_path: Path) -> None:
    operator = with_(said_by(Owner(OwnerKind.PERSON, "t-admin")))
    async with live(tmp_path, operator) as api:
        stale = await api.put("/v1/sites/eu/override", DRAIN, If_Match='"0"')
        seen = await api.put("/v1/sites/eu/override", DRAIN, If_Match='"5"')
        again = await api.put("/v1/sites/eu/override", DRAIN)
        gone = await api.ask("DELETE", "/v1/sites/eu/override", If_Match='"5"')
    assert (stale.status, stale.body["version"]) == (412, 5)
    assert [seen.status, again.status, gone.status] == [202, 202, 412]


async def test_a_force_in_must_have_been_looked_at_and_of_a_down_site_needs_the_scope(
    tmp_path: Path,
) -> None:
    force = {"action": "force-in", "reason": "known good"}
    async with live(tmp_path, FakeOperator(down(a_world(), EU))) as api:
        said = [
            await api.put("/v1/sites/us/override", force, "drain"),
            await api.put("/v1/sites/us/override", force, "drain", If_Match="0"),
            await api.put("/v1/sites/eu/override", force, "drain", If_Match="0"),
        ]
    assert said[0].status == 428
    assert said[1].status == 202
    assert said[2].status == 403


async def test_another_persons_word_is_replaced_only_when_that_is_said(tmp_path: Path) -> None:
    operator = with_(said_by(KIM))
    async with live(tmp_path, operator) as api:
        held = await api.put("/v1/sites/eu/override", DRAIN)
        taken = await api.put("/v1/sites/eu/override", {**DRAIN, "replace": True})
    assert held.status == 409
    assert "person:kim" in held.body["detail"]
    assert "replace" in held.body["hint"]
    assert taken.status == 202


async def test_an_undrain_releases_persons_and_says_who_still_holds_the_site(
    tmp_path: Path,
) -> None:
    alert = said_by(Owner(OwnerKind.ALERT, "Ceph"), fingerprints=("f1",))
    operator = with_(said_by(KIM), alert)
    async with live(tmp_path, operator) as api:
        shown = await api.ask("DELETE", "/v1/sites/eu/override?dry_run=1", None, "drain")
        assert operator.said == []
        said = await api.ask("DELETE", "/v1/sites/eu/override", None, "drain")
        again = await api.ask("DELETE", "/v1/sites/eu/override", None, "drain")
        last = await api.ask("DELETE", "/v1/sites/eu/override?owner=alert:Ceph", None, "drain")
        wrong = await api.ask("DELETE", "/v1/sites/eu/override?owner=god", None, "drain")
    assert shown.status == 200
    assert [o["owner"] for o in said.body["released"]] == ["person:kim"]
    assert said.body["still_held_by"] == ["alert:Ceph"]
    assert (again.status, again.body["released"]) == (202, [])
    assert [o["owner"] for o in last.body["released"]] == ["alert:Ceph"]
    assert last.body["still_held_by"] == []
    assert wrong.status == 422


async def test_of_several_words_on_a_site_the_one_in_force_is_marked(tmp_path: Path) -> None:
    older = said_by(KIM, created_wall_s=WALL_S - 90)
    newer = said_by(Owner(OwnerKind.PERSON, "lee"), version=6)
    alert = said_by(Owner(OwnerKind.ALERT, "Ceph"), version=9, created_wall_s=WALL_S)
    async with live(tmp_path, with_(older, newer, alert)) as api:
        said = await api.get("/v1/sites/eu/override")
    effective = {o["owner"]: o["effective"] for o in said.body["overrides"]}
    assert effective == {"person:kim": False, "person:lee": True, "alert:Ceph": False}


async def test_a_pause_has_an_owner_a_reason_and_an_end_if_one_is_given(tmp_path: Path) -> None:
    async with live(tmp_path) as api:
        before = await api.get("/v1/pause")
        said = await api.put("/v1/pause", {"for": "30m", "reason": "core switch"}, "drain")
        held = await api.get("/v1/pause")
        stale = await api.ask("DELETE", "/v1/pause", None, "drain", If_Match="0")
        seen = held.headers["ETag"]
        gone = await api.ask("DELETE", "/v1/pause", None, "drain", If_Match=seen)
        open_ = await api.put("/v1/pause", {"reason": "until I say so"}, "drain")
    assert before.body == {"paused": False, "because": None}
    assert said.body["ends_at"] == "2027-01-15T08:30:00Z"
    assert said.body["owner"] == "person:t-drain"
    assert held.body == said.body
    assert (stale.status, gone.body["paused"]) == (412, False)
    assert open_.body["ends_at"] is None


async def test_resume_says_that_the_pause_file_still_holds(tmp_path: Path) -> None:
    pause = Pause(owner=KIM, reason="r", created_wall_s=WALL_S)
    operator = FakeOperator(replace(a_world(), pause=pause, pause_file=True))
    async with live(tmp_path, operator) as api:
        said = await api.ask("DELETE", "/v1/pause")
    assert said.body["paused"] is True
    assert "file" in said.body["because"]


async def test_going_live_shows_what_would_change_and_the_file_may_forbid_it(
    tmp_path: Path,
) -> None:
    operator = FakeOperator(a_world(mode=Mode.OBSERVE))
    async with live(tmp_path, operator) as api:
        shown = await api.put("/v1/mode", {"mode": "live", "dry_run": True})
        assert operator.said == []
        lacking = await api.put("/v1/mode", {"mode": "live"}, "override")
        said = await api.put("/v1/mode", {"mode": "live", "adopt": True})
        mode = await api.get("/v1/mode")
        topology = replace(operator.world.topology, mode="observe")
        await operator.become(replace(operator.world, topology=topology))
        fixed = await api.put("/v1/mode", {"mode": "live"})
        back = await api.put("/v1/mode", {"mode": "observe"})
    assert "preview" in shown.body
    assert lacking.status == 403
    assert said.status == 200
    assert mode.body == {"mode": "live", "configured": None, "run_time": "live"}
    assert (fixed.status, back.status) == (409, 200)
    assert [word[-1] for word in operator.said] == [True, False]


async def test_only_a_plan_that_waits_can_be_confirmed(tmp_path: Path) -> None:
    plan = Plan(backend=DNS, epoch=3, changes=(), expects=None, leaves=None, digest="d1g")
    operator = FakeOperator(replace(a_world(), waiting={DNS: plan}))
    async with live(tmp_path, operator) as api:
        other = await api.post("/v1/plans/other/confirm", {"reason": "r"})
        said = await api.post("/v1/plans/d1g/confirm", {"reason": "agreed"})
    assert (other.status, said.status) == (412, 202)
    assert operator.said == [("confirm", "d1g", Owner(OwnerKind.PERSON, "t-admin"), "agreed")]


async def test_a_block_is_ended_by_incident_or_by_site(tmp_path: Path) -> None:
    memories = {EU: Memory(site=EU, incident="i-3")}
    operator = FakeOperator(replace(a_world(), memories=memories))
    async with live(tmp_path, operator) as api:
        codes = [
            (await api.post(f"/v1/incidents/{name}/ack", {"reason": "r"}, "drain")).status
            for name in ("i-3", "us", "i-4")
        ]
    assert codes == [202, 202, 404]
    assert [word[1] for word in operator.said] == [EU, US]


async def test_adopt_and_reload_are_for_admins(tmp_path: Path) -> None:
    operator = FakeOperator()
    async with live(tmp_path, operator) as api:
        lacking = await api.post("/v1/backends/dns/adopt", {"reason": "r"}, "override")
        unknown = await api.post("/v1/backends/lb/adopt", {"reason": "r"})
        adopted = await api.post("/v1/backends/dns/adopt", {"reason": "r"})
        refused = await api.post("/v1/config/reload", {}, "override")
        shown = await api.post("/v1/config/reload?dry_run=1", {"remove": ["eu"]})
        bare = await api.ask("POST", "/v1/config/reload")
        operator.reload_error = ConfigError(("gslb.yml:5:9: unknown key", "gslb.yml:6:1: x"))
        wrong = await api.post("/v1/config/reload", {})
    assert [s.status for s in (lacking, unknown, adopted, refused)] == [403, 404, 202, 403]
    assert shown.body == {"diff": ["~ sites.eu.weight 100 -> 50"], "dry_run": True}
    assert bare.status == 200
    assert wrong.status == 422
    assert wrong.body["errors"] == ["gslb.yml:5:9: unknown key", "gslb.yml:6:1: x"]
    assert operator.said[1:] == [
        ("reload", ("eu",), False, True),
        ("reload", (), False, False),
    ]


async def test_what_cannot_be_kept_is_refused_with_503(tmp_path: Path) -> None:
    operator = FakeOperator()
    operator.store_fails = True
    async with live(tmp_path, operator) as api:
        said = [
            await api.put("/v1/sites/eu/override", DRAIN),
            await api.ask("DELETE", "/v1/sites/eu/override"),
            await api.put("/v1/pause", {"reason": "r"}),
        ]
    assert {s.status for s in said} == {503}
    assert {s.headers["Retry-After"] for s in said} == {"5"}
    assert "disk full" in said[0].body["detail"]


async def test_a_token_for_some_sites_acts_there_and_stops_nothing_else(tmp_path: Path) -> None:
    local = token("eu", "drain", sites=["eu"])
    async with live(tmp_path, FakeOperator(), local) as api:
        codes = [
            (await api.put("/v1/sites/eu/override", DRAIN, "eu")).status,
            (await api.put("/v1/sites/us/override", DRAIN, "eu")).status,
            (await api.ask("DELETE", "/v1/sites/us/override", None, "eu")).status,
            (await api.post("/v1/incidents/us/ack", {"reason": "r"}, "eu")).status,
            (await api.put("/v1/pause", {"reason": "r"}, "eu")).status,
            (await api.get("/v1/sites/us", "eu")).status,
        ]
    assert codes == [202, 403, 403, 403, 403, 200]


async def test_a_drain_of_one_service_is_kept_for_that_service(tmp_path: Path) -> None:
    operator = FakeOperator()
    async with live(tmp_path, operator) as api:
        said = await api.put("/v1/sites/eu/override", {**DRAIN, "services": [QUAY]})
    assert said.status == 202
    assert operator.world.overrides[0].services == (QUAY,)
