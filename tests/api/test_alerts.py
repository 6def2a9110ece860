"""The Alertmanager receiver: sequences of what Alertmanager really sends (body version 4)."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from gslb.api.alerts import AlertRule
from gslb.domain.control import Action, Mode, Override, Owner, OwnerKind
from tests.api.fake_operator import AP, EU, US, WALL_S, FakeOperator, a_world, down
from tests.api.live import Live, Said, Secret, live

CEPH = AlertRule(
    name="ceph",
    match={"alertname": "CephHealthError", "severity": "critical"},
    site="label:site",
    for_s=7200.0,
    release_delay_s=600.0,
)
FIXED = AlertRule(name="power", match={"alertname": "PowerLost"}, site="us", for_s=3600.0)
OWNER = Owner(OwnerKind.ALERT, "ceph")


@dataclass
class Sender:
    """Alertmanager, as the receiver sees it."""

    api: Live

    async def send(
        self, *alerts: dict[str, object], truncated: int = 0, token: str = "hook"
    ) -> Said:
        body = {
            "version": "4",
            "groupKey": '{}:{alertname="CephHealthError"}',
            "truncatedAlerts": truncated,
            "status": "firing",
            "receiver": "gslb",
            "groupLabels": {},
            "commonLabels": {},
            "commonAnnotations": {},
            "externalURL": "http://alertmanager.example.com",
            "alerts": list(alerts),
        }
        return await self.api.post("/v1/hooks/alertmanager", body, token)

    async def results(self, *alerts: dict[str, object]) -> list[str]:
        said = await self.send(*alerts)
        assert said.status == 200, said.body
        return [r["result"] for r in said.body["results"]]

    def held(self, site: str = EU) -> Override | None:
        """The alert's override on a site that has not ended."""
        now_s = self.api.operator.now().wall_s
        found = [o for o in self.api.operator.world.overrides if o.site == site]
        return next((o for o in found if o.owner == OWNER and o.ends_wall_s > now_s), None)


def alert(
    fingerprint: str = "f1", status: str = "firing", site: str = EU, **labels: str
) -> dict[str, object]:
    """One alert of a group."""
    base = {"alertname": "CephHealthError", "severity": "critical", "site": site}
    return {
        "status": status,
        "labels": {**base, **labels},
        "annotations": {"summary": "Ceph is in HEALTH_ERR"},
        "startsAt": "2027-01-15T08:00:00Z",
        "endsAt": "0001-01-01T00:00:00Z",
        "generatorURL": "http://prometheus.example.com/graph",
        "fingerprint": fingerprint,
    }


@asynccontextmanager
async def hook(tmp_path: Path, operator: FakeOperator | None = None) -> AsyncIterator[Sender]:
    """The receiver, with its own token `fake-hook`."""
    rules = (CEPH, FIXED)
    async with live(
        tmp_path, operator, alert_rules=rules, alert_token=Secret("fake-hook\n")
    ) as api:
        yield Sender(api)


async def test_a_firing_alert_drains_its_site_in_its_own_name_and_with_an_end(
    tmp_path: Path,
) -> None:
    async with hook(tmp_path) as sender:
        said = await sender.send(alert())
        held = sender.held()
    assert said.body["results"] == [
        {"fingerprint": "f1", "result": "drained", "text": "eu is held out by alert:ceph"}
    ]
    assert said.body["effective"] is True
    assert held is not None
    assert (held.action, held.reason) == (Action.DRAIN, "Ceph is in HEALTH_ERR")
    assert (held.ends_wall_s, held.fingerprints) == (WALL_S + 7200, ("f1",))


async def test_each_repeat_arms_it_again(tmp_path: Path) -> None:
    async with hook(tmp_path) as sender:
        await sender.results(alert())
        sender.api.operator.pass_time(1800)
        assert await sender.results(alert()) == ["extended"]
        held = sender.held()
        assert held is not None
        assert held.ends_wall_s == WALL_S + 1800 + 7200
        assert held.created_wall_s == WALL_S
        sender.api.operator.pass_time(7201)
        assert sender.held() is None, "without a repeat it ends by itself"
        assert await sender.results(alert()) == ["drained"]


