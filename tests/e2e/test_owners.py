"""One site held out by a person, an alert and automation at once, and let go in any order.

The person speaks by the commands that the README prints, the alert as Alertmanager does.
"""

import asyncio
import json
import os
import re
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from itertools import permutations
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from prometheus_client.parser import text_string_to_metric_families

from gslb.demo.run import Demo, open_demo, secret_file
from tests.kit import need, until

README = (Path(__file__).parents[2] / "README.md").read_text(encoding="utf-8")
HOOK_TOKEN = "fake-hook"
RULE = {"match": {"alertname": "CephHealthError"}, "site": "label:site", "do": "drain"}
RULE_NAME = "CephHealthError"
CHANGES: dict[str, Any] = {
    # The alert's end is after the person's: `until` is that of who is in force, not the latest.
    "alerts": {"rules": [RULE | {"for": "3h", "repeat": "30m", "release_delay": "0s"}]},
    "timing": {"quiet": "1s", "quiet_max": "1s", "rise": 3},
    "limits": {"change_window": "0s"},
}
ALL = {"eu", "us", "ap"}
LENGTH_S = {"person": 2 * 3600.0, "alert": 3 * 3600.0, "auto": None}
"""How long each holds: the README's `for`, the rule's, and automation for as long as it lasts."""


def printed(first: str) -> str:
    """The command of the README that begins so, with the lines that belong to it."""
    found = re.search(rf"^{re.escape(first)}(.*\\\n)*.*$", README, re.M)
    assert found, f"the README prints no `{first} …`"
    return found[0]


def by_tcp(verb: str) -> str:
    return printed(f"curl -X {verb} https://gslb.example.com:8080/v1/sites/fra/override")


