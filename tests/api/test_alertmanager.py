"""The receiver and a real Alertmanager: fires, repeats, resolves, and tries again after a 503."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import aiohttp
import pytest

from gslb.api.alerts import AlertRule
from gslb.domain.control import Override
from tests.api.fake_operator import EU, FakeOperator
from tests.api.live import Secret, live
from tests.kit import free_port, need, until

pytestmark = pytest.mark.real

RULE = AlertRule(name="ceph", match={"alertname": "CephHealthError"}, site="label:site")
CONFIG = """
route: {{receiver: gslb, group_by: [alertname], group_wait: 10ms, group_interval: 100ms,
         repeat_interval: 200ms}}
receivers:
  - name: gslb
    webhook_configs:
      - url: {url}/v1/hooks/alertmanager
        send_resolved: true
        http_config: {{authorization: {{credentials: fake-hook}}}}
"""


@dataclass
class Alertmanager:
    """A running one."""

    url: str
    session: aiohttp.ClientSession

    async def alert(self, fingerprint: str, *, ended: bool = False) -> None:
        """Tell it of an alert, as Prometheus does."""
        now = datetime.now(UTC)
        body = {
            "labels": {"alertname": "CephHealthError", "site": "eu", "disk": fingerprint},
            "annotations": {"summary": "Ceph is in HEALTH_ERR"},
            "startsAt": (now - timedelta(minutes=1)).isoformat(),
            "endsAt": (now - timedelta(seconds=1) if ended else now + timedelta(1)).isoformat(),
        }
        headers = {"Content-Type": "application/json"}
        send = self.session.post(
            f"{self.url}/api/v2/alerts", data=json.dumps([body]), headers=headers
        )
        async with send as response:
            assert response.status == 200, await response.text()


@asynccontextmanager
async def alertmanager(tmp_path: Path, url: str) -> AsyncIterator[Alertmanager]:
    """Start it on loopback, and end it by its process."""
    program = need("prometheus-alertmanager")
    config, log = tmp_path / "alertmanager.yml", tmp_path / "alertmanager.log"
    config.write_text(CONFIG.format(url=url), encoding="utf-8")
    own = f"http://127.0.0.1:{free_port()}"
    options = [f"--config.file={config}", f"--storage.path={tmp_path}/am"]
    options += [f"--web.listen-address={own.removeprefix('http://')}", "--cluster.listen-address="]
    with log.open("wb") as out:
        process = await asyncio.create_subprocess_exec(program, *options, stdout=out, stderr=out)
    try:
        async with aiohttp.ClientSession() as session:

            async def ready() -> bool:
                try:
                    async with session.get(f"{own}/-/ready") as response:
                        return response.status == 200
                except aiohttp.ClientError:
                    return False

            await until(ready, 20, what="Alertmanager is ready")
            yield Alertmanager(own, session)
    finally:
        process.terminate()
        await process.wait()


async def test_a_real_alertmanager_drains_repeats_and_releases(tmp_path: Path) -> None:
    operator = FakeOperator()

    def held() -> Override | None:
        return next((o for o in operator.world.overrides if o.site == EU), None)

    token = Secret("fake-hook")
    async with (
        live(tmp_path, operator, alert_rules=[RULE], alert_token=token) as api,
        alertmanager(tmp_path, str(api.served.url)) as sender,
    ):
        operator.store_fails = True
        await sender.alert("sda")
        await until(lambda: ("request", "/v1/hooks/alertmanager", "POST", 503) in api.counted, 20)
        assert held() is None
        operator.store_fails = False
        await until(held, 20, what="it tries again after a 503")
        first = held()
        assert first is not None
        assert first.reason == "Ceph is in HEALTH_ERR"
        await until(lambda: (now := held()) and now.version > first.version, 20)
        await sender.alert("sdb")
        await until(lambda: (now := held()) and len(now.fingerprints) == 2, 20)
        await sender.alert("sda", ended=True)
        await until(lambda: (now := held()) and len(now.fingerprints) == 1, 20)
        now = held()
        assert now is not None
        assert now.ends_wall_s == operator.now().wall_s + RULE.for_s
        await sender.alert("sdb", ended=True)
        await until(lambda: (now := held()) and not now.fingerprints, 20)
        last = held()
        assert last is not None
        assert last.ends_wall_s == operator.now().wall_s + RULE.release_delay_s
