"""RFC 2136 against the real BIND, Knot, PowerDNS and NSD."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import replace
from pathlib import Path
from typing import Any

import dns.message
import dns.update
import pytest

from gslb.backends.rfc2136 import ADAPTER, Rfc2136, Settings
from gslb.domain.errors import BackendError, BackendFenced, BackendRefused
from gslb.domain.traffic import Answer, Change, Generation, Target
from gslb.ports import Backend
from gslb.wire.dns import exchange, parse_key
from tests.backends.contract import FIRST, Bench, FencedContract, answer, plan, pool
from tests.backends.nameservers import KEY, SECRET, Running, bind, knot, nsd, powerdns
from tests.kit import free_port, until

pytestmark = pytest.mark.real
V4 = {"eu": "192.0.2.10", "us": "192.0.2.20"}
POOLS = (pool("www.geo.test", V4), pool("api.geo.test", V4))


def key_file(folder: Path, text: str = KEY) -> str:
    path = folder / "ddns.key"
    path.write_text(text)
    path.chmod(0o600)
    return f"file:{path}"


def backend(
    *servers: Running, key: str | None, check: tuple[str, ...] = (), **more: Any
) -> Rfc2136:
    listed = tuple(str(one.server) for one in servers)
    text = {"server": listed, "check": check, "zone": "geo.test", "tsig": key, "timeout_s": 2}
    return Rfc2136(Settings.model_validate(text | more))


async def put(one: Running, *adds: tuple[str, int, str, str]) -> None:
    """A person's own update, past our fence."""
    message = dns.update.UpdateMessage("geo.test")
    message.use_tsig(parse_key(KEY))
    for add in adds:
        message.replace(*add)
    reply = await exchange(message, one.server, 2, tcp=True)
    assert reply.rcode == 0


async def beside(one: Running) -> object:
    names = [("other.geo.test", "A"), ("other.geo.test", "TXT"), ("ns.geo.test", "A")]
    asked = [exchange(dns.message.make_query(n, k), one.server, 2) for n, k in names]
    found = await asyncio.gather(*asked)
    return [str(rrset) for reply in found for rrset in reply.message.answer]


class Common(FencedContract):
    """What holds for every server that takes updates."""

    start: Callable[[Path], AbstractAsyncContextManager[Running]]
    wrong_key = "DENIED"

    @pytest.fixture
    async def one(self, tmp_path: Path) -> AsyncIterator[Running]:
        async with type(self).start(tmp_path / "server") as one:
            yield one

    @pytest.fixture
    async def bench(self, one: Running, tmp_path: Path) -> AsyncIterator[Bench]:
        key = key_file(tmp_path)
        hung = await asyncio.start_server(self.silent, "127.0.0.1", 0)
        refuser = await asyncio.start_server(self.slam, "127.0.0.1", 0)

        async def broken(fault: str) -> Backend:
            port = {
                "gone": free_port(),
                "hung": hung.sockets[0].getsockname()[1],
                "refusing": refuser.sockets[0].getsockname()[1],
            }[fault]
            return Rfc2136(
                Settings.model_validate(
                    {
                        "server": f"127.0.0.1:{port}",
                        "zone": "geo.test",
                        "tsig": key,
                        "timeout_s": 0.3,
                    }
                )
            )

        yield Bench(backend(one, key=key), POOLS, lambda: beside(one), broken)
        hung.close()
        refuser.close()

    @staticmethod
    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()

    @staticmethod
    async def slam(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.close()

    async def test_addresses_of_both_families_and_host_names_take_turns(self, bench: Bench) -> None:
        both = pool("www.geo.test", {"eu": ("192.0.2.10", "2001:db8::10"), "us": "us.example.com"})
        old = answer(POOLS[0], "eu")
        turns = [answer(both, *sites) for sites in (["eu"], ["us"], ["eu"], ["us"])]
        moved = pool("www.geo.test", {"us": "US.Example.org.", "eu": "2001:DB8::10"})
        turns += [answer(moved, "us"), answer(moved, "eu"), answer(moved, "us"), old]
        for new in turns:
            await bench.apply(Change(pool=both, before=old, after=new))
            members = moved if new in turns[4:7] else both
            assert (await bench.backend.read([members])).answers == {members.service: new}
            old = new

    async def test_a_name_that_did_not_exist_is_created(self, bench: Bench) -> None:
        alias = pool("alias.geo.test", {"eu": "eu.example.com", "us": "192.0.2.20"})
        assert (await bench.backend.read([alias])).answers == {alias.service: None}
        new = answer(alias, "eu")
        await bench.apply(Change(pool=alias, before=None, after=new))
        assert (await bench.backend.read([alias])).answers == {alias.service: new}
        with pytest.raises(BackendFenced):
            await bench.apply(Change(pool=alias, before=None, after=new))

    async def test_a_wrong_secret_is_refused(self, one: Running, tmp_path: Path) -> None:
        wrong = KEY.replace(SECRET, SECRET.swapcase())
        other = backend(one, key=key_file(tmp_path, wrong))
        with pytest.raises(BackendRefused):
            await other.apply(plan(expects=None, leaves=FIRST))
        assert (await other.read(POOLS)).generation is None

    async def test_a_strangers_address_is_shown_and_is_nobodys(
        self, bench: Bench, one: Running
    ) -> None:
        await put(one, ("www", 5, "A", "192.0.2.66"))
        reading = await bench.backend.read(POOLS)
        assert reading.answers[POOLS[0].service] == Answer(
            name=POOLS[0].service, targets=(Target("192.0.2.66", site=None),)
        )

    async def test_what_is_no_generation_is_foreign(self, bench: Bench, one: Running) -> None:
        await put(one, ("_gslb", 5, "TXT", '"owned by hand"'))
        reading = await bench.backend.read(POOLS)
        assert (reading.generation, reading.foreign_generation) == (None, "owned by hand")
        with pytest.raises(BackendFenced):
            await bench.serve("us")


class TestBind(Common):
    start = staticmethod(bind)


class TestKnot(Common):
    start = staticmethod(knot)


class TestPowerDns(Common):
    start = staticmethod(powerdns)
