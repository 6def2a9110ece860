"""Secrets that sing: each is put where it belongs, everything is provoked, and it is found nowhere.

A real `gslb run` with real processes around it; all that it, the command line and the API say, and
every file that they write, is searched for each secret as it is and in base64, hex and URL form.
"""

import asyncio
import base64
import hashlib
import json
import os
import signal
import ssl
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote

import aiohttp
import pytest

from tests.e2e.processes import KEYS, SITES, TSIG, Place, opened, secret
from tests.kit import until

pytestmark = [pytest.mark.real, pytest.mark.timeout(600)]
MORE = "profile: fast\ntiming: {quiet: 2s, quiet_max: 4s, block: 0s}\n"
CANARIES = {
    "store": KEYS["ours"],
    "store rotated": "canary-store-rotated",
    "store unformed": "canary-store-unformed",
    "tsig": TSIG,
    "tsig rotated": "Y2FuYXJ5LXRzaWctcm90YXRlZC1jYW5hcnktdHNpZyE=",
    "tsig unformed": "canary-tsig-unformed",
    "token": "canary-token",
    "token unformed": "canary-token-unformed",
    "wrong token": "canary-wrong-token",
    "alerts": "canary-alerts",
    "wrong alerts": "canary-wrong-alerts",
    "aws": "canary-aws-secret",
    "aws session": "canary-aws-session",
    "inline": "canary-inline",
    "in a url": "canary-in-a-url",
}


def forms(canary: str) -> Iterator[bytes]:
    """As it is, and as it may hide. Base64 at each of the three places where it may begin."""
    plain = canary.encode()
    hidden = {plain, plain.hex().encode(), plain.hex().upper().encode(), quote(canary).encode()}
    for before in range(3):
        coded = base64.b64encode(b"\0" * before + plain)
        hidden.add(coded[4 if before else 0 : -4])  # the ends depend on what stands beside it
    if canary.endswith("="):
        inner = base64.b64decode(canary)
        hidden |= {inner, inner.hex().encode()}
    yield from hidden


@dataclass
class Heard:
    """All that was said, by where."""

    said: dict[str, bytes] = field(default_factory=dict)

    def add(self, where: str, text: bytes) -> None:
        self.said[f"{len(self.said)} {where}"] = text

    def singing(self, canaries: dict[str, str]) -> list[str]:
        return [
            f"{name} in {where}: …{text[max(0, text.index(form) - 90) :][:150]!r}"
            for name, canary in canaries.items()
            for form in forms(canary)
            for where, text in self.said.items()
            if form in text
        ]


