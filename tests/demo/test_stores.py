"""The imitation store: it really verifies, and each fault does what its name says."""

import asyncio
from collections.abc import AsyncIterator

import aiohttp
import pytest
from aiohttp import web

from gslb.demo.door import Door
from gslb.demo.stores import Store
from tests.demo.signed import CONTROLLER, KEYS, QUAY, Said, ask, headers


@pytest.fixture
async def store() -> AsyncIterator[Store]:
    async with Store(KEYS, controller_key=CONTROLLER[0], slow_s=0.2) as opened:
        yield opened


async def code(said: Said) -> str:
    return said.text.partition("<Code>")[2].partition("</Code>")[0]


async def outcome(method: str, url: str, key: tuple[str, str] = QUAY, limit_s: float = 10.0) -> str:
    """`200`, `refused`, `timeout` or `cut`, for a table."""
    try:
        body = b"x" if method == "PUT" else b""
        return str((await ask(method, url, body, key, limit_s=limit_s)).status)
    except aiohttp.ClientConnectorError:
        return "refused"
    except TimeoutError:
        return "timeout"
    except aiohttp.ClientError:
        return "cut"


async def test_what_was_put_can_be_got_listed_and_deleted(store: Store):
    key = f"{store.url}/registry/a%20b%2Bc~%C3%A9"
    assert (await ask("PUT", key, b"hello")).status == 200
    assert (await ask("HEAD", key)).status == 200
    assert await ask("GET", key) == Said(200, "hello")
    assert store.objects == {"registry/a b+c~é": b"hello"}
    listed = await ask("GET", f"{store.url}?list-type=2&prefix=registry%2Fa%20b&max-keys=1")
    assert "<Key>registry/a b+c~é</Key>" in listed.text
    assert "<IsTruncated>false</IsTruncated>" in listed.text
    assert "<KeyCount>0</KeyCount>" in (await ask("GET", f"{store.url}?prefix=other")).text
    assert (await ask("DELETE", key)).status == 204
    gone = await ask("GET", key)
    assert (gone.status, await code(gone)) == (404, "NoSuchKey")
    assert (await ask("HEAD", store.url)).status == 200
    assert (await ask("POST", store.url)).status == 405


async def test_another_bucket_is_not_there(store: Store):
    said = await ask("GET", store.url.replace("/quay", "/other"))
    assert (said.status, await code(said)) == (404, "NoSuchBucket")


@pytest.mark.parametrize(
    ("key", "more", "status", "wanted"),
    [
        (("nobody", "fake-secret-1"), {}, 403, "InvalidAccessKeyId"),
        ((QUAY[0], "fake-secret-9"), {}, 403, "SignatureDoesNotMatch"),
        (QUAY, {"X-Amz-Date": "20200101T000000Z"}, 403, "RequestTimeTooSkewed"),
        (QUAY, {"X-Amz-Date": "yesterday"}, 403, "AccessDenied"),
        (QUAY, {"Authorization": "Basic eDp5"}, 403, "AccessDenied"),
        (QUAY, {"X-Amz-Content-SHA256": "UNSIGNED-PAYLOAD"}, 403, "SignatureDoesNotMatch"),
        (QUAY, {"Host": "elsewhere:1"}, 403, "SignatureDoesNotMatch"),
    ],
)
async def test_what_is_not_rightly_signed_is_refused_by_its_name(
    store: Store, key: tuple[str, str], more: dict[str, str], status: int, wanted: str
):
    said = await ask("PUT", f"{store.url}/k", b"x", key, more=more)
    assert (said.status, await code(said)) == (status, wanted)
    assert store.objects == {}


async def test_a_body_that_was_changed_on_the_way_is_refused(store: Store):
    url = f"{store.url}/k"
    async with aiohttp.ClientSession() as client:
        sent = headers("PUT", url, b"hello")
        async with client.put(url, data=b"jello", headers=sent) as said:
            assert said.status == 400
    assert store.objects == {}


EVERY = ("PUT", "HEAD", "GET", "DELETE")


