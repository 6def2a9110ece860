"""The whole house from a file: reloads, the pause file, one process a store, and `check`."""

import asyncio
import json
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import yaml
from aiohttp import ClientSession, web

from gslb.config.load import load
from gslb.domain.errors import ConfigError, StoreError
from gslb.domain.health import SiteVerdict
from gslb.domain.topology import BackendName, ServiceName
from gslb.wiring import KINDS, House, open_house, probe_everything
from tests.kit import free_port, until

NAME, POOL = ServiceName("app.example"), BackendName("pool")


async def alive(_: web.Request) -> web.Response:
    return web.Response(text="ok")


@asynccontextmanager
async def targets(port: int) -> AsyncIterator[None]:
    """Two sites that answer, at 127.0.0.1 and 127.0.0.2."""
    app = web.Application()
    app.router.add_get("/", alive)
    runner = web.AppRunner(app)
    await runner.setup()
    try:
        for address in ("127.0.0.1", "127.0.0.2"):
            await web.TCPSite(runner, address, port).start()
        yield
    finally:
        await runner.cleanup()


def write(folder: Path, port: int, **changes: object) -> Path:
    """A configuration of two sites behind one backend in memory."""
    values = {
        "cluster": "test",
        "mode": "live",
        "profile": "fast",
        "limits": {"min_sites": 1},
        "probe_networks": ["127.0.0.0/8"],
        "sites": {"eu": {"address": "127.0.0.1"}, "us": {"address": "127.0.0.2"}},
        "services": {NAME: {"kind": "http", "port": port, "tls": False, "path": "/"}},
        "backends": {POOL: {"kind": "memory", "answers": {NAME: ["127.0.0.1", "127.0.0.2"]}}},
        "store": {"sqlite": str(folder / "gslb.db")},
        "api": {"listen": "127.0.0.1:0", "socket": str(folder / "api.sock")},
    }
    path = folder / "gslb.yml"
    path.write_text(yaml.safe_dump({**values, **changes}))
    return path


@asynccontextmanager
async def open_settled(path: Path) -> AsyncIterator[House]:
    async with open_house(path, log=False) as house:
        await until(lambda: all_up(house), 10)
        yield house


def all_up(house: House) -> bool:
    states = house.controller.world.states.values()
    return bool(states) and all(s.verdict is SiteVerdict.UP for s in states)


async def test_a_reload_that_is_wrong_is_refused_whole_and_the_old_one_stays(
    tmp_path: Path,
) -> None:
    port = free_port()
    async with targets(port), open_settled(write(tmp_path, port)) as house:
        before = house.controller.world.topology
        write(tmp_path, port, sites={"eu": {"adress": "127.0.0.1"}})
        with pytest.raises(ConfigError, match="did you mean `address`"):
            await house.controller.reload()
        assert house.controller.world.topology is before


async def test_tracks_survive_a_reload_that_leaves_their_probe_alone(tmp_path: Path) -> None:
    port = free_port()
    async with targets(port), open_settled(write(tmp_path, port)) as house:
        tracks = dict(house.controller.world.tracks)
        write(tmp_path, port, limits={"min_sites": 1, "changes_per_hour": 5})
        lines = await house.controller.reload()
        assert any("changes_per_hour" in line for line in lines)
        world = house.controller.world
        assert world.topology.limits.changes_per_hour == 5
        assert set(world.tracks) == set(tracks)
        assert all(t.passes >= tracks[k].passes for k, t in world.tracks.items())


async def test_a_reload_neither_removes_a_served_site_nor_loosens_a_limit_unasked(
    tmp_path: Path,
) -> None:
    port = free_port()
    three = {s: {"address": a} for s, a in (("eu", "127.0.0.1"), ("us", "127.0.0.2"))}
    two_wanted = {"min_sites": 1, "max_drained": 1}
    async with targets(port), open_settled(write(tmp_path, port, limits=two_wanted)) as house:
        write(tmp_path, port, limits={"min_sites": 1, "max_drained": 2})
        with pytest.raises(ConfigError, match="loosens a limit"):
            await house.controller.reload()
        await house.controller.reload(loosen=True)
        assert house.controller.world.topology.limits.max_drained == 2
        write(tmp_path, port, sites={"eu": three["eu"]}, limits={"min_sites": 1, "max_drained": 2})
        with pytest.raises(ConfigError, match="--remove us"):
            await house.controller.reload()


