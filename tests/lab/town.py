"""The lab: three sites with their stores, Quays and fronts, two name servers, a balancer, and gslb.

All of it is real but Quay, and all of it lives in namespaces (network.py).
"""

import asyncio
import json
import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from gslb.cli.client import Client, Stop
from tests.kit import missing, need, until
from tests.lab import servers
from tests.lab.network import Network, network
from tests.lab.processes import Process
from tests.lab.stores import OURS, PORT, LabStore, Rclone, Rgw
from tests.lab.watch import Watch, boot_s, watching
from tests.real.ceph import need_ceph

STORES = {"eu": "rclone", "us": "rgw", "ap": "relayed"}
"""ap's rclone stands behind a relay, which can be slow, drip, and fail every second request."""
SITES = tuple(STORES)
ALL = frozenset(SITES)
SERVICE = servers.SERVICE
SERVERS = ("bind", "nsd", "edge")
QUAY_PACE = 0.2
"""Of Quay's own times: its nginx waits 12 s, and 5 tries at a store take up to 3 s."""
FAKETIME = "*/faketime/libfaketime.so.1"
WHOLE_WITHIN_S = 100.0


@dataclass(kw_only=True)
class Town:
    """All that runs, by what it is called in stories."""

    folder: Path
    net: Network
    stores: dict[str, LabStore] = field(default_factory=dict)
    quays: dict[str, Process] = field(default_factory=dict)
    fronts: dict[str, Process] = field(default_factory=dict)
    relay: Process
    bind: Process
    nsd: Process
    edge: Process
    controller: Process
    watch: Watch

    @property
    def config(self) -> Path:
        return self.folder / "gslb.yml"

    @property
    def history(self) -> Path:
        return self.folder / "history"

    def write(self, kind: str, **more: object) -> None:
        """A line of what we did or saw, beside the controller's own."""
        with (self.folder / "seen").open("a") as seen:
            seen.write(json.dumps({"t": boot_s(), "who": "lab", "kind": kind, **more}) + "\n")

    def events(self, since_s: float = 0.0) -> list[dict[str, Any]]:
        """What the controller concluded since, from its history."""
        lines = self.history.read_text().splitlines() if self.history.exists() else []
        found = [json.loads(line) for line in lines if '"kind":"event"' in line]
        return [event for event in found if event["t"] >= since_s]

    async def get(self, path: str) -> dict[str, Any]:
        """The API, by its socket; nothing while it does not answer."""
        client = Client({"GSLB_URL": f"unix:{self.folder}/api.sock"})
        try:
            return (await asyncio.to_thread(client.get, path)).body
        except Stop:
            return {}

    async def cli(self, *words: str) -> str:
        """`gslb …`, as a person types it on this host."""
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "gslb", *words),
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            env=os.environ | {"GSLB_URL": f"unix:{self.folder}/api.sock", "COLUMNS": "200"},
        )
        said, _ = await process.communicate()
        return said.decode()

    async def explained(self, name: str) -> list[str]:
        """Every line of `gslb explain NAME`."""
        kind = "sites" if name in ALL else "backends" if name in ("dns", "edge") else "services"
        told = await self.get(f"/v1/explain/{kind}/{name}")
        lines = [line for part in told.get("sections", ()) for line in part["lines"]]
        return [*told.get("headline", ()), *lines, str(told.get("next", ""))]

    def serves(self, sites: frozenset[str], *which: str) -> bool:
        """Do all servers tell clients exactly of these?"""
        return all(self.watch.now(server) == sites for server in which or SERVERS)

    async def is_whole(self) -> bool:
        """Every site up and in, everywhere, by every aspect."""
        running = self.controller.process
        assert running is None or running.returncode is None, self.controller.tail
        rows = (await self.get("/v1/sites")).get("sites", [])
        up = [r for r in rows if all(a["state"] == "up" for a in r["aspects"])]
        fine = [r for r in up if r["state"] == "up" and r["traffic"] == "in"]
        return len(fine) == len(SITES) and self.serves(ALL)

    async def whole(self, limit_s: float = WHOLE_WITHIN_S) -> None:
        try:
            await until(self.is_whole, limit_s, 0.2, what="all whole and in")
        except BaseException:
            sys.stderr.write(f"{await self.cli('status')}\n{self.controller.tail}\n")
            raise


@asynccontextmanager
async def town(folder: Path) -> AsyncIterator[Town]:
    """All of it, the controller too, whole and in."""
    need_ceph()
    async with AsyncExitStack() as stack:
        net = await stack.enter_async_context(network(*SITES, "ns1", "ns2", "ctl"))
        for site in SITES:
            (folder / site).mkdir()
        made = plan(folder, net)
        servers.write_zone(folder, net.address("ns1"), net.address("ns2"))
        servers.write_certificates(folder, [net.address(site) for site in SITES])
        await asyncio.gather(*(start_store(stack, made, site) for site in SITES))
        for process in (*made.quays.values(), *made.fronts.values(), made.edge, made.bind):
            await start(stack, process)
        await start(stack, made.nsd, signal.SIGTERM)
        write_config(made)
        await start(stack, made.controller)
        names = {f"{site}-1": site for site in SITES}
        watch, place = made.watch, folder / "edge.sock"
        by_dns = (watch.ask_dns("bind", net, "ns1"), watch.ask_dns("nsd", net, "ns2"))
        asked = watching(watch, *by_dns, watch.ask_haproxy("edge", place, names))
        await stack.enter_async_context(asked)
        await made.whole()
        yield made


