"""From fault to changed answer: gslb at a nameserver beside HAProxy's own checks, on one target.

`scripts/bench` runs it. Both look at the same three small HTTP servers: every second, three fails,
a deadline of 1 s, and 200 ms between looks at a suspect (`fastinter`, `confirm`). The faulty site
is seen to leave DNS by a query, and HAProxy's rotation by `show servers state`, each every 5 ms.
"""

import argparse
import asyncio
import os
import platform
import random
import shutil
import socket
import statistics
import sys
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from pathlib import Path

import dns.message

from gslb.demo.nameserver import Nameserver
from gslb.demo.town import port_of_all
from tests.backends.nameservers import KEY, SECRET, bind
from tests.kit import free_port

FAULTS = ("503", "refuse", "hang")
ADDRESSES = {"a": "127.0.0.21", "b": "127.0.0.22", "c": "127.0.0.23"}
ZONE, NAME = "geo.test", "bench.geo.test"
EVERY_S, PATIENCE_S = 0.005, 30.0
GSLB = """
cluster: bench
mode: live
profile: fast                     # confirm: 200ms
timing: {{interval: 1s, timeout: 1s, fall: 3, dwell_path: {dwell_path}, rise: 2, quiet: 1s,
         quiet_max: 1s, block: 0s}}
limits: {{min_sites: 1, changes_per_hour: 0, change_window: 0s}}
sites: {{a: {{address: {a}}}, b: {{address: {b}}}, c: {{address: {c}}}}}
services:
  {name}: {{kind: http, tls: false, port: {port}, path: /}}
backends:
  dns: {{kind: rfc2136, server: "127.0.0.1:{dns}", zone: {zone}, tsig: "file:{folder}/key"}}
probe_networks: [127.0.0.0/8]
store: {{sqlite: {folder}/gslb.db}}
api: {{listen: "127.0.0.1:{api}", socket: {folder}/gslb.sock}}
"""
HAPROXY = """global
  nbthread 1
  stats socket {folder}/haproxy.sock mode 600 level admin
defaults
  mode http
  timeout connect 1s
  timeout client 5s
  timeout server 5s
  timeout check 1s
backend bench
  option httpchk GET /
  default-server check inter 1s fastinter 200ms fall 3 rise 2
  server a {a}:{port}
  server b {b}:{port}
  server c {c}:{port}
"""


class Target:
    """One site: a small HTTP server that can be broken."""

    def __init__(self, address: str, port: int) -> None:
        self._at, self._fault = (address, port), ""
        self._talks: set[asyncio.StreamWriter] = set()
        self._server: asyncio.Server | None = None

    async def open(self) -> None:
        self._server = await asyncio.start_server(self._talk, *self._at)

    async def set_fault(self, fault: str) -> None:
        """`503`, `refuse`, `hang` or none; it holds when this returns."""
        self._fault = fault
        if fault == "refuse":
            await self.close()
        elif self._server is None:
            await self.open()
        if not fault:
            self._cut()

    async def close(self) -> None:
        if self._server is not None:
            self._server.close()
            self._cut()
            await self._server.wait_closed()
            self._server = None

    def _cut(self) -> None:
        for writer in self._talks:
            writer.close()

    async def _talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._talks.add(writer)
        with suppress(ConnectionError, asyncio.IncompleteReadError):
            while await reader.readuntil(b"\r\n\r\n"):
                if self._fault == "hang":
                    await reader.read()
                    break
                status = "503 Service Unavailable" if self._fault else "200 OK"
                writer.write(f"HTTP/1.1 {status}\r\nContent-Length: 2\r\n\r\nok".encode())
                await writer.drain()
        writer.close()
        self._talks.discard(writer)


class Served:
    """What an authoritative nameserver answers now."""

    def __init__(self, port: int) -> None:
        self._query = dns.message.make_query(NAME, "A", flags=0).to_wire()
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.setblocking(False)
        self._socket.connect(("127.0.0.1", port))

    async def sites(self) -> set[str]:
        loop = asyncio.get_running_loop()
        with suppress(BlockingIOError):
            while self._socket.recv(4096):
                """An answer that came too late for the question before."""
        await loop.sock_sendall(self._socket, self._query)
        with suppress(TimeoutError):
            async with asyncio.timeout(1):
                said = await loop.sock_recv(self._socket, 4096)
                return {s for s, a in ADDRESSES.items() if socket.inet_aton(a) in said}
        return set()

    def close(self) -> None:
        self._socket.close()


async def balanced(place: Path) -> set[str]:
    """The servers that HAProxy's checks hold for up."""
    reader, writer = await asyncio.open_unix_connection(place)
    writer.write(b"show servers state bench\n")
    rows = [line.split() for line in (await reader.read()).decode().splitlines()]
    writer.close()
    await writer.wait_closed()
    return {row[3] for row in rows if len(row) > 5 and row[1] == "bench" and row[5] == "2"}


Look = Callable[[], Awaitable[set[str]]]


async def seen(look: Look, wanted: Callable[[set[str]], bool], what: str) -> float:
    """When `look` first gave what is `wanted`, on the loop's clock. Raises TimeoutError."""
    loop = asyncio.get_running_loop()
    ends = loop.time() + PATIENCE_S
    while loop.time() < ends:
        with suppress(OSError):
            if wanted(await look()):
                return loop.time()
        await asyncio.sleep(EVERY_S)
    raise TimeoutError(f"not within {PATIENCE_S:.0f} s: {what}")


