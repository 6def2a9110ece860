"""What can be read, and in which form."""

from dataclasses import replace
from pathlib import Path

from gslb.domain.topology import ServiceName
from gslb.domain.traffic import Change, Generation, Member, Plan, Pool
from gslb.domain.world import BackendView, Refusal
from tests.api.fake_operator import DNS, EU, QUAY, US, FakeOperator, a_world, answer, down
from tests.api.live import live
from tests.kit import until

SITE_FIELDS = {
    *("name", "state", "traffic", "share", "owner", "owners", "until", "since", "because", "next"),
    *("reasons", "overrides", "aspects", "services", "incident"),
}


async def test_a_site_shows_state_and_traffic_apart_with_its_evidence(tmp_path: Path) -> None:
    async with live(tmp_path, FakeOperator(down(a_world(), EU))) as api:
        said = await api.get("/v1/sites/eu")
    assert said.status == 200
    assert set(said.body) >= SITE_FIELDS
    assert (said.body["state"], said.body["traffic"]) == ("down", "in")
    assert said.body["reasons"][0]["cause"] == "timeout"
    assert said.body["reasons"][0]["since"] == "2027-01-15T07:59:50Z"
    (aspect,) = said.body["aspects"]
    assert aspect["name"] == "store.write"
    assert (aspect["state"], aspect["strip"], aspect["cause"]) == ("down", "+++xxx", "timeout")
    assert aspect["last_fail"] == "2027-01-15T07:59:59Z"
    assert said.body["services"][0]["traffic"] == "in"


async def test_an_aspect_without_a_result_is_unknown_not_missing(tmp_path: Path) -> None:
    async with live(tmp_path, FakeOperator(replace(a_world(), tracks={}))) as api:
        said = await api.get("/v1/sites/eu")
    (aspect,) = said.body["aspects"]
    assert (aspect["state"], aspect["since"], aspect["last"]) == ("unknown", None, None)


async def test_lists_are_wrapped_in_their_name(tmp_path: Path) -> None:
    async with live(tmp_path) as api:
        sites, services = await api.get("/v1/sites"), await api.get("/v1/services")
        backends, events = await api.get("/v1/backends"), await api.get("/v1/events")
    assert [s["name"] for s in sites.body["sites"]] == ["eu", "us", "ap"]
    assert set(services.body) == {"services", "next", "counts"}
    assert [b["name"] for b in backends.body["backends"]] == ["dns"]
    assert events.body == {"events": [], "next": None}


async def test_every_answer_carries_version_leader_mode_and_age(tmp_path: Path) -> None:
    operator = FakeOperator()
    operator.age_s = 2.7
    async with live(tmp_path, operator) as api:
        good, bad = await api.get("/v1/sites"), await api.get("/v1/sites/nowhere")
    for said in (good, bad):
        assert said.headers["Gslb-Version"] == "7"
        assert said.headers["Gslb-Leader"] == "ctl-1"
        assert said.headers["Gslb-Mode"] == "live"
        assert said.headers["Age"] == "2"
        assert said.headers["X-Content-Type-Options"] == "nosniff"
        assert said.headers["Cache-Control"] == "no-store"


async def test_a_replica_without_a_term_names_no_leader(tmp_path: Path) -> None:
    async with live(tmp_path, FakeOperator(replace(a_world(), epoch=None))) as api:
        said, asked = await api.get("/v1/overview"), await api.get("/leader", None)
    assert said.body["leader"] is None
    assert said.headers["Gslb-Leader"] == ""
    assert (asked.status, asked.body["status"]) == (503, "not_leader")


async def test_services_are_filtered_counted_and_paged_by_name(tmp_path: Path) -> None:
    names = [ServiceName(f"s{n}.example.com") for n in range(7)]
    world = a_world(names)
    view = world.backends[DNS]
    served = {**(view.served or {}), names[3]: answer(US, name=names[3])}
    world = replace(world, backends={DNS: replace(view, served=served)})
    async with live(tmp_path, FakeOperator(world)) as api:
        first = await api.get("/v1/services?limit=3")
        second = await api.get(f"/v1/services?limit=3&after={first.body['next']}")
        third = await api.get(f"/v1/services?limit=3&after={second.body['next']}")
        last = await api.get("/v1/services?state=last_site")
        found = await api.get("/v1/services?q=S5.&site=eu")
        none = await api.get("/v1/services?site=elsewhere")
    pages = [s["name"] for page in (first, second, third) for s in page.body["services"]]
    assert pages == names
    assert third.body["next"] is None
    assert first.body["counts"]["total"] == 7
    assert first.body["counts"]["last_site"] == 1
    assert first.body["counts"]["without"] == {"eu": 1, "ap": 1}
    assert [s["name"] for s in last.body["services"]] == [names[3]]
    assert [s["name"] for s in found.body["services"]] == [names[5]]
    assert none.body["services"] == []


