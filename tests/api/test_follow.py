"""After a reload the running API judges by the new configuration."""

from dataclasses import replace
from pathlib import Path

import pytest

from gslb.domain.errors import ConfigError
from tests.api.live import Secret, live, token, write_tokens
from tests.api.test_alerts import CEPH, FIXED, Sender, alert


async def test_rules_watchdog_token_and_configuration_follow(tmp_path: Path) -> None:
    gauges: dict[str, float] = {}
    async with live(
        tmp_path,
        alert_token=Secret("fake-hook"),
        put=lambda name, value: gauges.update({name: value}),
    ) as api:
        sender = Sender(api)
        assert await sender.results(alert()) == ["no_rule"]
        api.operator.pass_time(5000)
        api.face.follow(
            replace(
                api.face.settings,
                alert_rules=(CEPH, FIXED),
                alert_token=Secret("fake-new"),
                alert_watchdog=("Watchdog", 900.0),
                config=lambda: {"digest": "new"},
            )
        )
        assert (await sender.send(alert())).status == 401
        said = await sender.send(alert(), token="new")
        assert [r["result"] for r in said.body["results"]] == ["drained"]
        await api.get("/metrics", None)
        assert gauges["alert_hook_silent"] == 0.0
        api.operator.pass_time(901)
        await api.get("/metrics", None)
        assert gauges["alert_hook_silent"] == 1.0
        assert (await api.get("/v1/config")).body == {"digest": "new"}


async def test_another_tokens_file_is_taken_whole_or_not_at_all(tmp_path: Path) -> None:
    async with live(tmp_path) as api:
        old, wrong = api.face.settings, tmp_path / "wrong.yml"
        wrong.write_text("- {name: kim}\n")
        with pytest.raises(ConfigError):
            api.face.follow(replace(old, tokens=wrong, cluster="other"))
        assert api.face.settings is old
        assert (await api.get("/v1/pause")).status == 200
        api.face.follow(
            replace(old, tokens=write_tokens(tmp_path / "new.yml", token("kim", "read")))
        )
        assert (await api.get("/v1/pause", "kim")).status == 200