@dataclass
class Bench:
    """The running demo, and everybody who speaks to it or asks it."""

    demo: Demo
    folder: Path
    session: aiohttp.ClientSession

    async def run(self, *command: str) -> tuple[int, str]:
        """Another process, its code and what it printed; stderr goes to the test's."""
        env = os.environ | {
            "GSLB_URL": self.demo.url,
            "GSLB_TOKEN_FILE": str(self.folder / "token"),
        }
        process = await asyncio.create_subprocess_exec(
            *command, cwd=self.folder, env=env, stdout=asyncio.subprocess.PIPE
        )
        out, _ = await process.communicate()
        return int(process.returncode or 0), out.decode()

    async def shell(self, command: str, site: str) -> dict[str, Any]:
        """A command as the README prints it: only address, socket and site are put in."""
        command = command.replace("https://gslb.example.com:8080", self.demo.url)
        command = command.replace("/run/gslb/api.sock", str(self.folder / "demo.sock"))
        command = command.replace("/sites/fra/", f"/sites/{site}/").replace("curl ", "curl -sS ")
        code, out = await self.run("sh", "-c", command)
        assert code == 0
        body: dict[str, Any] = json.loads(out)
        return body

    async def gslb(self, *arguments: str) -> tuple[int, str]:
        return await self.run(sys.executable, "-m", "gslb", *arguments)

    async def alert(self, site: str, status: str) -> dict[str, Any]:
        """What Alertmanager 0.25 sends."""
        labels = {"alertname": "CephHealthError", "severity": "critical", "site": site}
        alert = {
            "status": status,
            "labels": labels,
            "annotations": {"summary": "Ceph is in HEALTH_ERR"},
            "startsAt": "2026-11-24T14:02:19.123Z",
            "endsAt": "0001-01-01T00:00:00Z",
            "generatorURL": "http://prometheus.example.com/graph",
            "fingerprint": f"c5d1a2{site}",
        }
        hook = {
            "version": "4",
            "groupKey": '{}:{alertname="CephHealthError"}',
            "truncatedAlerts": 0,
            "status": status,
            "receiver": "gslb",
            "groupLabels": {"alertname": "CephHealthError"},
            "commonLabels": labels,
            "commonAnnotations": alert["annotations"],
            "externalURL": "http://alertmanager.example.com",
            "alerts": [alert],
        }
        headers = {"Authorization": f"Bearer {HOOK_TOKEN}"}
        url = f"{self.demo.url}/v1/hooks/alertmanager"
        async with self.session.post(url, json=hook, headers=headers) as reply:
            assert reply.status == 200, await reply.text()
            (result,) = (await reply.json())["results"]
            return dict(result)

    async def get(self, path: str) -> str:
        headers = {"Authorization": f"Bearer {self.demo.token}"}
        async with self.session.get(self.demo.url + path, headers=headers) as reply:
            assert reply.status == 200, await reply.text()
            return await reply.text()

    async def site(self, name: str) -> dict[str, Any]:
        body: dict[str, Any] = json.loads(await self.get(f"/v1/sites/{name}"))
        return body

    # Who takes the site out, and who lets it go.

    async def take(self, who: str, site: str) -> None:
        if who == "person":
            assert (await self.shell(by_tcp("PUT"), site))["effective"] is True
        elif who == "alert":
            assert (await self.alert(site, "firing"))["result"] == "drained"
        else:
            await self.demo.town.set_fault(site, "store", "refuse")

    async def let_go(self, who: str, site: str) -> None:
        if who == "person":
            assert len((await self.shell(by_tcp("DELETE"), site))["released"]) == 1
        elif who == "alert":
            assert (await self.alert(site, "resolved"))["result"] == "released"
        else:
            await self.demo.town.mend(site)

    async def held_by(self, site: str, owners: list[str]) -> None:
        """All views agree that these hold it, the first in force, and until when."""
        named = [{"person": "person:demo", "alert": f"alert:{RULE_NAME}"}.get(o, o) for o in owners]

        async def so() -> bool:
            seen = await self.site(site)
            return seen["owners"] == named and (seen["traffic"] == "out") is bool(owners)

        await until(so, 30, 0.1, what=f"{site} is held by {named}")
        seen = await self.site(site)
        await self._agreed_by_status(site, seen)
        await self._agreed_by_explain(site, seen)
        await self._agreed_by_metrics(site, seen, owners)
        assert (site in self.demo.town.answer) is not bool(owners)

    async def _agreed_by_status(self, site: str, seen: dict[str, Any]) -> None:
        _, out = await self.gslb("status", "-o", "json")
        (row,) = (r for r in json.loads(out)["sites"] if r["name"] == site)
        told = ("traffic", "owner", "owners", "until")
        assert {k: row[k] for k in told} == {k: seen[k] for k in told}
        _, table = await self.gslb("--utc", "status", site)
        if seen["owner"]:
            ends = seen["until"] and f"{datetime.fromisoformat(seen['until']):%H:%M}"
            # The date is told, too, when that is not today any more.
            words = re.escape(f"out   {seen['owner']}") + (
                rf" until ([\d-]+ )?{ends}" if ends else ""
            )
            assert re.search(words, table), table

    async def _agreed_by_explain(self, site: str, seen: dict[str, Any]) -> None:
        _, text = await self.gslb("explain", site)
        told = json.loads((await self.gslb("explain", site, "-o", "json"))[1])
        if not seen["owner"]:
            assert f"{site} is in" in text
            return
        assert f"{site} is out" in text
        first = told["headline"][0]
        named = ["the controller" if o == "auto" else o for o in seen["owners"]]
        assert [first.index(name) for name in named] == sorted(first.index(n) for n in named)
        if seen["until"]:
            assert f"until {datetime.fromisoformat(seen['until']):%H:%M:%S UTC}" in first

    async def _agreed_by_metrics(self, site: str, seen: dict[str, Any], owners: list[str]) -> None:
        found = {
            tuple(sorted(sample.labels.items())): sample.value
            for family in text_string_to_metric_families(await self.get("/metrics"))
            for sample in family.samples
            if sample.name in ("gslb_site_out", "gslb_override_expiry_timestamp_seconds")
            and sample.labels["site"] == site
        }
        holding = {dict(k)["owner"] for k, v in found.items() if "owner" in dict(k) and v == 1}
        assert holding == set(owners[:1])
        expiry = [v for k, v in found.items() if dict(k).get("action") == "drain"]
        wanted = [datetime.fromisoformat(seen["until"]).timestamp()] if seen["until"] else []
        assert expiry == pytest.approx(wanted, abs=0.01)
        length_s = LENGTH_S[owners[0]] if owners else None
        if length_s is not None:
            assert 0 < length_s - (expiry[0] - self.demo.house.controller.now().wall_s) < 120


@asynccontextmanager
async def opened(folder: Path, **api: str) -> AsyncIterator[Bench]:
    """`api`: what the configuration says of it beside the demo's own."""
    need("curl")
    hook = secret_file(folder / "hook.token", HOOK_TOKEN)
    changes = CHANGES | {"alerts": {**CHANGES["alerts"], "token": hook}, "api": api}
    async with open_demo(folder, pace=0.1, changes=changes) as demo:
        (folder / "token").write_text(demo.token + "\n")
        async with aiohttp.ClientSession() as session:
            await until(lambda: demo.settled, 30, what="every site up and in")
            yield Bench(demo, folder, session)