async def test_a_resolved_alert_lets_go_after_the_delay(tmp_path: Path) -> None:
    async with hook(tmp_path) as sender:
        await sender.results(alert())
        assert await sender.results(alert(status="resolved")) == ["released"]
        held = sender.held()
        assert held is not None, "not at once"
        assert (held.ends_wall_s, held.ends_at_s) == (WALL_S + 600, 700.0)
        sender.api.operator.pass_time(300)
        await sender.results(alert(status="resolved"))
        held = sender.held()
        assert held is not None
        assert held.ends_wall_s == WALL_S + 600, "a late second resolve does not push it out"
        assert await sender.results(alert()) == ["drained"], "firing within the delay holds again"
        held = sender.held()
        assert held is not None
        assert held.ends_wall_s == WALL_S + 300 + 7200


async def test_with_several_alerts_the_site_is_out_as_long_as_any_holds(tmp_path: Path) -> None:
    async with hook(tmp_path) as sender:
        assert await sender.results(alert("f1"), alert("f2")) == ["drained", "drained"]
        await sender.results(alert("f1", "resolved"))
        held = sender.held()
        assert held is not None
        assert (held.fingerprints, held.ends_wall_s) == (("f2",), WALL_S + 7200)
        assert await sender.results(alert("f2", "resolved"), alert("f3")) == [
            "released",
            "drained",
        ]
        held = sender.held()
        assert held is not None
        assert held.fingerprints == ("f3",)
        await sender.results(alert("f3", "resolved"))
        held = sender.held()
        assert held is not None
        assert held.ends_wall_s == WALL_S + 600


async def test_a_resolve_that_comes_in_another_group_or_too_late_does_no_harm(
    tmp_path: Path,
) -> None:
    async with hook(tmp_path) as sender:
        assert await sender.results(alert(status="resolved")) == ["released"]
        assert sender.api.operator.said == []
        await sender.results(alert())
        moved = alert(status="resolved", severity="warning")
        assert await sender.results(moved) == ["released"], "by fingerprint, whatever its labels"
        held = sender.held()
        assert held is not None
        assert held.ends_wall_s == WALL_S + 600


async def test_an_alert_without_rule_or_with_an_unknown_site_moves_nothing(tmp_path: Path) -> None:
    async with hook(tmp_path) as sender:
        got = await sender.results(
            alert("a", alertname="Other"),
            alert("b", severity="warning"),
            alert("c", site="nowhere"),
            {**alert("d"), "labels": {"alertname": "CephHealthError", "severity": "critical"}},
            alert("e", alertname="PowerLost"),
        )
        counted = [c for c in sender.api.counted if c[0] == "alert_hook_alerts"]
    assert got == ["no_rule", "no_rule", "unknown_site", "unknown_site", "drained"]
    assert [(o.site, str(o.owner)) for o in sender.api.operator.world.overrides] == [
        (US, "alert:power")
    ]
    assert [c[1:] for c in counted] == [
        ("none", "no_rule"),
        ("none", "no_rule"),
        ("ceph", "unknown_site"),
        ("ceph", "unknown_site"),
        ("power", "drained"),
    ]


async def test_a_refused_drain_is_kept_so_that_the_loop_tries_again(tmp_path: Path) -> None:
    operator = FakeOperator(down(down(a_world(), US), AP))
    async with hook(tmp_path, operator) as sender:
        said = await sender.send(alert())
        held = sender.held()
    (result,) = said.body["results"]
    assert result["result"] == "refused"
    assert result["text"].startswith("min_sites: ")
    assert held is not None
    assert held.skip == ()


