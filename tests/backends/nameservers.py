"""Real name servers on loopback, each with the zone geo.test and a key that may change little."""

import asyncio
import base64
import os
import sqlite3
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import dns.message

from gslb.domain.errors import WireError
from gslb.domain.health import Cause
from gslb.wire.dns import Server, exchange
from tests.kit import free_port, need, until

SECRET = base64.b64encode(b"fake-secret-fake-secret-fake-sec").decode()
KEY = f'key "gslb" {{ algorithm hmac-sha256; secret "{SECRET}"; }};\n'
RECORDS = "www A 192.0.2.10\napi A 192.0.2.10\nother A 192.0.2.99\nother TXT stays\n"
ZONE = "$TTL 5\n@ SOA ns h 1 60 60 600 5\n@ NS ns\nns A 127.0.0.1\n"
GRANTED = ("www", "api", "alias")
SCHEMAS = (
    "/usr/share/pdns-backend-sqlite3/schema/schema.sqlite3.sql",
    "/usr/share/doc/pdns-backend-sqlite3/schema.sqlite3.sql",
)


@dataclass
class Running:
    """A name server that answers, and its process, which can be ended and started again."""

    server: Server
    process: asyncio.subprocess.Process
    folder: Path
    command: tuple[str, ...] = ()

    async def start(self) -> None:
        """Until it answers anything at all."""
        self.process = await launched(self.folder, self.command)
        await until(lambda: answers(self.server, any_rcode=True), limit_s=20)

    async def kill(self) -> None:
        """kill -9."""
        if self.process.returncode is None:
            self.process.kill()
        await self.process.wait()

    async def rewrite(self, *puts: tuple[str, str], file: str) -> str:
        """Start it again with a changed file; that file as it was."""
        path = self.folder / file
        before = text = path.read_text()
        for old, new in puts:
            assert old in text, f"{file} says no {old}"
            text = text.replace(old, new)
        await self.restart(file, text)
        return before

    async def restart(self, file: str, text: str) -> None:
        await self.kill()
        (self.folder / file).write_text(text)
        await self.start()


def storage(folder: Path) -> None:
    (folder / "db").mkdir(parents=True)


async def answers(server: Server, *, any_rcode: bool = False) -> bool:
    """Does it serve the zone, or does it at least answer?"""
    try:
        reply = await exchange(dns.message.make_query("geo.test", "SOA", flags=0), server, 1.0)
    except WireError as error:
        return any_rcode and error.cause == Cause.DENIED  # REFUSED is an answer
    return any_rcode or bool(reply.message.answer)


async def launched(folder: Path, command: Sequence[str]) -> asyncio.subprocess.Process:
    with (folder / "log").open("ab") as log:
        return await asyncio.create_subprocess_exec(
            *command, stdout=log, stderr=log, cwd=folder, env=os.environ | {"TZ": "UTC"}
        )


@asynccontextmanager
async def running(folder: Path, port: int, *command: str) -> AsyncIterator[Running]:
    """Start, wait for the first answer, and end by the process id."""
    server = Server("127.0.0.1", port)
    one = Running(server, await launched(folder, command), folder, command)
    try:
        await until(lambda: answers(server), limit_s=20, what=f"{command[0]} to answer")
        yield one
    finally:
        # Not by kill: NSD's children would go on answering without it.
        if one.process.returncode is None:
            one.process.terminate()
        await one.process.wait()


@asynccontextmanager
async def bind(
    folder: Path, names: Sequence[str] = GRANTED, notify: int = 0
) -> AsyncIterator[Running]:
    """BIND 9; its key is granted `names` and the generation, by type."""
    program, port = need("named"), free_port()
    storage(folder)
    (folder / "z.db").write_text(ZONE + RECORDS)
    grants = "".join(f"grant gslb name {n}.geo.test. A AAAA CNAME;\n" for n in names)
    also = (
        f"notify explicit; also-notify {{ 127.0.0.1 port {notify}; }};" if notify else "notify no;"
    )
    (folder / "named.conf").write_text(
        f"""options {{ directory "{folder}"; pid-file none; session-keyfile "{folder}/session";
  listen-on port {port} {{ 127.0.0.1; }}; listen-on-v6 {{ none; }};
  recursion no; dnssec-validation no; notify-delay 0; }};
controls {{ }};
{KEY}
zone "geo.test" {{ type primary; file "z.db"; {also} allow-transfer {{ key "gslb"; }};
  update-policy {{ {grants} grant gslb name _gslb.geo.test. TXT; }}; }};
"""
    )
    async with running(
        folder, port, program, "-c", str(folder / "named.conf"), "-f", "-n", "1"
    ) as one:
        yield one


