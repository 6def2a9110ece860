"""The imitations as processes of their own, to be killed and stopped like real ones."""

import asyncio
import json
import sys
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import Any

import aiohttp
import pytest

from tests.demo.signed import KEYS, QUAY, ask


@dataclass
class Running:
    process: asyncio.subprocess.Process
    urls: list[str]

    async def set_fault(self, fault: str) -> None:
        assert self.process.stdin
        assert self.process.stdout
        self.process.stdin.write(f"{fault}\n".encode())
        assert await self.process.stdout.readline() == b"done\n"


@asynccontextmanager
async def running(kind: str, **given: Any) -> AsyncIterator[Running]:
    command = (sys.executable, "-m", "gslb.demo", kind, json.dumps(given))
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(*command, stdin=pipe, stdout=pipe)
    assert process.stdin
    assert process.stdout
    ready, *urls = (await process.stdout.readline()).decode().split()
    assert ready == "ready"
    yield Running(process, urls)
    process.stdin.close()
    await process.wait()


async def endtoend(url: str) -> tuple[int, bool]:
    async with aiohttp.ClientSession() as client, client.get(f"{url}/health/endtoend") as said:
        return said.status, (await said.json())["data"]["services"]["storage"]


async def test_a_site_leans_on_a_store_in_another_process_and_sees_it_killed():
    async with AsyncExitStack() as opened:
        store = await opened.enter_async_context(running("store", keys=KEYS))
        location = {"url": store.urls[0], "key_id": QUAY[0], "secret": QUAY[1]}
        site = await opened.enter_async_context(
            running("site", locations={"eu": location}, preference=["eu"], pace=0.05)
        )
        assert await endtoend(site.urls[0]) == (200, True)
        await store.set_fault("500")
        assert (await ask("GET", f"{store.urls[1]}/k")).status == 500
        assert await endtoend(site.urls[0]) == (503, False)
        await store.set_fault("mend")
        await store.set_fault("path refuse")
        assert await endtoend(site.urls[0]) == (200, True)
        with pytest.raises(aiohttp.ClientConnectorError):
            await ask("GET", f"{store.urls[1]}/k")
        await store.set_fault("path mend")
        assert (await ask("GET", f"{store.urls[1]}/k")).status == 404
        store.process.kill()
        await store.process.wait()
        assert await endtoend(site.urls[0]) == (503, False)


async def test_a_nameserver_ends_with_its_standard_input():
    zone = "@ 60 IN SOA ns h 1 3600 600 86400 5\n@ 60 IN NS ns\n"
    async with running("nameserver", origin="demo", zone=zone) as server:
        assert server.urls[0].startswith("dns://127.0.0.1:")
    assert server.process.returncode == 0
