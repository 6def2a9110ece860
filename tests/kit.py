"""What every test may use: waiting for a condition, free ports, and finding a real server."""

import asyncio
import inspect
import os
import shutil
import socket
import time
from collections.abc import Awaitable, Callable
from typing import NoReturn

import pytest


async def until(
    condition: Callable[[], object] | Callable[[], Awaitable[object]],
    limit_s: float = 5.0,
    every_s: float = 0.02,
    what: str = "",
) -> object:
    """Poll until `condition` gives something true, and give that; fail after `limit_s`."""
    ends = time.monotonic() + limit_s
    while True:
        got = condition()
        if inspect.isawaitable(got):
            got = await got
        if got:
            return got
        if time.monotonic() > ends:
            pytest.fail(f"not within {limit_s} s: {what or inspect.getsource(condition).strip()}")
        await asyncio.sleep(every_s)


def free_port(kind: int = socket.SOCK_STREAM) -> int:
    """A port of 127.0.0.1 that was free a moment ago (for both TCP and UDP)."""
    while True:
        with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as tcp:
            tcp.bind(("127.0.0.1", 0))
            port = int(tcp.getsockname()[1])
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp:
                try:
                    udp.bind(("127.0.0.1", port))
                except OSError:
                    continue
                return port


def need(program: str) -> str:
    """The path of a real server's program; skips with a reason where it is missing (CI: fails)."""
    found = shutil.which(program, path=os.environ.get("PATH", "") + ":/usr/sbin:/sbin")
    if found:
        return found
    missing(f"{program} is not installed")


def missing(reason: str) -> NoReturn:
    """Skip, since the machine lacks something; in CI that is a failure."""
    if os.environ.get("GSLB_REQUIRE_REAL") == "1":
        pytest.fail(reason)
    pytest.skip(reason)