STRENGTH = ("person", "alert", "auto")


async def test_released_in_any_order_the_right_one_stays_in_force(tmp_path: Path) -> None:
    async with opened(tmp_path) as bench:
        for number, order in enumerate(permutations(STRENGTH)):
            site = ("eu", "us", "ap")[number % 3]
            taken: list[str] = []
            for who in order[::-1] if number % 2 else order:
                await bench.take(who, site)
                taken.append(who)
            holding = [w for w in STRENGTH if w in taken]
            await bench.held_by(site, holding)
            for who in order:
                await bench.let_go(who, site)
                holding.remove(who)
                await bench.held_by(site, holding)
            assert bench.demo.town.answer == ALL


async def test_the_printed_drain_over_the_socket_needs_no_token_and_ends_by_itself(
    tmp_path: Path,
) -> None:
    async with opened(tmp_path) as bench:
        said = await bench.shell(printed("curl --unix-socket /run/gslb/api.sock -X PUT"), "us")
        assert said["effective"] is True
        await until(lambda: bench.demo.town.answer == ALL - {"us"}, 20)
        seen = await bench.site("us")
        assert seen["owner"].startswith("person:")
        assert seen["until"] == said["ends_at"]
        assert (seen["reasons"], seen["overrides"][0]["reason"]) == ([], "disk swap CHG-4711")
        said = await bench.shell(by_tcp("DELETE"), "us")
        assert len(said["released"]) == 1
        await until(lambda: bench.demo.town.answer == ALL, 20)


async def test_a_printed_drain_works_while_automation_is_paused(tmp_path: Path) -> None:
    async with opened(tmp_path) as bench:
        assert (await bench.gslb("pause", "--reason", "core switch CHG-4712"))[0] == 0
        await bench.demo.town.set_fault("eu", "store", "refuse")
        assert (await bench.shell(by_tcp("PUT"), "us"))["effective"] is True
        await until(lambda: bench.demo.town.answer == ALL - {"us"}, 20)

        async def down() -> bool:
            return bool((await bench.site("eu"))["state"] == "down")

        await until(down, 20)
        assert "eu" in bench.demo.town.answer
        await bench.shell(by_tcp("DELETE"), "us")
        await until(lambda: bench.demo.town.answer == ALL, 20)
        assert (await bench.gslb("resume"))[0] == 0
        await until(lambda: bench.demo.town.answer == ALL - {"eu"}, 20)


async def test_a_token_made_as_printed_drains_and_may_do_no_more(tmp_path: Path) -> None:
    need("openssl")
    secret_file(tmp_path / "tokens.yml", "[]")
    entry = printed("- {name: kim")
    async with opened(tmp_path, tokens=f"file:{tmp_path}/tokens.yml") as bench:
        made = "openssl rand -hex 32 > token"
        hashed = "tr -d '\\n' < token | sha256sum"
        assert made in README
        assert hashed in README
        _, out = await bench.run("sh", "-c", f"{made} && {hashed}")
        (tmp_path / "tokens.yml").write_text(entry.replace("64 hex digits", out.split()[0]))
        assert (await bench.gslb("version"))[0] == 0

        async def known() -> bool:
            return (await bench.gslb("status", "eu", "-o", "json"))[0] == 0

        await until(known, 20, 0.2, what="the new token is known")
        drain = ("drain", "eu", "--for", "2h", "--reason", "disk swap CHG-4711", "--wait")
        assert (await bench.gslb(*drain, "--yes"))[0] == 0
        assert bench.demo.town.answer == ALL - {"eu"}
        assert (await bench.gslb("reload"))[0] == 8
        assert (await bench.gslb("undrain", "eu"))[0] == 0
        await until(lambda: bench.demo.town.answer == ALL, 20)


async def test_a_file_named_pause_in_the_state_folder_stops_automation(tmp_path: Path) -> None:
    async with opened(tmp_path) as bench:
        (tmp_path / "pause").touch()

        async def paused() -> bool:
            return json.loads(await bench.get("/v1/overview"))["paused"] is not None

        await until(paused, 10, 0.1)
        await bench.demo.town.set_fault("eu", "store", "500")
        await until(lambda: bench.demo.house.controller.world.refusals, 20)
        assert bench.demo.town.answer == ALL
        (tmp_path / "pause").unlink()
        await until(lambda: bench.demo.town.answer == ALL - {"eu"}, 20)
