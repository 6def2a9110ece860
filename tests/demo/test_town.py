"""The town: three sites over three stores, and the switchboard that breaks them."""

import asyncio
from collections.abc import AsyncIterator

import aiohttp
import pytest
from aiohttp import web

from gslb.demo.town import ADDRESSES, Town, open_town, switchboard


@pytest.fixture
async def town() -> AsyncIterator[Town]:
    async with open_town(pace=0.05) as opened:
        yield opened


async def statuses(town: Town) -> dict[str, int]:
    async with aiohttp.ClientSession() as client:

        async def status(name: str, url: str) -> tuple[str, int]:
            async with client.get(f"{url}/health/endtoend") as said:
                return name, said.status

        asked = (status(name, site.url) for name, site in town.sites.items())
        return dict(await asyncio.gather(*asked))


async def test_each_site_has_an_address_of_its_own_and_the_same_port(town: Town):
    urls = [site.url for site in town.sites.values()]
    assert urls == [f"http://{address}:{town.port}" for address in ADDRESSES.values()]
    assert await statuses(town) == {"eu": 200, "us": 200, "ap": 200}
    assert all("registry/_verify" in store.objects for store in town.stores.values())


@pytest.mark.parametrize(
    ("preference", "version", "wanted"),
    [
        ("own", "3.18.0", {"eu": 200, "us": 503, "ap": 200}),
        ("listed", "3.18.0", {"eu": 503, "us": 503, "ap": 503}),
        ("listed", "3.17.2", {"eu": 503, "us": 503, "ap": 503}),
    ],
)
async def test_one_dead_store_is_seen_as_the_preference_has_it(
    preference: str, version: str, wanted: dict[str, int]
):
    async with open_town(pace=0.05, preference=preference, version=version) as town:
        await town.set_fault("us", "store", "404")
        assert await statuses(town) == wanted
        await town.mend("us")
        assert set((await statuses(town)).values()) == {200}


async def test_the_shared_database_fails_everywhere_whoever_broke_it(town: Town):
    await town.set_fault("us", "database", "refuse")
    assert await statuses(town) == {"eu": 503, "us": 503, "ap": 503}
    assert town.faults == {name: {"database": "refuse"} for name in ADDRESSES}
    await town.mend()
    assert await statuses(town) == {"eu": 200, "us": 200, "ap": 200}


async def test_the_answer_is_what_the_nameserver_holds(town: Town):
    assert town.answer == set()


@pytest.fixture
async def url(town: Town) -> AsyncIterator[str]:
    app = web.Application()
    app.add_routes(switchboard(town))
    runner = web.AppRunner(app)
    await runner.setup()
    await (site := web.TCPSite(runner, "127.0.0.1", 0)).start()
    yield site.name.replace(":0", f":{runner.addresses[0][1]}")
    await runner.cleanup()


async def switched(url: str, site: str, part: str, fault: str | None) -> str:
    """What was wrong, or nothing."""
    path = f"{url}/demo/faults/{site}/{part}".rstrip("/")
    method, body = ("PUT", {"fault": fault}) if fault else ("DELETE", None)
    async with aiohttp.ClientSession() as client, client.request(method, path, json=body) as said:
        return "" if said.ok else str((await said.json(content_type=None))["detail"])


async def test_the_switchboard_breaks_and_mends(town: Town, url: str):
    assert await switched(url, "eu", "store", "hang") == ""
    assert await switched(url, "eu", "path", "refuse") == ""
    assert town.faults["eu"] == {"store": "hang", "path": "refuse"}
    assert await switched(url, "eu", "path", None) == ""
    assert town.faults["eu"] == {"store": "hang"}
    assert await switched(url, "us", "quay", "503") == ""
    assert await switched(url, "eu", "", None) == ""
    assert town.faults == {"eu": {}, "us": {"quay": "503"}, "ap": {}}


async def test_the_switchboard_shows_what_is_broken_and_what_can_be(town: Town, url: str):
    await town.set_fault("ap", "quay", "drip")
    async with aiohttp.ClientSession() as client, client.get(f"{url}/demo/faults") as said:
        shown = await said.json()
    assert shown["faults"]["ap"] == {"quay": "drip"}
    assert {"quay", "store", "database", "redis", "path"} == set(shown["parts"])
    assert shown["parts"]["redis"] == ["hang", "refuse"]


@pytest.mark.parametrize(
    ("site", "part", "fault", "wanted"),
    [
        ("fra", "store", "hang", "there is no 'fra'"),
        ("eu", "roof", "hang", "there is no 'roof'"),
        ("fra", "", None, "there is no 'fra'"),
        ("eu", "store", "melt", "a store has no fault melt"),
        ("eu", "quay", "lost-writes", "quay has no fault lost-writes"),
        ("eu", "path", "500", "a path has no fault 500"),
    ],
)
async def test_the_switchboard_says_what_it_does_not_know(
    town: Town, url: str, site: str, part: str, fault: str | None, wanted: str
):
    assert wanted in await switched(url, site, part, fault)
    assert town.faults == {"eu": {}, "us": {}, "ap": {}}


@pytest.mark.parametrize("body", [b"", b"[]", b"{}", b'{"fault": 5'])
async def test_a_body_without_a_fault_breaks_nothing(town: Town, url: str, body: bytes):
    path = f"{url}/demo/faults/eu/store"
    async with aiohttp.ClientSession() as client, client.put(path, data=body) as said:
        assert said.status == 422
    assert town.faults == {"eu": {}, "us": {}, "ap": {}}