async def start(
    stack: AsyncExitStack, process: Process, number: signal.Signals = signal.SIGKILL
) -> None:
    stack.push_async_callback(process.end, number)
    await process.start()


async def start_store(stack: AsyncExitStack, made: Town, site: str) -> None:
    stack.push_async_callback(made.stores[site].stop)
    await made.stores[site].start()
    if STORES[site] == "relayed":
        await start(stack, made.relay)


def plan(folder: Path, net: Network) -> Town:
    """What there will be; nothing runs yet."""

    def process(node: str, log: str, *command: str, **more: Any) -> Process:
        return Process(net, node, folder / f"{log}.log", *command, **more)

    python = (sys.executable, "-m")
    stores: dict[str, LabStore] = {
        "eu": Rclone(net, "eu", folder / "eu"),
        "us": Rgw(net, "us", folder / "us"),
        "ap": Rclone(net, "ap", folder / "ap", PORT + 1),
    }
    relay = ("tests.lab.relay", net.address("ap"), str(PORT), str(PORT + 1))
    named = ("-c", f"{folder}/named.conf", "-f", "-n", "1")
    run = ("gslb", "run", "--config", f"{folder}/gslb.yml", "--history", f"{folder}/history")
    root = str(Path(__file__).parents[2])
    made = Town(
        folder=folder,
        net=net,
        stores=stores,
        relay=process("ap", "relay", *python, *relay, spoken=True, env={"PYTHONPATH": root}),
        bind=process("ns1", "bind", need("named"), *named),
        nsd=process("ns2", "nsd", need("nsd"), "-d", "-c", f"{folder}/nsd.conf"),
        edge=process("hub", "edge", need("haproxy"), "-db", "-f", f"{folder}/edge.cfg"),
        controller=process("ctl", "gslb", *python, *run, env=clock(folder)),
        watch=Watch(SERVICE, {net.address(s): s for s in SITES}),
    )
    for site in SITES:
        given = json.dumps(quay(made, site))
        made.quays[site] = process(
            site, f"{site}/quay", *python, "gslb.demo", "site", given, spoken=True
        )
        front = servers.write_front(folder, site, net.address(site))
        made.fronts[site] = process(site, f"{site}/front", need("haproxy"), "-db", "-f", front)
    servers.write_edge(folder, {s: net.address(s) for s in SITES})
    return made


def clock(folder: Path) -> dict[str, str]:
    """The controller's wall clock runs by a file, which a story may change; no other clock does."""
    (folder / "clock").write_text("+0")
    library = next(Path("/usr/lib").glob(FAKETIME), None) or missing("libfaketime is not installed")
    fake = {"LD_PRELOAD": str(library), "DONT_FAKE_MONOTONIC": "1", "FAKETIME_NO_CACHE": "1"}
    return fake | {"FAKETIME_TIMESTAMP_FILE": str(folder / "clock")}


def quay(made: Town, site: str) -> dict[str, Any]:
    """The imitation, over the real stores of all sites."""
    at = {
        name: {
            "url": f"http://{made.net.address(name)}:{PORT}/quay",
            "key_id": store.quays[0],
            "secret": store.quays[1],
            "sse": store.kind != "RGW",
        }
        for name, store in made.stores.items()
    }
    given: dict[str, Any] = {"locations": at, "preference": [site], "version": "3.18.0"}
    return given | {"pace": QUAY_PACE, "address": made.net.address(site), "port": servers.QUAY_PORT}


def write_config(made: Town) -> None:
    folder, net = made.folder, made.net
    servers.secret(folder / "ddns.key", servers.TSIG_FILE)
    for site in SITES:
        servers.secret(folder / f"{site}.keys", "\n".join(OURS) + "\n")
    known = {
        "cluster": "lab",
        "mode": "live",
        "profile": "fast",
        "timing": {
            **{"timeout": "2s", "rise": 3, "quiet": "3s", "quiet_max": "6s", "block": "0s"},
            **{
                "store_timeout": "5s",
                "ramp": [100],
                "endtoend_pace": "3s",
                "endtoend_deadline": "13s",
            },
        },
        "limits": {"min_sites": 1, "changes_per_hour": 0},
        "sites": {
            site: {
                "address": net.address(site),
                "storage": {
                    "s3": f"http://{net.address(site)}:{PORT}/quay",
                    "keys": f"file:{folder}/{site}.keys",
                },
            }
            for site in SITES
        },
        "services": {SERVICE: {"kind": "quay", "ca": f"{folder}/ca.pem"}},
        "backends": {
            "dns": {
                "kind": "rfc2136",
                "server": net.address("ns1"),
                "check": [net.address("ns2")],
                "zone": servers.ZONE,
                "tsig": f"file:{folder}/ddns.key",
                "resync": "3s",
            },
            "edge": {
                "kind": "haproxy",
                "server": f"{folder}/edge.sock",
                "backend": "registry",
                "servers": {site: f"{site}-1" for site in SITES},
                "resync": "3s",
            },
        },
        "store": {"sqlite": f"{folder}/gslb.db"},
        "api": {"listen": "127.0.0.1:8080", "socket": f"{folder}/api.sock"},
    }
    made.config.write_text(yaml.safe_dump(known, sort_keys=False))
