"""A small world of real processes: a nameserver, stores, Quays over TLS, and `gslb run`."""

import asyncio
import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp

from gslb.demo.town import port_of_all
from tests.e2e.watch import Watch, watching
from tests.kit import free_port, need, until

MINIMAL = Path(__file__).parents[2] / "config" / "minimal.yml"
SERVICE, ZONE = "quay.example.com", "example.com"
SITES = {"fra": "127.0.0.21", "iad": "127.0.0.22"}
RECORDS = "@ 30 IN SOA ns host 1 3600 600 86400 5\n@ 30 IN NS ns\nns 30 IN A 127.0.0.1\n"
KEYS = {"ours": "fake-secret-ours", "quays": "fake-secret-quays"}
TSIG = "ZmFrZS1zZWNyZXQtZmFrZS1zZWNyZXQtZmFrZS1zZWM="
PIPE = asyncio.subprocess.PIPE


@dataclass
class Imitation:
    """`python -m gslb.demo …`."""

    process: asyncio.subprocess.Process
    urls: list[str]

    async def set_fault(self, fault: str) -> None:
        assert self.process.stdin
        assert self.process.stdout
        self.process.stdin.write(f"{fault}\n".encode())
        assert await self.process.stdout.readline() == b"done\n"


@asynccontextmanager
async def imitation(kind: str, given: Mapping[str, Any], **env: str) -> AsyncIterator[Imitation]:
    command = (sys.executable, "-m", "gslb.demo", kind, json.dumps(given))
    process = await asyncio.create_subprocess_exec(
        *command, stdin=PIPE, stdout=PIPE, env=os.environ | env
    )
    try:
        assert process.stdout
        ready, *urls = (await process.stdout.readline()).decode().split()
        assert ready == "ready"
        yield Imitation(process, urls)
    finally:
        await end(process)


async def end(process: asyncio.subprocess.Process) -> None:
    """For good, whatever state it is in."""
    if process.returncode is None:
        process.send_signal(signal.SIGKILL)
    await process.wait()
    if process.stdin:
        process.stdin.close()


@dataclass
class Controller:
    """`python -m gslb run`, which can be killed and started again over the same state."""

    config: Path
    folder: Path
    process: asyncio.subprocess.Process | None = None
    starts: int = 0

    @property
    def log(self) -> str:
        """All lines of all its lives."""
        path = self.folder / "log"
        return path.read_text() if path.exists() else ""

    def said(self, *words: str, after: int = 0) -> bool:
        """Does one line of the log, beyond its first `after` characters, say all of this?"""
        return any(all(w in line for w in words) for line in self.log[after:].splitlines())

    async def start(self) -> None:
        with (self.folder / "log").open("a") as log:
            command = (sys.executable, "-m", "gslb", "run", "--config", str(self.config))
            self.process = await asyncio.create_subprocess_exec(*command, stderr=log)
        self.starts += 1

    async def kill(self) -> None:
        """kill -9."""
        if self.process:
            await end(self.process)
        self.process = None

    async def results(self, site: str, aspect: str) -> int:
        """How many results of this aspect came in, as /metrics has it."""
        connector = aiohttp.UnixConnector(str(self.folder / "api.sock"))
        async with (
            aiohttp.ClientSession(connector=connector) as client,
            client.get("http://gslb/metrics") as said,
        ):
            text = await said.text()
        labels = rf'[^}}]*aspect="{re.escape(aspect)}"[^}}]*site="{site}"[^}}]*'
        found = re.findall(rf"^gslb_probes_total{{{labels}}} (\S+)$", text, re.M)
        return int(sum(map(float, found)))


@dataclass(kw_only=True)
class Place:
    """All that runs."""

    folder: Path
    controller: Controller
    nameserver: Imitation
    watch: Watch
    stores: dict[str, Imitation] = field(default_factory=dict)

    async def is_answered(self, *sites: str, limit_s: float = 90.0) -> None:
        wanted = frozenset(sites)
        await until(lambda: self.watch.now == wanted, limit_s, what=f"{sites}\n{self.tail}")
        assert await self.watch.dig() == wanted

    @property
    def tail(self) -> str:
        return self.controller.log[-3000:]