@pytest.mark.parametrize(
    ("fault", "wanted"),
    [
        ("refuse", "refused refused refused refused"),
        ("hang", "timeout timeout timeout timeout"),
        ("drip", "timeout timeout timeout timeout"),
        ("slow", "200 200 200 204"),
        ("500", "500 500 500 500"),
        ("503", "503 503 503 503"),
        ("404", "404 404 404 404"),
        ("507", "507 200 200 204"),
        ("lost-writes", "200 404 404 204"),
        ("failing-reads", "200 200 500 204"),
        ("half", "500 200 500 204"),
    ],
)
async def test_each_fault_does_what_its_name_says_and_ends_when_mended(
    store: Store, fault: str, wanted: str
):
    await ask("PUT", f"{store.url}/k", b"old")
    store.asked = 0
    await store.set_fault(fault)
    for url in (store.url, store.path_url):
        limit_s = 0.3 if "timeout" in wanted else 10.0
        seen = [await outcome(method, f"{url}/k", limit_s=limit_s) for method in EVERY]
        assert " ".join(seen) == wanted
        store.asked = 0
        store.objects["k"] = b"old"
    await store.set_fault(None)
    assert [await outcome(method, f"{store.url}/k") for method in EVERY] == [
        "200",
        "200",
        "200",
        "204",
    ]


async def test_403_refuses_the_controllers_key_only(store: Store):
    await store.set_fault("403")
    assert await outcome("PUT", f"{store.url}/k", CONTROLLER) == "403"
    assert await outcome("PUT", f"{store.url}/k", QUAY) == "200"


async def test_slow_is_late_and_right(store: Store):
    await store.set_fault("slow")
    assert await outcome("PUT", f"{store.url}/k", limit_s=0.1) == "timeout"
    assert await outcome("PUT", f"{store.url}/k") == "200"


@pytest.mark.parametrize("fault", ["refuse", "hang"])
async def test_a_broken_path_cuts_the_controller_off_and_nobody_else(store: Store, fault: str):
    await store.path.set_fault(fault)
    assert await outcome("PUT", f"{store.path_url}/k", CONTROLLER, 0.3) in ("refused", "timeout")
    assert await outcome("PUT", f"{store.url}/k") == "200"
    await store.set_fault("500")
    await store.set_fault(None)
    assert await outcome("GET", f"{store.path_url}/k", limit_s=0.3) in ("refused", "timeout")
    await store.path.set_fault(None)
    assert await outcome("GET", f"{store.path_url}/k", CONTROLLER) == "200"


@pytest.mark.parametrize(
    ("fault", "error"), [("refuse", aiohttp.ClientError), ("hang", TimeoutError)]
)
async def test_kept_connections_break_too(store: Store, fault: str, error: type[Exception]):
    async with aiohttp.ClientSession() as client:
        assert (await ask("PUT", f"{store.url}/k", b"x", client=client)).status == 200
        await store.set_fault(fault)
        with pytest.raises(error):
            await ask("GET", f"{store.url}/k", client=client, limit_s=0.3)


async def test_a_request_under_way_hangs_too_and_is_cut_when_mended():
    reached, go = asyncio.Event(), asyncio.Event()

    async def answer(_: web.BaseRequest) -> web.StreamResponse:
        reached.set()
        await go.wait()
        return web.Response()

    async with Door(answer) as door:
        asking = asyncio.ensure_future(outcome("POST", f"{door.url}/k", limit_s=30))
        await reached.wait()  # POST, since aiohttp asks again by itself where that does no harm
        await door.set_fault("hang")
        go.set()
        assert await outcome("GET", f"{door.url}/k", limit_s=0.2) == "timeout"
        assert not asking.done()
        await door.set_fault("")
        assert await asking == "cut"


async def test_a_refusing_store_keeps_its_port(store: Store):
    url = store.url
    await store.set_fault("refuse")
    async with Store(KEYS) as other:
        assert other.url != url
    await store.set_fault("hang")
    assert await outcome("PUT", f"{url}/k", limit_s=0.2) == "timeout"
    await store.set_fault(None)
    assert store.url == url
    assert await outcome("PUT", f"{url}/k") == "200"


async def test_a_fault_that_does_not_exist_is_an_error(store: Store):
    with pytest.raises(ValueError, match="no fault melt"):
        await store.set_fault("melt")
    with pytest.raises(ValueError, match="no fault 500"):
        await store.path.set_fault("500")
