"""The imitation Quay: the truth table of the real one by cause and effect, bodies and tries."""

import asyncio
import json
import ssl
import subprocess
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from gslb.demo.sites import Location, QuaySite, shared_database, shared_redis
from gslb.demo.stores import Store
from tests.demo.signed import KEYS, QUAY

PACE = 0.05  # a refused store is asked for about 0.4 s, and nginx waits for 3 s


@dataclass
class Two:
    """Two stores, and sites over them as a test wants them."""

    stores: dict[str, Store]
    open: AsyncExitStack

    async def site(
        self, name: str, preference: str = "", pace: float = PACE, **more: Any
    ) -> QuaySite:
        locations = {
            at: Location(url=store.url, key_id=QUAY[0], secret=QUAY[1])
            for at, store in self.stores.items()
        }
        listed = (preference or name).split(",")
        return await self.open.enter_async_context(QuaySite(locations, listed, pace=pace, **more))


@pytest.fixture
async def two() -> AsyncIterator[Two]:
    async with AsyncExitStack() as opened:
        stores = {at: await opened.enter_async_context(Store(KEYS)) for at in ("us", "eu")}
        yield Two(stores, opened)


async def get(
    site: QuaySite, path: str = "/health/endtoend", limit_s: float = 20
) -> tuple[int, str]:
    limit = aiohttp.ClientTimeout(total=limit_s)
    async with aiohttp.ClientSession(timeout=limit) as client, client.get(site.url + path) as said:
        return said.status, await said.text()


async def services(site: QuaySite, path: str = "/health/endtoend") -> dict[str, bool]:
    status, text = await get(site, path)
    body = json.loads(text)
    assert body["status_code"] == status
    assert status == (200 if all(body["data"]["services"].values()) else 503)
    found: dict[str, bool] = body["data"]["services"]
    return found


@pytest.mark.parametrize(
    ("version", "preferences", "more", "us", "eu"),
    [
        ("3.18.0", "us eu", {}, 200, 503),
        ("3.18.0", "us,eu us,eu", {}, 503, 503),
        ("3.17.2", "us eu", {}, 200, 503),
        ("3.17.2", "us,eu us,eu", {}, 200, 200),
        ("3.18.0", "us,eu us,eu", {"readonly": True}, 200, 200),
    ],
)
async def test_with_eus_store_dead_each_site_says_what_quay_says(
    two: Two, version: str, preferences: str, more: dict[str, bool], us: int, eu: int
):
    await two.stores["eu"].set_fault("refuse")
    first, second = preferences.split()
    sites = [
        await two.site("us", first, version=version, **more),
        await two.site("eu", second, version=version, **more),
    ]
    said = await asyncio.gather(*(get(site) for site in sites))
    assert [status for status, _ in said] == [us, eu]
    assert [(await get(site, "/health/instance"))[0] for site in sites] == [200, 200]


async def test_both_bodies_have_quays_keys(two: Two):
    site = await two.site("eu")
    status, text = await get(site, "/status")
    wanted = {"auth": True, "database": True, "redis": True, "storage": True}
    assert (status, json.loads(text)) == (200, {"data": {"services": wanted}, "status_code": 200})
    keys = "auth database disk_space registry_gunicorn service_key web_gunicorn"
    assert " ".join(await services(site, "/health/instance")) == keys


async def test_only_3_18_writes_to_the_stores_of_other_sites(two: Two):
    await get(await two.site("eu", version="3.17.2"))
    assert "registry/_verify" not in two.stores["us"].objects
    await get(await two.site("eu", version="3.18.0"))
    assert two.stores["us"].objects["registry/_verify"] == b"testing 123"


@pytest.mark.parametrize(
    ("fault", "tries"),
    [("500", 5), ("503", 5), ("404", 1), ("507", 1), ("lost-writes", 2)],
)
async def test_a_failing_store_is_tried_as_often_as_the_sdk_tries(two: Two, fault: str, tries: int):
    site, store = await two.site("eu", version="3.17.2"), two.stores["eu"]
    assert (await services(site))["storage"]
    store.asked = 0
    await store.set_fault(fault)
    assert not (await services(site))["storage"]
    assert store.asked == tries


