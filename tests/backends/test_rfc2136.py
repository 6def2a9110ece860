"""RFC 2136 against the real BIND, Knot, PowerDNS and NSD."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any

import dns.message
import dns.update
import pytest

from gslb.backends.rfc2136 import ADAPTER, COMPARED_NAMES_MAX, Rfc2136, Settings
from gslb.domain.errors import BackendError, BackendFenced, BackendRefused
from gslb.domain.traffic import Answer, Change, Target
from gslb.ports import Backend
from gslb.wire.dns import exchange, parse_key
from tests.backends.contract import FIRST, Bench, FencedContract, answer, plan, pool
from tests.backends.nameservers import KEY, SECRET, Running, bind, knot, nsd, powerdns
from tests.kit import free_port
from tests.wire.listener import listening, silent, slam

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

    @pytest.fixture
    async def one(self, tmp_path: Path) -> AsyncIterator[Running]:
        async with type(self).start(tmp_path / "server") as one:
            yield one

    @pytest.fixture
    async def bench(self, one: Running, tmp_path: Path) -> AsyncIterator[Bench]:
        key = key_file(tmp_path)

        async def broken(fault: str) -> Backend:
            port = {"gone": free_port(), "hung": hung, "refusing": refuser}[fault]
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

        async with listening(silent) as hung, listening(slam) as refuser:
            yield Bench(backend(one, key=key), POOLS, lambda: beside(one), broken)

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


class Granting(Common):
    """Servers whose keys are granted single names."""

    async def test_a_name_that_is_not_granted_is_refused_with_all_the_plan(
        self, bench: Bench
    ) -> None:
        ns = pool("ns.geo.test", {"eu": "127.0.0.1", "us": "127.0.0.2"})
        other = Change(pool=ns, before=answer(ns, "eu"), after=answer(ns, "us"))
        with pytest.raises(BackendRefused):
            await bench.apply(bench.turn(0, "eu", "us"), other)
        assert await bench.served() == [("eu",), ("eu",)]
        assert (await bench.backend.read(POOLS)).generation is None


class TestBind(Granting):
    start = staticmethod(bind)


class TestKnot(Granting):
    start = staticmethod(knot)


class TestPowerDns(Common):
    start = staticmethod(powerdns)

    async def test_its_key_may_change_every_name_of_the_zone(self, bench: Bench) -> None:
        ns = pool("ns.geo.test", {"eu": "127.0.0.1", "us": "127.0.0.2"})
        await bench.apply(Change(pool=ns, before=answer(ns, "eu"), after=answer(ns, "us")))
        assert (await bench.backend.read([ns])).answers == {ns.service: answer(ns, "us")}


async def test_a_delete_never_empties_a_name_that_was_not_compared(tmp_path: Path) -> None:
    names = ["www", "api", *(f"n{number}" for number in range(COMPARED_NAMES_MAX))]
    both = pool("www.geo.test", V4)
    others = [pool(f"{name}.geo.test", V4) for name in names[2:]]
    async with bind(tmp_path / "server", names) as one:
        ours = backend(one, key=key_file(tmp_path), timeout_s=10)
        # We think that both are served; a person took the one that is to stay.
        change = Change(pool=both, before=answer(both, "eu", "us"), after=answer(both, "us"))
        more = [Change(pool=p, before=None, after=answer(p, "eu")) for p in others]
        await ours.apply(plan(change, *more, expects=None, leaves=FIRST))
        assert (await ours.read([both])).answers == {both.service: answer(both, "us")}


async def test_no_host_name_goes_where_other_records_would_make_it_ignored(tmp_path: Path) -> None:
    async with bind(tmp_path / "server", ["other"]) as one:
        ours = backend(one, key=key_file(tmp_path))
        other = pool("other.geo.test", {"eu": "192.0.2.99", "us": "us.example.com"})
        change = Change(pool=other, before=answer(other, "eu"), after=answer(other, "us"))
        with pytest.raises(BackendFenced):
            await ours.apply(plan(change, expects=None, leaves=FIRST))
        assert (await ours.read([other])).answers == {other.service: answer(other, "eu")}
        apex = pool("geo.test", {"us": "us.example.com"})
        change = Change(pool=apex, before=None, after=answer(apex, "us"))
        with pytest.raises(BackendRefused, match="zone"):
            await ours.apply(plan(change, expects=None, leaves=FIRST))


async def test_the_next_server_is_asked_only_when_nothing_was_sent(tmp_path: Path) -> None:
    key = key_file(tmp_path)
    heard: list[bytes] = []

    async def swallow(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heard.append(await reader.read(2))

    async with bind(tmp_path / "server") as one, listening(swallow) as mute:
        real = str(one.server)
        change = Change(pool=POOLS[0], before=answer(POOLS[0], "eu"), after=answer(POOLS[0], "us"))
        sent = plan(change, expects=None, leaves=FIRST)
        with pytest.raises(BackendError, match="closed before an answer"):
            await backend(key=key, server=(f"127.0.0.1:{mute}", real)).apply(sent)
        assert heard
        reading = await backend(one, key=key).read(POOLS)
        assert reading.answers[POOLS[0].service] == answer(POOLS[0], "eu")

        gone = f"127.0.0.1:{free_port()}"
        ours = backend(key=key, server=(gone, real))
        await ours.apply(sent)
        reading = await ours.read(POOLS)
        assert reading.answers[POOLS[0].service] == answer(POOLS[0], "us")
        assert [gone in why for why in reading.behind[POOLS[0].service]] == [True]


async def test_a_secondary_that_lags_or_is_gone_is_named_behind(tmp_path: Path) -> None:
    port = free_port()
    async with bind(tmp_path / "bind") as one, nsd(tmp_path / "nsd", one.server, port) as two:
        ours = backend(one, key=key_file(tmp_path), check=(str(two.server),))
        assert (await ours.read(POOLS)).behind == {}
        change = Change(pool=POOLS[0], before=answer(POOLS[0], "eu"), after=answer(POOLS[0], "us"))
        await ours.apply(plan(change, expects=None, leaves=FIRST))
        reading = await ours.read(POOLS)
        assert reading.answers[POOLS[0].service] == answer(POOLS[0], "us")
        assert reading.behind == {POOLS[0].service: (f"{two.server} serves 192.0.2.10",)}
        with pytest.raises(BackendRefused):
            await backend(two, key=key_file(tmp_path)).apply(plan(expects=FIRST, leaves=FIRST))
        two.process.terminate()
        await two.process.wait()
        behind = (await ours.read(POOLS)).behind
        assert all(str(two.server) in behind[p.service][0] for p in POOLS)


async def test_a_zone_that_is_not_served_there_cannot_be_read(tmp_path: Path) -> None:
    async with bind(tmp_path / "server") as one:
        ours = backend(one, key=None, zone="other.example")
        with pytest.raises(BackendError, match="REFUSED"):
            await ours.read([pool("www.other.example", V4)])


def test_mistakes_in_the_settings_are_told_in_sentences() -> None:
    for wrong, says in (
        ({"server": "192.0.2.53:99999"}, "not within 1..65535"),
        ({"server": "a b"}, "is not HOST"),
        ({"server": "192.0.2.53", "zone": "a..b"}, "is no DNS name"),
    ):
        with pytest.raises(ValueError, match=says):
            Settings.model_validate({"zone": "geo.test"} | wrong)
    assert ADAPTER.shape is not None
    good = Settings.model_validate({"server": "192.0.2.53", "zone": "geo.test."})
    assert (good.server, good.zone, ADAPTER.shape(good).weights) == (
        "192.0.2.53:53",
        "geo.test.",
        False,
    )