async def test_a_service_shows_what_each_backend_serves_beside_what_it_should(
    tmp_path: Path,
) -> None:
    world = a_world()
    refusal = Refusal(
        guard="min_sites",
        text="0 left",
        service=QUAY,
        backend=DNS,
        site=EU,
        leaving=True,
        since_s=40.0,
        figures=(("left", 0.0),),
    )
    view = replace(world.backends[DNS], wanted={QUAY: answer(US)})
    world = replace(world, backends={DNS: view}, refusals=(refusal,))
    async with live(tmp_path, FakeOperator(world)) as api:
        said, listed = await api.get("/v1/services/quay.demo"), await api.get("/v1/backends/dns")
        plans = await api.get("/v1/plans")
    (row,) = said.body["answers"]
    assert row["as_planned"] is False
    assert [t["site"] for t in row["wanted"]] == ["us"]
    assert [t["site"] for t in row["served"]] == ["eu", "us", "ap"]
    assert said.body["refusals"][0]["figures"] == {"left": 0.0}
    assert (listed.body["state"], listed.body["pending"]) == ("pending", 1)
    assert [d["service"] for d in plans.body["differs"]] == ["quay.demo"]


async def test_a_backend_that_was_never_read_is_unknown_and_not_reachable(tmp_path: Path) -> None:
    world = replace(a_world(), backends={DNS: BackendView(name=DNS, error="refused", fails=3)})
    async with live(tmp_path, FakeOperator(world)) as api:
        said, service = await api.get("/v1/backends/dns"), await api.get("/v1/services/quay.demo")
    assert (said.body["state"], said.body["reachable"]) == ("unknown", False)
    assert said.body["error"] == "refused"
    assert service.body["state"] == "unknown"


async def test_a_waiting_plan_is_shown_with_its_digest(tmp_path: Path) -> None:
    member = Member(site=EU, values=("192.0.2.1",))
    change = Change(pool=Pool(service=QUAY, members=(member,)), before=None, after=answer(EU))
    gen = Generation("test", "fake", 3, 1)
    plan = Plan(backend=DNS, epoch=3, changes=(change,), expects=None, leaves=gen, digest="d1g")
    async with live(tmp_path, FakeOperator(replace(a_world(), waiting={DNS: plan}))) as api:
        said, overview = await api.get("/v1/plans"), await api.get("/v1/overview")
    (waiting,) = said.body["waiting"]
    assert (waiting["digest"], waiting["changes"][0]["before"]) == ("d1g", None)
    assert overview.body["waiting"] == [waiting]


async def test_the_overview_names_the_problem_and_stays_small(tmp_path: Path) -> None:
    async with live(tmp_path, FakeOperator(down(a_world(), EU))) as api:
        said = await api.get("/v1/overview")
    assert said.body["cluster"] == "test"
    assert [s["name"] for s in said.body["sites"]] == ["eu", "us", "ap"]
    assert "aspects" not in said.body["sites"][0]
    assert any("eu" in p["text"] for p in said.body["problems"])
    assert said.body["services"]["as_wanted"] == 1


async def test_explain_speaks_of_sites_services_and_backends_only(tmp_path: Path) -> None:
    async with live(tmp_path) as api:
        for path in ("site/eu", "sites/eu", "service/quay.demo", "backend/dns"):
            said = await api.get(f"/v1/explain/{path}")
            assert said.status == 200, path
            assert said.body["name"] == path.split("/")[1]
            assert set(said.body) == {
                *("kind", "name", "headline", "sections", "next", "you_can", "incident"),
            }
        for path in ("site/nowhere", "planet/eu", "backend/quay.demo"):
            assert (await api.get(f"/v1/explain/{path}")).status == 404, path


async def test_waiting_for_a_newer_world_answers_when_there_is_one_and_304_when_not(
    tmp_path: Path,
) -> None:
    async with live(tmp_path) as api:
        stale = await api.get("/v1/overview?wait=50ms&after=7")
        ready = await api.get("/v1/overview?wait=30s&after=6")
        wrong = await api.get("/v1/overview?wait=30&after=6")
    assert (stale.status, ready.status, wrong.status) == (304, 200, 422)


async def test_the_journal_is_paged_by_number_and_filtered(tmp_path: Path) -> None:
    operator = FakeOperator()
    for n in range(5):
        await operator.tell(f"event {n}", site="eu" if n % 2 else "us", incident=f"i-{n}")
    async with live(tmp_path, operator) as api:
        page = await api.get("/v1/events?after=0&limit=2")
        rest = await api.get(f"/v1/events?after={page.body['next']}&limit=10")
        mine = await api.get("/v1/events?site=eu")
        incident = await api.get("/v1/events?incident=i-4")
        newest = await api.get("/v1/events?limit=1")
        since = await api.get("/v1/events?since=1h&type=site")
        later = await api.get("/v1/events?since=2099-01-01T00:00:00Z")
        wrong = await api.get("/v1/events?since=yesterday")
    assert [e["seq"] for e in page.body["events"] + rest.body["events"]] == [1, 2, 3, 4, 5]
    assert rest.body["next"] is None
    assert [e["text"] for e in mine.body["events"]] == ["event 1", "event 3"]
    assert [e["seq"] for e in incident.body["events"]] == [5]
    assert newest.body["events"][0] == {
        "seq": 5,
        "at": "2027-01-15T08:00:00Z",
        "type": "site",
        "text": "event 4",
        "site": "us",
        "incident": "i-4",
    }
    assert (len(since.body["events"]), later.body["events"]) == (5, [])
    assert wrong.status == 422


