"""Break-glass on real BIND and HAProxy, with the controller ended and with it running."""

import asyncio
import os
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import dns.name
import dns.rdatatype
import pytest

from gslb.wire.dns import Server, look_up
from tests.backends.nameservers import KEY, bind
from tests.backends.test_haproxy import Running as Balancer
from tests.backends.test_haproxy import haproxy
from tests.e2e.processes import Controller, secret
from tests.kit import free_port, until

pytestmark = [pytest.mark.real, pytest.mark.timeout(110)]
SENTENCE = "another instance of this cluster, emergency"
NAME = "alias.geo.test"
ADDRESSES = {"eu": "192.0.2.11", "us": "192.0.2.12"}


@dataclass
class Place:
    """A name server, a balancer, and one configuration of both."""

    folder: Path
    server: Server
    balancer: Balancer
    controller: Controller

    async def gslb(self, *arguments: str) -> tuple[int, str]:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "gslb", *arguments),
            env={**os.environ, "GSLB_CONFIG": str(self.controller.config), "LANG": "C.UTF-8",
                 "GSLB_URL": f"unix:{self.folder}/api.sock"},
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )  # fmt: skip
        out, _ = await asyncio.wait_for(process.communicate(), 60)
        assert process.returncode is not None
        return process.returncode, out.decode()

    async def drains(self, *more: str, site: str = "eu") -> tuple[int, str]:
        words = ("--reason", "API and store are gone", "--yes", site, *more)
        return await self.gslb("emergency", "drain", site, *words)

    async def generation(self) -> list[str]:
        return await records(self.server, "_gslb", "TXT")

    async def dns(self) -> set[str]:
        values = await records(self.server, "alias", "A")
        return {site for site, address in ADDRESSES.items() if address in values}

    async def edge(self) -> set[str]:
        said = await self.balancer.say("show servers state registry")
        rows = [line.split() for line in said.splitlines()[2:] if line]
        return {row[3][:2] for row in rows if row[3] in ("eu-1", "us-1") and row[6] == "0"}

    async def is_in(self, *sites: str) -> None:
        async def so() -> bool:
            return (await self.dns(), await self.edge()) == ({*sites}, {*sites})

        await until(so, 60, what=f"{sites} {self.controller.log[-2000:]}")

    async def stays(self, *sites: str, for_s: float = 3.0) -> None:
        """Longer than the controller lets pass between two reads (resync 1 s)."""
        ends = time.monotonic() + for_s

        async def so() -> bool:
            seen = (await self.dns(), await self.edge())
            assert seen == ({*sites}, {*sites}), self.controller.log[-3000:]
            return time.monotonic() > ends

        await until(so, for_s + 20, every_s=0.1)


async def records(server: Server, name: str, kind: str) -> list[str]:
    owner = dns.name.from_text(f"{name}.geo.test")
    found = await look_up(owner, dns.rdatatype.from_text(kind), server, 3.0)
    return [rdata.to_text().strip('"') for rdata in found]


@asynccontextmanager
async def place(folder: Path, more: str = "") -> AsyncIterator[Place]:
    (folder / "dns").mkdir()
    (folder / "lb").mkdir()
    (folder / "state").mkdir()
    secret(folder / "ddns.key", KEY)
    async with bind(folder / "dns") as named, haproxy(folder / "lb") as balancer:
        await balancer.say("set server registry/us-1 state ready")
        sites = "".join(f"  {s}: {{address: {a}}}\n" for s, a in ADDRESSES.items())
        (folder / "gslb.yml").write_text(
            f"cluster: test\nmode: live\nprofile: fast\nlimits: {{min_sites: 1}}\n"
            f"timing: {{resync: 1s}}\nsites:\n{sites}services: {{{NAME}: {{kind: none}}}}\n"
            f"backends:\n  dns: {{kind: rfc2136, server: \"{named.server}\", zone: geo.test, "
            f"tsig: file:{folder}/ddns.key}}\n"
            f"  edge: {{kind: haproxy, server: {balancer.socket}, backend: registry, "
            "servers: {eu: eu-1, us: us-1}}\n"
            f"store: {{sqlite: {folder}/state/gslb.db}}\n"
            f"api: {{listen: 127.0.0.1:{free_port()}, socket: {folder}/api.sock}}\n" + more
        )  # fmt: skip
        controller = Controller(folder / "gslb.yml", folder)
        try:
            yield Place(folder, named.server, balancer, controller)
        finally:
            await controller.kill()