async def test_an_undrain_by_hand_mutes_the_alert_until_it_resolves(tmp_path: Path) -> None:
    async with hook(tmp_path) as sender:
        await sender.results(alert())
        gone = await sender.api.ask("DELETE", "/v1/sites/eu/override?owner=alert:ceph")
        assert gone.status == 202
        assert await sender.results(alert()) == ["released"]
        assert sender.held() is None
        assert await sender.results(alert("f2")) == ["drained"], "another alert is not muted"
        await sender.results(alert("f2", "resolved"), alert(status="resolved"))
        assert await sender.results(alert()) == ["drained"]


async def test_in_observe_the_answer_says_that_nothing_moves(tmp_path: Path) -> None:
    async with hook(tmp_path, FakeOperator(a_world(mode=Mode.OBSERVE))) as sender:
        said = await sender.send(alert())
        assert sender.held() is not None
    assert said.body["effective"] is False


async def test_alerts_that_the_sender_cut_off_are_counted(tmp_path: Path) -> None:
    async with hook(tmp_path) as sender:
        said = await sender.send(alert(), truncated=3)
    assert said.status == 200
    assert ("alert_hook_truncated", 3) in sender.api.counted


async def test_only_its_own_token_opens_the_receiver(tmp_path: Path) -> None:
    async with hook(tmp_path) as sender:
        codes = [(await sender.send(alert(), token=name)).status for name in ("admin", "wrong", "")]
        read = await sender.api.get("/v1/overview", "hook")
        assert sender.api.operator.said == []
    assert codes == [401, 401, 401]
    assert read.status == 401, "and its token opens nothing else"
    async with live(tmp_path) as api:
        assert (await Sender(api).send(alert())).status == 404


async def test_a_store_that_cannot_write_makes_the_sender_try_again(tmp_path: Path) -> None:
    operator = FakeOperator()
    async with hook(tmp_path, operator) as sender:
        operator.store_fails = True
        assert (await sender.send(alert())).status == 503
        operator.store_fails = False
        assert await sender.results(alert()) == ["drained"]


async def test_another_version_of_the_body_is_refused_whole(tmp_path: Path) -> None:
    async with hook(tmp_path) as sender:
        body = {"version": "3", "alerts": []}
        said = await sender.api.post("/v1/hooks/alertmanager", body, "hook")
    assert said.status == 422


async def test_what_was_held_before_a_restart_is_taken_up_again(tmp_path: Path) -> None:
    first = FakeOperator()
    async with hook(tmp_path, first) as sender:
        await sender.results(alert("f1"))
    again = FakeOperator(replace(a_world(), overrides=first.world.overrides))
    async with hook(tmp_path, again) as sender:
        assert await sender.results(alert("f2"), alert("f1")) == ["drained", "extended"]
        held = sender.held()
    assert held is not None
    assert held.fingerprints == ("f1", "f2")


async def test_a_large_group_is_read_where_other_bodies_would_be_too_large(tmp_path: Path) -> None:
    async with hook(tmp_path) as sender:
        many = [alert(f"f{n}", alertname="Other", text="x" * 900) for n in range(100)]
        assert len(await sender.results(*many)) == 100


async def test_a_heartbeat_that_stops_makes_the_receiver_silent(tmp_path: Path) -> None:
    gauges: dict[str, float] = {}
    token, watchdog = Secret("fake-hook"), ("Watchdog", 900.0)
    async with live(
        tmp_path,
        alert_token=token,
        alert_watchdog=watchdog,
        put=lambda name, value: gauges.update({name: value}),
    ) as api:
        sender, seen = Sender(api), []

        async def silent_after(seconds: float) -> None:
            api.operator.pass_time(seconds)
            await api.get("/metrics", None)
            seen.append(gauges["alert_hook_silent"])

        await silent_after(900)
        await sender.results(alert("w", alertname="Watchdog"))
        await silent_after(900)
        await silent_after(1)
        await sender.results(alert("w", status="resolved", alertname="Watchdog"))
        await silent_after(0)
        await sender.results(alert("w", alertname="Watchdog"))
        await silent_after(0)
    assert seen == [0.0, 0.0, 1.0, 1.0, 0.0]