async def test_the_configuration_is_shown_as_it_is_given(tmp_path: Path) -> None:
    async with live(tmp_path, config=lambda: {"cluster": "test"}) as api:
        said = await api.get("/v1/config")
    assert said.body == {"cluster": "test"}


async def test_health_tells_starting_stuck_and_ok_apart_without_a_token(tmp_path: Path) -> None:
    operator = FakeOperator()
    cases = [
        (float("inf"), True, (503, "starting"), (503, "starting")),
        (31.0, True, (503, "stuck"), (503, "stuck")),
        (0.1, False, (200, "ok"), (503, "starting")),
        (0.1, True, (200, "ok"), (200, "ok")),
    ]
    async with live(tmp_path, operator) as api:
        for age_s, settled, livez, readyz in cases:
            operator.age_s = age_s
            operator._world = replace(operator.world, settled=settled)
            said = [await api.get(path, None) for path in ("/livez", "/readyz")]
            assert [(s.status, s.body["status"]) for s in said] == [livez, readyz]
        for method in ("HEAD", "OPTIONS"):
            bare = await api.ask(method, "/livez", None, None)
            assert (bare.status, bare.body, bare.headers["Allow"]) == (
                200,
                None,
                "GET, HEAD, OPTIONS",
            )


async def test_health_does_not_ask_a_broken_store(tmp_path: Path) -> None:
    operator = FakeOperator()
    operator.store_fails = True
    async with live(tmp_path, operator) as api:
        said = [(await api.get(p, None)).status for p in ("/livez", "/readyz", "/leader")]
        journal = await api.get("/v1/events")
    assert said == [200, 200, 200]
    assert journal.status == 503


async def test_the_metrics_listener_has_health_and_metrics_and_nothing_else(tmp_path: Path) -> None:
    async with live(tmp_path, metrics=("127.0.0.1", 0)) as api:
        base = api.served.metrics_url
        seen = {}
        for path in ("/metrics", "/livez", "/readyz", "/leader", "/v1/overview", "/v1/config"):
            async with api.session.get(f"{base}{path}") as response:
                seen[path] = (response.status, await response.text())
    assert seen["/metrics"] == (200, "gslb_up 1\n")
    assert [seen[p][0] for p in ("/livez", "/readyz", "/leader")] == [200, 200, 200]
    assert [seen[p][0] for p in ("/v1/overview", "/v1/config")] == [404, 404]


async def test_an_operation_is_done_when_every_backend_is_read_back(tmp_path: Path) -> None:
    operator = FakeOperator()
    async with live(tmp_path, operator) as api:
        drained = await api.put("/v1/sites/eu/override", {"action": "drain", "reason": "test"})
        where = drained.headers["Location"]

        async def state() -> tuple[str, bool]:
            said = await api.get(where)
            return said.body["backends"][0]["state"], said.body["done"]

        assert await state() == ("pending", False)
        view = operator.world.backends[DNS]
        plan = Plan(backend=DNS, epoch=3, changes=(), expects=None, leaves=None, digest="d")
        steps = {
            "failed": replace(view, error="timed out"),
            "written": replace(view, sent=plan),
            "read_back": replace(view, served={QUAY: answer(US)}, wanted={QUAY: answer(US)}),
        }
        for name, seen in steps.items():
            await operator.become(replace(operator.world, backends={DNS: seen}))
            assert await state() == (name, name == "read_back")
        refusal = Refusal(
            guard="min_sites", text="0 left", service=QUAY, backend=DNS, site=EU, leaving=True
        )
        world = replace(operator.world, backends={DNS: view}, refusals=(refusal,))
        await operator.become(world)
        (row,) = (await api.get(where)).body["backends"]
        assert row == {"backend": "dns", "state": "pending", "text": "0 left"}
        assert (await api.get("/v1/operations/o-99")).status == 404


async def test_requests_are_measured_by_the_template_of_their_route(tmp_path: Path) -> None:
    async with live(tmp_path) as api:
        await api.get("/v1/sites/eu")
        await api.get("/v1/sites/nowhere")
        await api.get("/no/such/route")
        await until(lambda: len(api.counted) == 3)
    assert api.counted == [
        ("request", "/v1/sites/{site}", "GET", 200),
        ("request", "/v1/sites/{site}", "GET", 404),
        ("request", "unknown", "GET", 404),
    ]