async def test_a_site_leaves_though_the_controller_is_gone_and_none_that_starts_undoes_it(
    tmp_path: Path,
) -> None:
    async with place(tmp_path) as at:
        await at.controller.start()
        await at.is_in("eu", "us")
        await at.controller.kill()
        (before,) = await at.generation()
        code, said = await at.drains()
        assert code == 0, said
        assert (await at.dns(), await at.edge()) == ({"us"}, {"us"})
        assert "dns: written and read back" in said
        assert "gslb adopt dns" in said
        cluster, _, epoch, seq = before.split()[1:]
        assert await at.generation() == [f"v1 {cluster} emergency {epoch} {int(seq) + 1}"]
        for start in range(3):  # a crash loop: each start is a new epoch
            await at.controller.start()
            await until(lambda: at.controller.log.count("runs; API at") == at.controller.starts, 30)
            await until(lambda: at.controller.said(SENTENCE), 30)
            await at.stays("us")
            if start < 2:
                await at.controller.kill()
        code, said = await at.gslb("status")
        assert "dns is in conflict" in said, said
        # And back, by the words that were printed.
        for words in (
            ("drain", "eu", "--for", "4h", "--reason", "still sick", "--yes"),
            ("adopt", "dns", "--reason", "we are back", "--yes"),
        ):
            code, said = await at.gslb(*words)
            assert code == 0, said
        (at.folder / "state" / "pause").unlink()

        async def taken_over() -> bool:
            return "emergency" not in str(await at.generation())

        await until(taken_over, 30)
        await at.stays("us")
        code, said = await at.gslb("undrain", "eu")
        assert code == 0, said
        await at.is_in("eu", "us")


async def test_a_running_controller_stops_there_and_says_why(tmp_path: Path) -> None:
    async with place(tmp_path) as at:
        await at.controller.start()
        await at.is_in("eu", "us")
        code, said = await at.drains()
        assert code == 0, said
        await until(lambda: at.controller.said("conflict", "dns", "emergency"), 30)
        await at.stays("us")
        code, said = await at.drains(site="us")
        assert (code, "refused by not_empty" in said) == (6, True), said
        assert await at.dns() == {"us"}


async def test_what_it_refuses_and_what_it_asks(tmp_path: Path) -> None:
    async with place(tmp_path) as at:
        await at.controller.start()
        await at.is_in("eu", "us")
        await at.controller.kill()
        before = await at.generation()
        asked = ("emergency", "drain", "eu", "--reason", "x")
        for words, code, part in (
            (asked, 2, "repeat with --yes eu"),
            ((*asked, "--yes", "us"), 2, "'us' is not eu"),
            ((*asked, "--backend", "dsn", "--yes", "eu"), 2, "did you mean `dns`?"),
            (("emergency", "drain", "eux", "--reason", "x"), 2, "did you mean `eu`?"),
        ):
            assert (await at.gslb(*words))[0] == code
            assert part in (await at.gslb(*words))[1]
        config = at.controller.config
        kept = config.read_text()
        wider = kept.replace("services:", "  ap: {address: 192.0.2.13}\nservices:")
        config.write_text(wider.replace("min_sites: 1", "min_sites: 2"))
        code_, said = await at.drains()
        assert (code_, "refused by min_sites: 1 would be left" in said) == (6, True), said
        config.write_text(kept)
        assert (await at.generation(), await at.dns()) == (before, {"eu", "us"})
        code_, said = await at.drains("--backend", "dns")
        assert (code_, await at.dns(), await at.edge()) == (0, {"us"}, {"eu", "us"}), said
        assert not (at.folder / "state" / "pause").exists()
        assert (await at.drains("--backend", "dns"))[1].strip().endswith("nothing to do.")
