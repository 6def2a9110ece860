"""A real Prometheus and a real Alertmanager drain a site of the demo by a rule that fires."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from gslb.demo.run import Demo, open_demo
from tests.kit import free_port, need, until

pytestmark = pytest.mark.real
OURS = Path(__file__).parents[2] / "dashboards" / "alerts.yml"
HOOK_TOKEN = "fake-hook"
ALL = {"eu", "us", "ap"}
CHANGES: dict[str, Any] = {
    "timing": {"quiet": "1s", "rise": 3},
    "alerts": {
        "rules": [
            {
                **{"match": {"alertname": "CephHealthError", "severity": "critical"}},
                **{"site": "label:site", "for": "1h", "repeat": "10m", "release_delay": "1s"},
            }
        ]
    },
}
RULE = """groups:
  - name: ceph
    rules:
      - alert: CephHealthError
        expr: ceph_health_status > 1
        labels: {severity: critical}
        annotations: {summary: "Ceph at {{ $labels.site }} is in HEALTH_ERR"}
"""
PROMETHEUS = """global: {{scrape_interval: 1s, evaluation_interval: 1s}}
alerting: {{alertmanagers: [{{static_configs: [{{targets: ["{alertmanager}"]}}]}}]}}
rule_files: [ceph.yml, {ours}]
scrape_configs:
  - job_name: ceph
    static_configs: [{{targets: ["{ceph}"]}}]
  - job_name: gslb
    authorization: {{credentials: "{token}"}}
    static_configs: [{{targets: ["{gslb}"]}}]
"""
ALERTMANAGER = """
route: {{receiver: gslb, group_by: [alertname, site], group_wait: 0s, group_interval: 1s,
         repeat_interval: 10m}}
receivers:
  - name: gslb
    webhook_configs:
      - url: {url}/v1/hooks/alertmanager
        http_config: {{authorization: {{credentials: {token}}}}}
"""


@dataclass
class Ceph:
    """An exporter, as of a Ceph cluster at each site: 0 is HEALTH_OK, 2 is HEALTH_ERR."""

    status: dict[str, int] = field(default_factory=lambda: dict.fromkeys(ALL, 0))

    async def metrics(self, _: web.Request) -> web.Response:
        rows = [f'ceph_health_status{{site="{s}"}} {n}\n' for s, n in self.status.items()]
        return web.Response(text="# TYPE ceph_health_status gauge\n" + "".join(rows))


@asynccontextmanager
async def serving(ceph: Ceph) -> AsyncIterator[str]:
    app = web.Application()
    app.router.add_get("/metrics", ceph.metrics)
    runner = web.AppRunner(app)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", port := free_port()).start()
        yield f"127.0.0.1:{port}"
    finally:
        await runner.cleanup()


@asynccontextmanager
async def running(folder: Path, own: str, *command: str) -> AsyncIterator[None]:
    """A server that listens at `own`, until it is ready; ended by its process."""
    with (folder / f"{Path(command[0]).name}.log").open("wb") as log:
        process = await asyncio.create_subprocess_exec(
            *command, f"--web.listen-address={own}", cwd=folder, stdout=log, stderr=log
        )

    async def ready() -> bool:
        assert process.returncode is None, f"{command[0]} ended: see its log in {folder}"
        try:
            return (await asked(f"http://{own}/-/ready", text=True)) is not None
        except aiohttp.ClientError:
            return False

    try:
        await until(ready, 30, 0.1, what=f"{command[0]} is ready")
        yield
    finally:
        if process.returncode is None:
            process.terminate()
        await process.wait()


async def asked(url: str, *, text: bool = False, **query: str) -> Any:
    async with aiohttp.ClientSession() as session, session.get(url, params=query) as reply:
        reply.raise_for_status()
        body = await reply.text()
        return body if text else json.loads(body)["data"]


@dataclass
class Bench:
    """What runs: the demo's answer, the exporter, and where Prometheus is asked."""

    demo: Demo
    ceph: Ceph
    prometheus: str

    async def value(self, query: str) -> float | None:
        found = (await asked(f"{self.prometheus}/api/v1/query", query=query))["result"]
        return float(found[0]["value"][1]) if found else None

    async def owners(self, site: str) -> list[str]:
        headers = {"Authorization": f"Bearer {self.demo.token}"}
        async with (
            aiohttp.ClientSession(headers=headers) as session,
            session.get(f"{self.demo.url}/v1/sites/{site}") as reply,
        ):
            return list((await reply.json())["owners"])