async def test_a_reload_brings_new_alert_rules_into_force(tmp_path: Path) -> None:
    port, token = free_port(), tmp_path / "alerts.token"
    token.touch(mode=0o600)
    token.write_text("fake-alert-token\n")
    rule = {"match": {"alertname": "Broken"}, "site": "eu", "for": "2h", "repeat": "30m"}
    alerts = {"token": f"file:{token}", "rules": []}
    body = {
        "version": "4",
        "groupKey": "g",
        "status": "firing",
        "receiver": "gslb",
        "alerts": [{"status": "firing", "labels": {"alertname": "Broken"}, "fingerprint": "f1"}],
    }

    async def result(house: House) -> str:
        headers = {"Authorization": "Bearer fake-alert-token"}
        url = f"{house.url}/v1/hooks/alertmanager"
        async with (
            ClientSession() as client,
            client.post(url, json=body, headers=headers) as answer,
        ):
            return str((await answer.json())["results"][0]["result"])

    path = write(tmp_path, port, alerts=alerts)
    async with targets(port), open_settled(path) as house:
        assert await result(house) == "no_rule"
        write(tmp_path, port, alerts={**alerts, "rules": [rule]})
        await house.controller.reload()
        assert await result(house) == "drained"


async def test_the_pause_file_needs_neither_the_api_nor_the_store(tmp_path: Path) -> None:
    port = free_port()
    async with targets(port), open_settled(write(tmp_path, port)) as house:
        (tmp_path / "pause").touch()
        await until(lambda: house.controller.world.paused, 5)
        (tmp_path / "pause").unlink()
        await until(lambda: not house.controller.world.paused, 5)


async def test_a_second_process_on_the_same_store_is_told_so(tmp_path: Path) -> None:
    port = free_port()
    path = write(tmp_path, port)
    async with targets(port), open_settled(path):
        with pytest.raises(StoreError, match="gslb\\.db"):
            async with open_house(path, log=False):
                pass
        command = [sys.executable, "-m", "gslb", "run", "--config", str(path)]
        second = await asyncio.create_subprocess_exec(
            *command, stderr=subprocess.PIPE, stdout=subprocess.PIPE
        )
        _, said = await asyncio.wait_for(second.communicate(), 20)
    assert second.returncode == 1
    assert b"gslb.db" in said
    assert b"Traceback" not in said


async def test_check_asks_every_probe_and_backend_once(tmp_path: Path) -> None:
    port = free_port()
    configuration = load(write(tmp_path, port), KINDS)
    async with targets(port):
        lines = await asyncio.to_thread(probe_everything, configuration)
    assert [line.split(":")[0] for line in lines] == ["eu/http", "us/http", "pool"]
    assert not [line for line in lines if line.startswith("✗")]
    refused = await asyncio.to_thread(probe_everything, configuration)
    assert [line.startswith("✗") for line in refused] == [True, True, False]


async def test_the_process_reloads_by_sighup_and_ends_by_sigterm(tmp_path: Path) -> None:
    port = free_port()
    path = write(tmp_path, port)
    command = [sys.executable, "-m", "gslb", "run", "--config", str(path)]
    async with targets(port):
        running = await asyncio.create_subprocess_exec(*command, stderr=subprocess.PIPE)
        assert running.stderr is not None
        said: list[str] = []

        async def heard(word: str) -> None:
            assert running.stderr is not None
            while not any(word in line for line in said):
                line = await asyncio.wait_for(running.stderr.readline(), 20)
                assert line, said
                said.append(line.decode())

        await heard("runs; API at")
        write(tmp_path, port, limits={"min_sites": 1, "changes_per_hour": 3})
        running.send_signal(signal.SIGHUP)
        await heard("changes_per_hour")
        status = await ask(tmp_path / "api.sock", "/v1/overview")
        running.send_signal(signal.SIGTERM)
        assert await asyncio.wait_for(running.wait(), 10) == 0
    assert status["mode"] == "live"


async def ask(socket: Path, path: str) -> dict[str, object]:
    """One GET over the unix socket, as the command line does it."""
    reader, writer = await asyncio.open_unix_connection(str(socket))
    writer.write(f"GET {path} HTTP/1.0\r\nHost: gslb\r\n\r\n".encode())
    answer = (await reader.read()).decode()
    writer.close()
    await writer.wait_closed()
    found = json.loads(answer.split("\r\n\r\n", 1)[1])
    assert isinstance(found, dict)
    return found