@asynccontextmanager
async def nameserver(folder: Path) -> AsyncIterator[tuple[str, int]]:
    """BIND where it is installed, else the demo's; its name and port."""
    (folder / "bind").mkdir()
    if shutil.which("named", path=f"{os.environ.get('PATH', '')}:/usr/sbin"):
        async with bind(folder / "bind", names=("bench",)) as one:
            yield "BIND", one.server.port
    else:
        records = "@ 30 IN SOA ns host 1 3600 600 86400 5\n@ 30 IN NS ns\nns 30 IN A 127.0.0.1\n"
        async with Nameserver(ZONE, records, {"gslb": SECRET}) as demo:
            yield "the demo's nameserver", demo.port


def last_words(log: Path) -> str:
    return f"{log.name}: …{log.read_text(errors='replace')[-2000:]}\n"


@asynccontextmanager
async def running(log: Path, *command: str) -> AsyncIterator[None]:
    with log.open("wb") as out:
        process = await asyncio.create_subprocess_exec(*command, stdout=out, stderr=out)
    try:
        yield
    except TimeoutError:
        sys.stderr.write(last_words(log))
        raise
    finally:
        if process.returncode is None:
            process.terminate()
        await process.wait()


@asynccontextmanager
async def bench(
    folder: Path, dwell_path: str
) -> AsyncIterator[tuple[str, dict[str, Target], dict[str, Look]]]:
    """Everything up and every site in, for both: the nameserver's name, targets, and views."""
    program = shutil.which("haproxy", path=f"{os.environ.get('PATH', '')}:/usr/sbin")
    if program is None:
        raise SystemExit("haproxy is not installed")
    port = port_of_all(ADDRESSES.values())
    async with AsyncExitStack() as opened:
        targets = {site: Target(address, port) for site, address in ADDRESSES.items()}
        for target in targets.values():
            await target.open()
            opened.push_async_callback(target.close)
        name, dns_port = await opened.enter_async_context(nameserver(folder))
        known = {**ADDRESSES, "folder": folder, "port": port, "dns": dns_port, "zone": ZONE}
        known |= {"name": NAME, "api": free_port(), "dwell_path": dwell_path}
        (folder / "key").touch(mode=0o600)
        (folder / "key").write_text(KEY)
        (folder / "gslb.yml").write_text(GSLB.format(**known))
        (folder / "haproxy.cfg").write_text(HAPROXY.format(**known))
        theirs = (program, "-db", "-f", str(folder / "haproxy.cfg"))
        ours = (sys.executable, "-m", "gslb", "run", "--config", str(folder / "gslb.yml"))
        await opened.enter_async_context(running(folder / "haproxy.log", *theirs))
        await opened.enter_async_context(running(folder / "gslb.log", *ours))
        served = Served(dns_port)
        opened.callback(served.close)
        views: dict[str, Look] = {
            "gslb": served.sites,
            "HAProxy": lambda: balanced(folder / "haproxy.sock"),
        }
        await whole(views)
        yield name, targets, views


async def whole(views: dict[str, Look]) -> None:
    every = [seen(v, lambda s: s == set(ADDRESSES), f"{n} has all in") for n, v in views.items()]
    await asyncio.gather(*every)


async def trial(fault: str, targets: dict[str, Target], views: dict[str, Look]) -> dict[str, float]:
    """Break one site, wait until both have it out, mend it, wait until both have it in."""
    site = random.choice(list(targets))
    await asyncio.sleep(random.uniform(2, 3))  # the phase is random on purpose
    begun = asyncio.get_running_loop().time()
    await targets[site].set_fault(fault)
    left = [seen(v, lambda s: site not in s, f"{n} has {site} out") for n, v in views.items()]
    took = {n: at - begun for n, at in zip(views, await asyncio.gather(*left), strict=True)}
    await targets[site].set_fault("")
    await whole(views)
    return took


def table(name: str, found: dict[str, dict[str, list[float]]]) -> str:
    """In Markdown, as in the README; seconds."""
    trials = len(next(iter(found.values()))["gslb"])
    head = f"gslb at {name}"
    lines = [
        f"| fault ({trials} trials each) | {head}: median | worst | HAProxy: median | worst "
        "| gslb / HAProxy |",
        "|---|---|---|---|---|---|",
    ]
    for fault, took in found.items():
        cells = [
            f"{f(took[n]):.2f} s" for n in ("gslb", "HAProxy") for f in (statistics.median, max)
        ]
        ratio = statistics.median(took["gslb"]) / statistics.median(took["HAProxy"])
        lines.append(f"| {fault} | {' | '.join(cells)} | **{ratio:.2f}** |")
    return "\n".join(lines)


async def measure(trials: int, faults: Sequence[str], dwell_path: str) -> str:
    found: dict[str, dict[str, list[float]]] = {}
    with tempfile.TemporaryDirectory(prefix="gslb-bench-") as folder:
        async with bench(Path(folder), dwell_path) as (name, targets, views):
            for number in range(trials):
                for fault in faults:
                    took = await trial(fault, targets, views)
                    kept = found.setdefault(fault, {n: [] for n in views})
                    for who, seconds in took.items():
                        kept[who].append(seconds)
                    told = "  ".join(f"{who} {s:.3f} s" for who, s in took.items())
                    sys.stderr.write(f"{number + 1}/{trials} {fault:<7} {told}\n")
    return table(name, found)


def main() -> None:
    options = argparse.ArgumentParser(prog="scripts/bench", description=__doc__)
    options.add_argument("--trials", type=int, default=9)
    options.add_argument("--faults", nargs="+", choices=FAULTS, default=FAULTS)
    options.add_argument("--dwell-path", default="0s", help="profile fast has 5s, HAProxy none")
    given = options.parse_args()
    try:
        said = asyncio.run(measure(given.trials, given.faults, given.dwell_path))
    except TimeoutError as error:
        raise SystemExit(str(error)) from error
    sys.stdout.write(f"{said}\n\n{os.cpu_count()} cores, Python {platform.python_version()}\n")


if __name__ == "__main__":
    main()