@asynccontextmanager
async def opened(folder: Path) -> AsyncIterator[Bench]:
    # Alertmanager before Prometheus: else the first alert is late by a minute.
    alertmanager, prometheus = need("prometheus-alertmanager"), need("prometheus")
    secret = folder / "hook.token"
    secret.touch(mode=0o600)
    secret.write_text(HOOK_TOKEN)
    changes = CHANGES | {"alerts": {**CHANGES["alerts"], "token": f"file:{secret}"}}
    ceph = Ceph()
    async with open_demo(folder, pace=0.1, changes=changes) as demo, serving(ceph) as exporter:
        (folder / "ceph.yml").write_text(RULE)
        (folder / "am.yml").write_text(ALERTMANAGER.format(url=demo.url, token=HOOK_TOKEN))
        ends = [f"127.0.0.1:{free_port()}" for _ in range(2)]
        known = {"alertmanager": ends[0], "ours": OURS, "ceph": exporter, "token": demo.token}
        config = PROMETHEUS.format(**known, gslb=demo.url.removeprefix("http://"))
        (folder / "p.yml").write_text(config)
        first = ["--config.file=am.yml", "--storage.path=am", "--cluster.listen-address="]
        second = ["--config.file=p.yml", "--storage.tsdb.path=p"]
        second += ["--rules.alert.resend-delay=1s"]
        async with (
            running(folder, ends[0], alertmanager, *first),
            running(folder, ends[1], prometheus, *second),
        ):
            await until(lambda: demo.settled, 30, what="every site up and in")
            yield Bench(demo, ceph, f"http://{ends[1]}")


async def test_a_firing_rule_drains_a_site_which_returns_after_it_resolves(tmp_path: Path) -> None:
    async with opened(tmp_path) as bench:
        town = bench.demo.town
        bench.ceph.status["us"] = 2
        await until(lambda: town.answer == ALL - {"us"}, 60, what="us is drained by the alert")
        assert await bench.owners("us") == ["alert:CephHealthError"]

        async def scraped() -> bool:
            out = await bench.value('gslb_site_out{site="us",owner="alert"}')
            ends = await bench.value('gslb_override_expiry_timestamp_seconds{site="us"} - time()')
            return out == 1 and ends is not None and 3500 < ends <= 3600

        await until(scraped, 20, 0.2, what="Prometheus sees who holds us, and for about an hour")
        bench.ceph.status["us"] = 0
        await until(lambda: town.answer == ALL, 60, what="us is back after the resolve")
        assert await bench.owners("us") == []


async def test_our_own_rules_load_and_are_evaluated_on_our_own_metrics(tmp_path: Path) -> None:
    async with opened(tmp_path) as bench:

        async def rules() -> list[dict[str, Any]]:
            groups = (await asked(f"{bench.prometheus}/api/v1/rules"))["groups"]
            found = [r for g in groups if g["name"] == "gslb" for r in g["rules"]]
            return found if all(r["health"] != "unknown" for r in found) else []

        async def scraped() -> bool:
            return await bench.value('up{job="gslb"}') == 1

        await until(scraped, 20, 0.2, what="Prometheus scrapes the demo with its token")
        found: Any = await until(rules, 20, 0.2, what="every rule is evaluated")
        assert len(found) == 8
        assert [(r["name"], r.get("lastError")) for r in found if r["health"] != "ok"] == []
        await bench.demo.town.set_fault("eu", "store", "refuse")

        async def pending() -> bool:
            return any(r["name"] == "GslbSiteDown" and r["alerts"] for r in await rules())

        await until(pending, 30, 0.2, what="GslbSiteDown sees that eu is down")
