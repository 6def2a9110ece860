"""The real house in a thread of its own, and raw connections to it."""

import asyncio
import json
import logging
import re
import socket
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from gslb.reporters.log import TextLines
from gslb.wiring import open_house
from gslb.wiring.parts import House
from tests.api.live import write_tokens

FILE = """
cluster: fuzz
limits: {{min_sites: 1}}
store: {{sqlite: {0}/gslb.db}}
api: {{listen: "127.0.0.1:0", socket: {0}/api.sock, tokens: "file:{0}/tokens.yml"}}
metrics: {{listen: "127.0.0.1:0"}}
alerts: {{token: "file:{0}/alerts.token"}}
sites:
  fra: {{address: 203.0.113.20}}
  iad: {{address: 198.51.100.20}}
services:
  quay.example.com: {{kind: none}}
backends:
  dns: {{kind: memory}}
"""


@dataclass
class Answer:
    status: int
    headers: Mapping[str, str]
    body: bytes
    """After the head of the first answer, all that came."""

    @property
    def problem(self) -> Any:
        assert self.headers["content-type"].startswith("application/problem+json"), self
        return json.loads(self.body)


@dataclass
class Running:
    """The house in a thread of its own, and all lines of its log."""

    house: House
    loop: asyncio.AbstractEventLoop
    lines: list[str] = field(default_factory=list)

    def port(self, url: str | None) -> int:
        return int((url or "").rsplit(":", 1)[1])

    def raw(self, sent: bytes, *, metrics: bool = False) -> Answer | None:
        """One connection: what came back until it was closed. None: it was cut without a word."""
        served = self.house.served
        port = self.port(served.metrics_url if metrics else served.url)
        with socket.create_connection(("127.0.0.1", port), 2) as link:
            with suppress(OSError):  # it may have answered and hung up already
                link.sendall(sent)
            came = bytearray()
            with suppress(ConnectionError, TimeoutError):  # it may wait for more of a request
                while chunk := link.recv(65_536):
                    came += chunk
        if not came:
            return None
        head, _, body = bytes(came).partition(b"\r\n\r\n")
        first, *lines = head.decode("latin-1").split("\r\n")
        assert re.match(r"HTTP/[01]\.[019] \d{3} ", first), came[:200]
        headers = {n.lower(): v.strip() for n, _, v in (line.partition(":") for line in lines)}
        return Answer(int(first.split()[1]), headers, body)

    def ask(
        self, method: str, path: str, body: bytes = b"", *more: str, token: str = "admin"
    ) -> Answer:
        head = [f"{method} {path} HTTP/1.1", "Host: x", "Connection: close"]
        head += [f"Authorization: Bearer fake-{token}", "Content-Type: application/json"]
        head += [f"Content-Length: {len(body)}", *more]
        answer = self.raw("\r\n".join([*head, "", ""]).encode("utf-8", "surrogateescape") + body)
        assert answer is not None
        return answer

    @property
    def state(self) -> tuple[object, ...]:
        """All that a request could change."""
        world = self.house.controller.world
        return (world.overrides, world.pause, world.mode, world.waiting, world.topology)

    def is_sound(self, answer: Answer | None) -> None:
        """No 5xx, no traceback, and nothing unforeseen in the log."""
        lines, self.lines[:] = list(self.lines), []
        if answer is not None:
            assert answer.status < 500, answer
            assert b"Traceback" not in answer.body
        assert not [line for line in lines if "Traceback" in line or " ERROR " in line]


@contextmanager
def house_in_a_thread(folder: Path) -> Iterator[Running]:
    (folder / "gslb.yml").write_text(FILE.format(folder))
    write_tokens(folder / "tokens.yml")
    for name in ("tokens.yml", "alerts.token"):
        (folder / name).touch()
        (folder / name).chmod(0o600)
    (folder / "alerts.token").write_text("fake-alerts")
    begun, ended = threading.Event(), asyncio.Event()
    found: list[Running] = []
    lines: list[str] = []

    class Lines(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            lines.append(TextLines().format(record))

    async def live() -> None:
        async with open_house(folder / "gslb.yml") as house:
            found.append(Running(house, asyncio.get_running_loop(), lines))
            begun.set()
            await ended.wait()

    handler, thread = Lines(), threading.Thread(target=asyncio.run, args=(live(),))
    logging.getLogger().addHandler(handler)
    level = logging.getLogger().level
    logging.getLogger().setLevel(logging.DEBUG)
    thread.start()
    assert begun.wait(30)
    yield found[0]
    found[0].loop.call_soon_threadsafe(ended.set)
    thread.join(30)
    logging.getLogger().removeHandler(handler)
    logging.getLogger().setLevel(level)
