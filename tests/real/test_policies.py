"""The keys that README.md tells people to grant allow our plans, and not one name more."""

import re
import sqlite3
import subprocess
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import dns.message
import dns.update
import pytest

from gslb.backends.rfc2136 import Rfc2136, Settings
from gslb.domain.errors import BackendRefused, WireError
from gslb.domain.health import Cause
from gslb.domain.traffic import Change, Plan
from gslb.wire.dns import Server, exchange, parse_key
from tests.backends.contract import FIRST, answer, plan, pool
from tests.backends.nameservers import KEY, answers, launched, powerdns
from tests.kit import free_port, need, until

pytestmark = pytest.mark.real
README = Path(__file__).parents[2] / "README.md"
ZONE = "$TTL 5\n@ SOA ns h 1 60 60 600 5\n@ NS ns\nns A 127.0.0.1\n"
RECORDS = "quay A 192.0.2.10\nother A 192.0.2.99\nother TXT stays\n"
QUAY = pool("quay.example.com", {"eu": "192.0.2.10", "us": "192.0.2.20"})
OTHER = pool("other.example.com", {"eu": "192.0.2.99", "us": "192.0.2.20"})


def printed(begins: str) -> str:
    """The first block of the README after the line that begins so."""
    found = re.search(
        rf"^{re.escape(begins)}.*?\n```\w*\n(.*?)^```", README.read_text(), re.M | re.S
    )
    assert found, f"README.md has no block after {begins!r}"
    return found[1]


@dataclass
class Granted:
    """A server with exactly the printed policy, and the key it grants."""

    server: Server
    key: str

    def backend(self, folder: Path) -> Rfc2136:
        path = folder / "ddns.key"
        path.touch(mode=0o600)
        path.write_text(self.key)
        given = {"server": str(self.server), "zone": "example.com", "tsig": f"file:{path}"}
        return Rfc2136(Settings.model_validate(given))

    async def update(self, *change: object, how: str = "replace") -> bool:
        """One signed update of one thing; was it carried out?"""
        message = dns.update.UpdateMessage("example.com")
        getattr(message, how)(*change)
        message.use_tsig(parse_key(self.key))
        try:
            reply = await exchange(message, self.server, 5, tcp=True)
        except WireError as error:
            if error.cause != Cause.DENIED:
                raise
            return False
        return reply.rcode == 0

    async def zone(self) -> list[str]:
        """All that it serves of what matters here."""
        names = [("quay", "A"), ("quay", "MX"), ("other", "A"), ("other", "TXT"), ("_gslb", "TXT")]
        found = []
        for name, kind in names:
            query = dns.message.make_query(f"{name}.example.com", kind, flags=0)
            reply = await exchange(query, self.server, 5)
            found += [str(rrset) for rrset in reply.message.answer]
        return found


@asynccontextmanager
async def running(folder: Path, server: Server, key: str, *command: str) -> AsyncIterator[Granted]:
    process = await launched(folder, command)
    try:
        await until(lambda: answers(server, any_rcode=True), limit_s=20, what=command[0])
        yield Granted(server, key)
    finally:
        if process.returncode is None:
            process.terminate()
        await process.wait()


def new_key() -> str:
    new = (need("tsig-keygen"), "-a", "hmac-sha256", "gslb")
    return subprocess.run(new, check=True, capture_output=True, text=True).stdout


@asynccontextmanager
async def bind(folder: Path) -> AsyncIterator[Granted]:
    port, block = free_port(), printed("BIND (`tsig-keygen")
    key = new_key()
    (folder / "z.db").write_text(ZONE + RECORDS)
    assert '"/var/lib/bind/example.com"' in block
    block = block.replace("/var/lib/bind/example.com", f"{folder}/z.db")
    (folder / "named.conf").write_text(
        f"""options {{ directory "{folder}"; pid-file none; session-keyfile "{folder}/session";
  listen-on port {port} {{ 127.0.0.1; }}; listen-on-v6 {{ none; }}; recursion no; }};
controls {{ }};
{key}{block}"""
    )
    command = (need("named"), "-c", str(folder / "named.conf"), "-f", "-n", "1")
    async with running(folder, Server("127.0.0.1", port), key, *command) as one:
        yield one