@pytest.mark.parametrize("fault", ["403", "failing-reads", "half", "slow"])
async def test_quay_does_not_see_what_it_does_not_try(two: Two, fault: str):
    site = await two.site("eu", pace=0.2)
    await two.stores["eu"].set_fault(fault)
    assert (await services(site))["storage"]


async def test_the_way_of_the_controller_is_not_quays(two: Two):
    await two.stores["eu"].path.set_fault("refuse")
    assert (await services(await two.site("eu")))["storage"]


async def test_a_hanging_store_makes_nginx_give_up_and_3_18_everywhere(two: Two):
    sites = [await two.site("eu", pace=0.01), await two.site("us", pace=0.01)]
    await two.stores["eu"].set_fault("hang")
    for status, text in await asyncio.gather(*map(get, sites)):
        assert status == 504
        assert text.startswith("<html>")


@pytest.mark.parametrize("fault", ["refuse", "hang"])
async def test_a_shared_database_is_down_at_all_sites_at_once(two: Two, fault: str):
    database, redis = shared_database(), shared_redis()
    sites = [await two.site(name, database=database, redis=redis) for name in ("us", "eu")]
    await database.set_fault(fault)
    for site in sites:
        found = await services(site)
        assert (found["database"], found["redis"], found["storage"]) == (False, True, True)
        assert not (await services(site, "/health/instance"))["database"]
    await database.set_fault(None)
    await redis.set_fault(fault)
    assert not (await services(sites[0]))["redis"]
    assert (await services(sites[0], "/health/instance"))["database"]


@pytest.mark.parametrize("fault", ["500", "503", "403", "404"])
async def test_a_front_without_quay_answers_html(two: Two, fault: str):
    site = await two.site("eu")
    await site.set_fault(fault)
    status, text = await get(site)
    assert (status, text[:6]) == (int(fault), "<html>")
    await site.set_fault(None)
    assert (await get(site))[0] == 200


@pytest.mark.parametrize(
    ("fault", "error"),
    [("refuse", aiohttp.ClientConnectorError), ("hang", TimeoutError), ("drip", TimeoutError)],
)
async def test_a_front_breaks_at_the_socket(two: Two, fault: str, error: type[Exception]):
    site = await two.site("eu")
    await site.set_fault(fault)
    with pytest.raises(error):
        await get(site, limit_s=0.3)
    await site.set_fault("slow")
    assert (await get(site))[0] == 200


async def test_it_says_its_version_and_whether_it_takes_pushes(two: Two):
    site = await two.site("eu", readonly=True, version="3.17.2")
    wanted = {"registry_state": "readonly", "account_recovery_mode": False}
    said = json.loads((await get(site, "/config"))[1])
    assert said == wanted | {"version_number": "Quay 3.17.2"}
    site.version, site.readonly = "3.15.0", False
    assert "version_number" not in json.loads((await get(site, "/config"))[1])


async def test_account_recovery_takes_the_registry_away_and_leaves_health(two: Two):
    site = await two.site("eu")
    assert (await get(site, "/v2/"))[0] == 401
    site.recovery = True
    assert [(await get(site, path))[0] for path in ("/v2/", "/health")] == [404, 200]
    assert await get(site, "/v1/_internal_ping") == (200, "true")


async def test_it_speaks_tls(two: Two, tmp_path: Path):
    certificate, key = tmp_path / "cert.pem", tmp_path / "key.pem"
    command = "openssl req -x509 -newkey rsa:2048 -nodes -days 1 -subj /CN=quay.demo"
    await asyncio.to_thread(
        subprocess.run,
        [*command.split(), "-keyout", key, "-out", certificate],
        check=True,
        capture_output=True,
    )
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(certificate, key)
    site = await two.site("eu", tls=tls)
    trust = ssl.create_default_context(cafile=str(certificate))
    trust.check_hostname = False
    url = f"{site.url}/health"
    async with aiohttp.ClientSession() as client, client.get(url, ssl=trust) as said:
        assert said.status == 200


async def test_a_fault_that_a_part_cannot_have_is_an_error(two: Two):
    with pytest.raises(ValueError, match="quay has no fault lost-writes"):
        await (await two.site("eu")).set_fault("lost-writes")
    with pytest.raises(ValueError, match="database has no fault 500"):
        await shared_database().set_fault("500")