@asynccontextmanager
async def knot(folder: Path) -> AsyncIterator[Running]:
    """Knot DNS; its key is granted by owner and type."""
    program, port = need("knotd"), free_port()
    storage(folder)
    (folder / "geo.test.zone").write_text(ZONE + RECORDS)
    (folder / "k.conf").write_text(
        f"""server:
    rundir: "{folder}"
    listen: 127.0.0.1@{port}
    udp-workers: 1
    tcp-workers: 1
    background-workers: 1
database:
    storage: "{folder}/db"
    journal-db-max-size: 16M
    kasp-db-max-size: 10M
    timer-db-max-size: 1M
key:
  - id: gslb
    algorithm: hmac-sha256
    secret: "{SECRET}"
acl:
  - id: upd
    key: gslb
    action: update
    update-owner: name
    update-owner-match: equal
    update-owner-name: [{", ".join(GRANTED)}, _gslb]
    update-type: [A, AAAA, CNAME, TXT]
zone:
  - domain: geo.test
    storage: "{folder}"
    file: geo.test.zone
    acl: [upd]
    journal-content: changes
    zonefile-load: difference
    zonefile-sync: -1
log:
  - target: stderr
    any: info
"""
    )
    async with running(folder, port, program, "-c", str(folder / "k.conf")) as one:
        yield one


@asynccontextmanager
async def powerdns(folder: Path) -> AsyncIterator[Running]:
    """PowerDNS with SQLite; a key is granted whole zones only."""
    program, schema = need("pdns_server"), next(filter(Path.exists, map(Path, SCHEMAS)))
    port = free_port()
    storage(folder)
    (folder / "pdns.conf").write_text(
        f"""launch=gsqlite3
gsqlite3-database={folder}/p.db
socket-dir={folder}
local-address=127.0.0.1
local-port={port}
dnsupdate=yes
allow-dnsupdate-from=127.0.0.0/8
zone-cache-refresh-interval=0
query-cache-ttl=0
negquery-cache-ttl=0
cache-ttl=0
receiver-threads=1
distributor-threads=1
include-dir=
setuid=
setgid=
"""
    )
    lines = [line.split() for line in (ZONE.split("\n", 2)[2] + RECORDS).splitlines()]
    rows = [
        ("geo.test" if n == "@" else f"{n}.geo.test", k, "ns.geo.test" if k == "NS" else v)
        for n, k, v in lines
    ]
    with sqlite3.connect(folder / "p.db") as base:
        base.executescript(schema.read_text())
        base.execute("insert into domains (id, name, type) values (1, 'geo.test', 'NATIVE')")
        base.executemany(
            "insert into records (domain_id, name, type, content, ttl, disabled, auth)"
            " values (1, ?, ?, ?, 5, 0, 1)",
            [
                ("geo.test", "SOA", "ns.geo.test h.geo.test 1 60 60 600 5"),
                *((n, k, f'"{v}"' if k == "TXT" else v) for n, k, v in rows),
            ],
        )
        base.execute(
            "insert into tsigkeys (name, algorithm, secret) values ('gslb', 'hmac-sha256', ?)",
            (SECRET,),
        )
        base.execute(
            "insert into domainmetadata (domain_id, kind, content)"
            " values (1, 'TSIG-ALLOW-DNSUPDATE', 'gslb')"
        )
    base.close()
    async with running(
        folder, port, program, f"--config-dir={folder}", "--daemon=no", "--guardian=no"
    ) as one:
        yield one


@asynccontextmanager
async def nsd(folder: Path, primary: Server, port: int) -> AsyncIterator[Running]:
    """NSD as a secondary of `primary`: it takes no updates at all."""
    program = need("nsd")
    storage(folder)
    (folder / "nsd.conf").write_text(
        f"""server:
  ip-address: 127.0.0.1@{port}
  zonesdir: "{folder}"
  pidfile: "{folder}/pid"
  xfrdfile: "{folder}/xfrd.state"
  xfrdir: "{folder}"
  zonelistfile: "{folder}/zone.list"
  database: ""
  username: ""
remote-control:
  control-enable: no
key:
  name: gslb
  algorithm: hmac-sha256
  secret: "{SECRET}"
zone:
  name: geo.test
  request-xfr: AXFR 127.0.0.1@{primary.port} gslb
  allow-notify: 127.0.0.1 NOKEY
"""
    )
    async with running(folder, port, program, "-d", "-c", str(folder / "nsd.conf")) as one:
        yield one
