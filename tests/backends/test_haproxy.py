"""The runtime API of a real HAProxy, by unix socket and by TCP, one and several."""

import asyncio
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from gslb.backends.haproxy import ADAPTER, Haproxy, Settings
from gslb.domain.errors import BackendError, BackendFenced, BackendRefused
from gslb.domain.traffic import Change, Fencing
from gslb.ports import Backend
from tests.backends.contract import BackendContract, Bench, answer, plan, pool
from tests.kit import free_port, need, until
from tests.wire.listener import listening, silent

pytestmark = pytest.mark.real
POOLS = (
    pool("www.geo.test", {"eu": "eu-1", "us": "us-1"}),
    pool("api.geo.test", {"eu": "eu-2", "us": "us-2"}),
)
WWW = POOLS[0]
SERVERS = "".join(
    f"  server {name} 127.0.0.1:9 weight 1\n" for name in ("eu-1", "us-1", "eu-2", "us-2", "sorry")
)


@dataclass
class Running:
    """A HAProxy in master-worker mode, so that SIGUSR2 reloads it."""

    folder: Path
    port: int
    process: asyncio.subprocess.Process

    @property
    def socket(self) -> str:
        return str(self.folder / "admin.sock")

    async def say(self, line: str) -> str:
        reader, writer = await asyncio.open_unix_connection(self.socket)
        writer.write(line.encode() + b"\n")
        said = (await reader.read()).decode()
        writer.close()
        await writer.wait_closed()
        return said

    async def lives(self) -> bool:
        try:
            return "Pid" in await self.say("show info")
        except OSError:
            return False

    async def pid(self) -> str:
        try:
            said = await self.say("show info")
        except OSError:
            return ""
        return next((line for line in said.splitlines() if line.startswith("Pid:")), "")

    async def reload(self) -> None:
        # Before the master has its signal handlers, a reload would be lost.
        status = Path(f"/proc/{self.process.pid}/status")
        await until(lambda: int(status.read_text().split("SigCgt:")[1].split()[0], 16) & 0x800)
        before = await self.pid()
        self.process.send_signal(signal.SIGUSR2)

        async def renewed() -> bool:
            now = await self.pid()
            return bool(now) and now != before

        await until(renewed, limit_s=10)


@asynccontextmanager
async def haproxy(folder: Path) -> AsyncIterator[Running]:
    program, port = need("haproxy"), free_port()
    (folder / "h").mkdir(parents=True)
    config = folder / "h.cfg"
    config.write_text(
        f"""global
  nbthread 1
  stats socket {folder}/admin.sock mode 600 level admin
  stats socket ipv4@127.0.0.1:{port} level admin
  stats socket {folder}/user.sock mode 600 level user
defaults
  mode http
  timeout connect 1s
  timeout client 5s
  timeout server 5s
frontend f
  bind unix@{folder}/front.sock
  default_backend registry
backend registry
{SERVERS}"""
    )
    with (folder / "log").open("wb") as log:
        process = await asyncio.create_subprocess_exec(
            program, "-W", "-db", "-f", str(config), stdout=log, stderr=log
        )
    one = Running(folder, port, process)
    try:
        await until(one.lives, limit_s=10)
        for name in ("us-1", "us-2"):
            await one.say(f"set server registry/{name} state drain")
        yield one
    finally:
        process.terminate()
        await process.wait()


def backend(*places: str, timeout_s: float = 2.0) -> Haproxy:
    settings = {
        "server": places,
        "backend": "registry",
        "servers": {"eu": "eu-1", "us": "us-1"},
        "timeout_s": timeout_s,
    }
    return Haproxy(Settings.model_validate(settings))


def turn(*before: str, after: tuple[str, ...]) -> Change:
    return Change(pool=WWW, before=answer(WWW, *before), after=answer(WWW, *after))


async def carry_out(one: Haproxy, *changes: Change) -> None:
    await one.apply(plan(*changes, expects=None, leaves=None))


@pytest.fixture
async def one(tmp_path: Path) -> AsyncIterator[Running]:
    async with haproxy(tmp_path / "a") as one:
        yield one


class Common(BackendContract):
    @staticmethod
    def place(one: Running) -> str:
        raise NotImplementedError

    @pytest.fixture
    async def bench(self, one: Running) -> AsyncIterator[Bench]:
        async def beside() -> object:
            said = await one.say("show servers state registry")
            return [line.split()[3:8] for line in said.splitlines() if " sorry " in line]

        async def broken(fault: str) -> Backend:
            if fault == "refusing":
                denied = {"server": one.socket, "backend": "no-such", "servers": {"eu": "eu-1"}}
                return Haproxy(Settings.model_validate(denied))
            return backend(str(one.folder / f"{fault}.sock"), timeout_s=0.2)

        async with listening(silent, str(one.folder / "hung.sock")):
            yield Bench(backend(self.place(one)), POOLS, beside, broken, fenced=False)


class TestByUnixSocket(Common):
    @staticmethod
    def place(one: Running) -> str:
        return one.socket


class TestByTcp(Common):
    @staticmethod
    def place(one: Running) -> str:
        return f"127.0.0.1:{one.port}"