@asynccontextmanager
async def knot(folder: Path) -> AsyncIterator[Granted]:
    port, block = free_port(), printed("Knot (`keymgr")
    secret = re.search(r"secret: (\S+)", block)
    assert secret
    key = f'key "gslb" {{ algorithm hmac-sha256; secret "{secret[1]}"; }};\n'
    (folder / "example.com.zone").write_text(ZONE + RECORDS)
    (folder / "k.conf").write_text(
        f'server:\n    rundir: "{folder}"\n    listen: 127.0.0.1@{port}\n'
        f'database:\n    storage: "{folder}"\n    journal-db-max-size: 16M\n'
        f'template:\n  - id: default\n    storage: "{folder}"\n{block}'
    )
    command = (need("knotd"), "-c", str(folder / "k.conf"))
    async with running(folder, Server("127.0.0.1", port), key, *command) as one:
        yield one


Start = Callable[[Path], AbstractAsyncContextManager[Granted]]


@pytest.fixture(params=[bind, knot], ids=["bind", "knot"])
async def granted(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Granted]:
    start: Start = request.param
    async with start(tmp_path) as one:
        yield one


def moved(*others: Change) -> Plan:
    change = Change(pool=QUAY, before=answer(QUAY, "eu"), after=answer(QUAY, "us"))
    return plan(change, *others, expects=None, leaves=FIRST)


async def test_our_plan_goes_through_with_the_printed_policy(
    granted: Granted, tmp_path: Path
) -> None:
    ours = granted.backend(tmp_path)
    await ours.apply(moved())
    reading = await ours.read([QUAY])
    assert reading.answers == {QUAY.service: answer(QUAY, "us")}
    assert reading.generation == FIRST


async def test_one_name_more_is_refused_with_all_of_the_plan(
    granted: Granted, tmp_path: Path
) -> None:
    before = await granted.zone()
    other = Change(pool=OTHER, before=answer(OTHER, "eu"), after=answer(OTHER, "us"))
    with pytest.raises(BackendRefused):
        await granted.backend(tmp_path).apply(moved(other))
    assert await granted.zone() == before


async def test_other_names_and_types_are_neither_written_nor_removed(granted: Granted) -> None:
    before = await granted.zone()
    assert not await granted.update("other", 5, "A", "192.0.2.20")
    assert not await granted.update("sub.quay", 5, "A", "192.0.2.20")
    assert not await granted.update("@", 5, "A", "192.0.2.20")
    assert not await granted.update("quay", 5, "MX", "10 other.example.com.")
    assert not await granted.update("other", "A", how="delete")
    assert not await granted.update("other", how="delete")
    assert not await granted.update("other", "TXT", "stays", how="delete")
    assert await granted.zone() == before
    assert await granted.update("quay", 5, "A", "192.0.2.20"), "what is granted is carried out"
    assert await granted.zone() != before


async def test_a_powerdns_zone_is_closed_to_us_only_by_a_key_of_its_own(tmp_path: Path) -> None:
    async with powerdns(tmp_path / "server") as one:
        change(
            one.folder / "p.db",
            "insert into domains (id, name, type) values (2, 'example.com', 'NATIVE')",
            "insert into records (domain_id, name, type, content, ttl, disabled, auth) values"
            " (2, 'example.com', 'SOA', 'ns.example.com h.example.com 1 60 60 600 5', 5, 0, 1)",
        )
        granted = Granted(one.server, KEY)
        assert await granted.update("quay", 5, "A", "192.0.2.20"), "as README.md warns"
        change(
            one.folder / "p.db",
            "insert into domainmetadata (domain_id, kind, content)"
            " values (2, 'TSIG-ALLOW-DNSUPDATE', 'theirs')",
        )
        before = await granted.zone()
        assert not await granted.update("quay", 5, "A", "192.0.2.30")
        assert await granted.zone() == before


def change(path: Path, *statements: str) -> None:
    base = sqlite3.connect(path)
    for statement in statements:
        base.execute(statement)
    base.commit()
    base.close()