@asynccontextmanager
async def opened(folder: Path, more: str = "") -> AsyncIterator[Place]:
    """Everything but the controller, which is not started yet; `more` is added to its file."""
    async with AsyncExitStack() as stack:
        pair = certificates(folder)
        zone = {"origin": ZONE, "zone": RECORDS, "keys": {"gslb": TSIG}}
        nameserver = await stack.enter_async_context(imitation("nameserver", zone))
        port, quay_port = int(nameserver.urls[0].rsplit(":", 1)[1]), port_of_all(SITES.values())
        stores: dict[str, Imitation] = {}
        for name, address in SITES.items():
            given = {"keys": KEYS, "controller_key": "ours", "address": address, "tls": pair}
            stores[name] = await stack.enter_async_context(imitation("store", given))
        secret = {"key_id": "quays", "secret": KEYS["quays"]}
        at = {name: {"url": store.urls[0], **secret} for name, store in stores.items()}
        for name, address in SITES.items():
            given = {"locations": at, "preference": [name], "version": "3.18.0", "tls": pair}
            given |= {"address": address, "port": quay_port}
            ca = str(folder / "ca.pem")
            await stack.enter_async_context(imitation("site", given, SSL_CERT_FILE=ca))
        config = folder / "gslb.yml"
        urls = {name: store.urls[1] for name, store in stores.items()}
        config.write_text(minimal(folder, urls, quay_port, port) + more)
        watch = await stack.enter_async_context(watching("127.0.0.1", port, SERVICE, SITES))
        controller = Controller(config, folder)
        stack.push_async_callback(controller.kill)
        yield Place(
            folder=folder,
            controller=controller,
            nameserver=nameserver,
            watch=watch,
            stores=stores,
        )


def minimal(folder: Path, stores: Mapping[str, str], quay_port: int, dns_port: int) -> str:
    """`config/minimal.yml` with addresses, ports, CA, mode and the places of files put in.

    Addresses: also that loopback may be probed at all. Places of files: the state and the socket
    have defaults below /var and /run, which a test must leave alone.
    """
    ca = folder / "ca.pem"
    secret(folder / "fra.keys", f"ours\n{KEYS['ours']}\n")
    secret(folder / "iad.keys", f"ours\n{KEYS['ours']}\n")
    secret(folder / "ddns.key", f'key "gslb" {{ algorithm hmac-sha256; secret "{TSIG}"; }};\n')
    text = MINIMAL.read_text()
    put = {
        "mode: observe": "mode: live",
        "203.0.113.20": SITES["fra"],
        "198.51.100.20": SITES["iad"],
        "file:/etc/gslb/": f"file:{folder}/",
        '"https://s3.fra.example.com/quay"': f'"{stores["fra"]}", ca: {ca}',
        '"https://s3.iad.example.com/quay"': f'"{stores["iad"]}", ca: {ca}',
        "{kind: quay}": f"{{kind: quay, port: {quay_port}, ca: {ca}}}",
        "192.0.2.53": f'"127.0.0.1:{dns_port}"',
    }
    for old, new in put.items():
        assert old in text, f"minimal.yml says no {old}"
        text = text.replace(old, new)
    listen = f"127.0.0.1:{free_port()}"
    return (
        f"{text}probe_networks: [127.0.0.0/8]\nstore: {{sqlite: {folder}/gslb.db}}\n"
        f"api: {{listen: {listen}, socket: {folder}/api.sock}}\n"
    )


def secret(path: Path, text: str) -> None:
    path.touch(mode=0o600)
    path.write_text(text)


def certificates(folder: Path) -> tuple[str, str]:
    """A CA in `ca.pem`, and the chain and key of a certificate from it for all that listens."""
    new = (need("openssl"), "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256")
    new = (*new, "-nodes", "-days", "2")
    ca, ca_key, cert, key = (str(folder / n) for n in ("ca.pem", "ca.key", "cert.pem", "key.pem"))
    names = ",".join([f"DNS:{SERVICE}", *(f"IP:{address}" for address in SITES.values())])
    leaf = ("-subj", f"/CN={SERVICE}", "-addext", f"subjectAltName={names}")
    by_ca = ("-CA", ca, "-CAkey", ca_key, "-addext", "basicConstraints=CA:FALSE")
    root = (*new, "-subj", "/CN=own CA", "-keyout", ca_key, "-out", ca)
    for command in (root, (*new, *leaf, *by_ca, "-keyout", key, "-out", cert)):
        subprocess.run(command, check=True, capture_output=True)
    return cert, key