async def test_weights_are_written_and_read_back(one: Running) -> None:
    ours = backend(one.socket)
    after = answer(WWW, eu=64, us=256)
    await carry_out(ours, Change(pool=WWW, before=answer(WWW, "eu"), after=after))
    assert (await ours.read([WWW])).answers == {WWW.service: after}
    assert await one.say("get weight registry/us-1") == "256 (initial 1)\n\n"


async def test_a_reload_loses_the_drain_and_the_read_shows_it(one: Running) -> None:
    ours = backend(one.socket)
    await carry_out(ours, turn("eu", after=("us",)))
    assert (await ours.read([WWW])).answers == {WWW.service: answer(WWW, "us")}
    await one.reload()
    assert (await ours.read([WWW])).answers == {WWW.service: answer(WWW, "eu", "us")}
    await carry_out(ours, turn("eu", "us", after=("us",)))
    assert (await ours.read([WWW])).answers == {WWW.service: answer(WWW, "us")}


async def test_what_a_person_holds_in_maintenance_is_not_served_and_not_touched(
    one: Running,
) -> None:
    ours = backend(one.socket)
    await one.say("set server registry/us-1 state maint")
    reading = await ours.read([WWW])
    assert reading.answers == {WWW.service: answer(WWW, "eu")}
    assert "us-1 is in maintenance" in reading.behind[WWW.service][0]
    with pytest.raises(BackendRefused, match="none of us-1 can serve"):
        await carry_out(ours, turn("eu", after=("us",)))
    await carry_out(ours, turn("eu", after=("eu", "us")))
    assert (await ours.read([WWW])).answers == {WWW.service: answer(WWW, "eu")}


async def test_the_last_servers_are_never_drained_for_a_server_that_is_not_there(
    one: Running,
) -> None:
    ours = backend(one.socket)
    odd = pool("www.geo.test", {"eu": "eu-1", "us": "us-9"})
    assert "has no server us-9" in (await ours.read([odd])).behind[odd.service][0]
    with pytest.raises(BackendRefused):
        await carry_out(ours, Change(pool=odd, before=answer(odd, "eu"), after=answer(odd, "us")))
    assert (await ours.read([WWW])).answers == {WWW.service: answer(WWW, "eu")}


async def test_a_socket_without_the_right_to_write_refuses(one: Running) -> None:
    ours = backend(str(one.folder / "user.sock"))
    with pytest.raises(BackendError, match=r"(?i)permission denied"):
        await carry_out(ours, turn("eu", after=("us",)))
    assert (await backend(one.socket).read([WWW])).answers == {WWW.service: answer(WWW, "eu")}


async def test_services_that_share_servers_must_want_the_same(one: Running) -> None:
    same = pool("api.geo.test", {"eu": "eu-1", "us": "us-1"})
    other = Change(pool=same, before=answer(same, "eu"), after=answer(same, "eu", "us"))
    with pytest.raises(BackendRefused, match="different things"):
        await carry_out(backend(one.socket), turn("eu", after=("us",)), other)


async def test_several_are_one_backend(one: Running, tmp_path: Path) -> None:
    async with haproxy(tmp_path / "b") as two:
        ours = backend(one.socket, f"127.0.0.1:{two.port}")
        await carry_out(ours, turn("eu", after=("us",)))
        for each in (one, two):
            alone = await backend(each.socket).read([WWW])
            assert alone.answers == {WWW.service: answer(WWW, "us")}

        await two.say("set server registry/eu-1 state ready")
        reading = await ours.read([WWW])
        assert reading.answers == {WWW.service: answer(WWW, "eu", "us")}
        assert reading.behind == {WWW.service: (f"{one.socket} serves us-1",)}
        await carry_out(ours, turn("eu", "us", after=("us",)))
        assert (await ours.read([WWW])).behind == {}
        with pytest.raises(BackendFenced):
            await carry_out(ours, turn("eu", "us", after=("eu",)))


async def test_one_that_is_gone_does_not_keep_the_other_from_being_written(
    one: Running, tmp_path: Path
) -> None:
    gone = str(tmp_path / "gone.sock")
    ours = backend(gone, one.socket)
    with pytest.raises(BackendError, match=r"gone\.sock"):
        await carry_out(ours, turn("eu", after=("us",)))
    reading = await ours.read([WWW])
    assert reading.answers == {WWW.service: answer(WWW, "us")}
    assert "gone.sock" in reading.behind[WWW.service][0]


def test_it_says_that_it_is_not_fenced_and_takes_names_of_servers() -> None:
    settings = Settings.model_validate(
        {"server": ["/run/haproxy.sock", "192.0.2.80"], "backend": "b", "servers": {"eu": "eu-1"}}
    )
    assert settings.server == ("/run/haproxy.sock", "192.0.2.80:9999")
    assert ADAPTER.shape is not None
    shape = ADAPTER.shape(settings)
    assert (shape.addresses, shape.weight_max, shape.fencing) == (False, 256, Fencing.TIME)
    with pytest.raises(ValueError, match="pattern"):
        Settings.model_validate({"server": "/s", "backend": "b; shutdown", "servers": {"eu": "e"}})