class Aviary:
    """The controller over a `Place`, its API by TCP and TLS, and the command line."""

    def __init__(self, place: Place) -> None:
        self.place, self.folder, self.heard = place, place.folder, Heard()
        self.url = ""
        self.files = ("fra.keys", "iad.keys", "ddns.key", "alerts.token", "tokens.yml", "key.pem")

    def write(self, name: str, text: str) -> None:
        (self.folder / name).unlink(missing_ok=True)
        secret(self.folder / name, text)

    def configure(self) -> None:
        self.write("alerts.token", CANARIES["alerts"] + "\n")
        digest = hashlib.sha256(CANARIES["token"].encode()).hexdigest()
        row = {"name": "kim", "sha256": digest, "scopes": ["admin", "override", "drain", "read"]}
        self.write("tokens.yml", json.dumps([row]))
        config, at = self.folder / "gslb.yml", self.folder
        text, listen = config.read_text(), f"listen: {SITES['fra']}:"
        tls = f"tls: {{cert: {at}/cert.pem, key: {at}/key.pem}}, tokens: 'file:{at}/tokens.yml'"
        text = text.replace("api: {listen: 127.0.0.1:", f"api: {{{tls}, {listen}")
        rule = "rules: [{match: {alertname: X}, site: fra, repeat: 1h, for: 4h}]"
        config.write_text(f"{text}alerts: {{token: 'file:{at}/alerts.token', {rule}}}\n")
        port = text.split(listen)[1].split(",")[0]
        self.url = f"https://{SITES['fra']}:{port}"

    async def run(self, *words: str, token: str = "token", **env: str) -> None:
        """One command, whose output is heard."""
        pipe = asyncio.subprocess.PIPE
        env = {"GSLB_URL": self.url, "GSLB_TOKEN": CANARIES[token], **self.env, **env}
        command = (sys.executable, "-m", "gslb", *words)
        process = await asyncio.create_subprocess_exec(
            *command,
            env={**os.environ, **env},
            stdout=pipe,
            stderr=pipe,
            stdin=asyncio.subprocess.DEVNULL,
        )
        out, wrong = await process.communicate()
        self.heard.add(f"gslb {' '.join(words)}", out + wrong)

    @property
    def env(self) -> dict[str, str]:
        aws = {"AWS_ACCESS_KEY_ID": "fake", "AWS_SECRET_ACCESS_KEY": CANARIES["aws"]}
        aws["AWS_SESSION_TOKEN"] = CANARIES["aws session"]
        return {**aws, "GSLB_CACERT": str(self.folder / "ca.pem")}

    async def ask(self, method: str, path: str, body: str = "", token: str = "token") -> int:
        context = ssl.create_default_context(cafile=str(self.folder / "ca.pem"))
        headers = {"Authorization": f"Bearer {CANARIES[token]}", "Content-Type": "application/json"}
        async with (
            aiohttp.ClientSession() as client,
            client.request(
                method, self.url + path, data=body or None, headers=headers, ssl=context
            ) as said,
        ):
            answer = await said.read()
            self.heard.add(f"{method} {path}", repr(dict(said.headers)).encode() + answer)
            return said.status

    async def shows(self, path: str, word: str) -> bool:
        """Does the API say this there now?"""
        await self.ask("GET", path)
        return word.encode() in list(self.heard.said.values())[-1]

    def search(self) -> list[str]:
        """In all that was said and in every file that was written, the secrets' own aside."""
        for path in sorted(self.folder.rglob("*")):
            if path.is_file() and path.name not in (*self.files, "ca.key", "bad.yml"):
                self.heard.add(str(path), path.read_bytes())
        return self.heard.singing({**CANARIES, "tls": self.tls})

    @property
    def tls(self) -> str:
        """A line out of the API's own private key."""
        return (self.folder / "key.pem").read_text().splitlines()[1]


@asynccontextmanager
async def aviary(folder: Path) -> AsyncIterator[Aviary]:
    async with opened(folder, MORE) as place:
        found = Aviary(place)
        found.configure()
        command = (sys.executable, "-m", "gslb", "run", "--config", "gslb.yml")
        env = {**os.environ, **found.env}
        with (folder / "log").open("ab") as log:
            place.controller.process = await asyncio.create_subprocess_exec(
                *command, "--history", "history.jsonl", cwd=folder, stdout=log, stderr=log, env=env
            )
        await place.is_answered("fra", "iad", limit_s=120)
        yield found


async def provoke_secrets(at: Aviary) -> None:
    """Rotated, unformed, readable by others: at the stores, at DNS, at the API."""
    said = at.place.controller.said
    at.write("fra.keys", f"ours\n{CANARIES['store rotated']}\n")
    await until(lambda: said("fra", "403"), 120, what="the wrong key is refused")
    at.write("fra.keys", f"[default]\naws_secret_access_key {CANARIES['store unformed']} =\n")
    await until(lambda: at.shows("/v1/sites/fra", "neither an AWS"), 120, every_s=0.5)
    key = 'key "gslb" {{ algorithm {}; secret "{}"; }};'
    at.write("ddns.key", key.format("hmac-sha256", CANARIES["tsig rotated"]))
    drain = '{"action": "drain", "reason": "r", "for": "1h"}'
    assert await at.ask("PUT", "/v1/sites/fra/override", drain) == 202
    await until(lambda: said("backend dns", "NOTAUTH"), 60, what="our key is refused there")
    at.write("ddns.key", key.format("hmac-md5", CANARIES["tsig unformed"]))
    await at.ask("PUT", "/v1/sites/iad/override", drain)
    at.write("tokens.yml", f"- {{name: kim, token: '{CANARIES['token unformed']}}}\n")
    await at.ask("GET", "/v1/sites")
    await until(lambda: said("tokens file is wrong"), 30, what="the unformed tokens are told")
    (at.folder / "alerts.token").chmod(0o644)


async def provoke_api(at: Aviary) -> None:
    for path in ("overview", "sites", "sites/fra", "services", "backends/dns"):
        assert await at.ask("GET", f"/v1/{path}") == 200
    for path in (
        "/v1/config",
        "/v1/events?limit=500",
        "/v1/plans",
        "/metrics",
        "/v1/explain/backends/dns",
    ):
        assert await at.ask("GET", path) == 200
    assert await at.ask("GET", "/v1/sites", token="wrong token") == 401
    hook = json.dumps({"version": "4", "status": "firing", "alerts": [], "receiver": "x"})
    for token in ("alerts", "wrong alerts"):
        await at.ask("POST", "/v1/hooks/alertmanager", hook, token=token)
        await at.ask("POST", "/v1/hooks/alertmanager", "{", token=token)
    await at.ask("PUT", "/v1/pause", "{")


async def provoke_configuration(at: Aviary) -> None:
    """Secrets where they must not stand: told, refused, and not repeated."""
    config = at.folder / "gslb.yml"
    good = config.read_text()
    for old, new in (
        (f"file:{at.folder}/ddns.key", CANARIES["inline"]),
        (f"file:{at.folder}/fra.keys", CANARIES["inline"]),
        ('s3: "https://', f's3: "https://key:{CANARIES["in a url"]}@'),
        ("{kind: rfc2136,", f"{{kind: rfc2136, tsig_secret: {CANARIES['inline']},"),
    ):
        assert old in good
        bad = at.folder / "bad.yml"
        bad.write_text(good.replace(old, new, 1))
        forms = ("full", "json", "github")
        check = ("check", str(bad), "--offline", "--format")
        await asyncio.gather(*(at.run(*check, form) for form in forms))
        kept = config.read_text()
        os.replace(bad, config)
        assert await at.ask("POST", "/v1/config/reload", "{}") == 422
        config.write_text(kept)
    await at.run("check", str(config), "--defaults", "--offline")


async def provoke_commands(at: Aviary) -> None:
    asks = (("status",), ("explain", "fra"), ("explain", "dns"), ("events", "-n", "500"))
    await asyncio.gather(*(at.run(*words) for words in asks))
    await asyncio.gather(
        at.run("status", token="wrong token"),
        at.run("status", GSLB_URL="https://127.0.0.1:1"),
        at.run("status", GSLB_CACERT="/nowhere"),
        at.run("drain", "fra", "--reason", "r"),
    )
    await at.run("probe", "fra")
    await at.run("run", "--config", str(at.folder / "gslb.yml"))  # its address is taken


async def test_no_secret_is_found_in_anything_said_or_written(tmp_path: Path) -> None:
    async with aviary(tmp_path) as at:
        await provoke_api(at)
        await provoke_configuration(at)
        await provoke_commands(at)
        await provoke_secrets(at)
        at.write("tokens.yml", "[]")  # over the socket, which needs no token, from here on
        socket = {"GSLB_URL": f"unix:{at.folder}/api.sock"}
        asks = (("status",), ("explain", "fra"), ("explain", "dns"), ("events", "-n", "500"))
        await asyncio.gather(*(at.run("-o", "json", *words, **socket) for words in asks))
        for name in ("gslb.db", "gslb.db-wal"):
            (at.folder / name).write_bytes(b"broken" * 5000)
        await at.run("pause", "--reason", "r", "--yes", **socket)
        await at.run("emergency", "drain", "fra", "--backend", "dns", "--reason", "r", **socket)
        assert at.place.controller.process
        at.place.controller.process.send_signal(signal.SIGTERM)
        await asyncio.wait_for(at.place.controller.process.wait(), 30)
        assert not at.search()
        assert (tmp_path / "history.jsonl").stat().st_size > 1000
        assert len(at.heard.said) > 40


def test_the_search_finds_what_is_planted() -> None:
    for name, canary in CANARIES.items():
        plain = canary.encode()
        for hidden in (
            *(b"x" * n + plain + b"y" for n in range(4)),
            *(base64.b64encode(b"x" * n + plain + b"yyy") for n in range(4)),
            *(plain.hex().encode(), plain.hex().upper().encode(), quote(canary).encode()),
            *([base64.b64decode(plain)] if canary.endswith("=") else []),
        ):
            heard = Heard()
            heard.add("planted", b"before " + hidden + b" after")
            assert heard.singing({name: canary}), (name, hidden)
