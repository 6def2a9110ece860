"""Bounds: large bodies, slow and many clients, other origins; and the form of errors."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from aiohttp import web

from tests.api.live import Live, live
from tests.kit import until

DRAIN = {"action": "drain", "reason": "r"}


@asynccontextmanager
async def raw(api: Live) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    """A connection without a client behind it."""
    host, port = str(api.served.url).removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    try:
        yield reader, writer
    finally:
        writer.close()
        await asyncio.gather(writer.wait_closed(), return_exceptions=True)


async def test_errors_are_problems_also_where_there_is_no_route(tmp_path: Path) -> None:
    async with live(tmp_path) as api:
        lost, wrong = await api.get("/no/such"), await api.ask("PATCH", "/v1/pause", {})
    for said, status in ((lost, 404), (wrong, 405)):
        assert said.status == status
        assert said.headers["Content-Type"].startswith("application/problem+json")
        assert set(said.body) >= {"type", "title", "status", "detail"}
        assert said.body["status"] == status
    assert "PUT" in wrong.headers["Allow"]


async def test_a_body_above_64_kib_is_refused(tmp_path: Path) -> None:
    async with live(tmp_path) as api:
        said = await api.put("/v1/sites/eu/override", {**DRAIN, "reason": "x" * 70_000})
        fits = await api.put("/v1/sites/eu/override", {**DRAIN, "reason": "x" * 60_000})
    assert (said.status, fits.status) == (413, 422)


async def test_a_body_that_is_no_json_is_told_so(tmp_path: Path) -> None:
    async with live(tmp_path) as api:
        url = f"{api.served.url}/v1/sites/eu/override"
        headers = {"Authorization": "Bearer fake-admin", "Content-Type": "application/json"}
        codes = []
        for body in (b"{", b"\xff\xfe", b"[" * 30_000, b"[]", b"null", b'{"reason": NaN}'):
            async with api.session.put(url, data=body, headers=headers) as response:
                codes.append(response.status)
        headers["Content-Type"] = "text/plain"
        async with api.session.put(url, data=json.dumps(DRAIN), headers=headers) as response:
            codes.append(response.status)
    assert codes == [400, 400, 400, 422, 422, 422, 415]
    assert api.operator.said == []


async def test_a_client_that_never_ends_its_headers_is_cut(tmp_path: Path) -> None:
    async with live(tmp_path, idle_s=0.2) as api, raw(api) as (reader, writer):
        writer.write(b"GET /v1/overview HTTP/1.1\r\nHost: x\r\n")
        async with asyncio.timeout(5):
            assert await reader.read() == b""


async def test_a_client_that_sends_its_body_too_slowly_is_told_and_cut(tmp_path: Path) -> None:
    async with live(tmp_path, body_s=0.2) as api, raw(api) as (reader, writer):
        writer.write(
            b"PUT /v1/pause HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer fake-admin\r\n"
            b"Content-Type: application/json\r\nContent-Length: 100\r\n\r\n{"
        )
        async with asyncio.timeout(5):
            line = await reader.readline()
    assert b" 408 " in line


async def test_a_client_that_does_not_read_its_answer_is_cut(tmp_path: Path) -> None:
    async def large(request: web.Request) -> web.Response:
        return web.Response(body=b"x" * 64_000_000)

    routes = (web.get("/large", large),)
    async with live(tmp_path, extra_routes=routes, write_s=0.2) as api, raw(api) as (_, writer):
        writer.write(b"GET /large HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer fake-read\r\n\r\n")
        gone = asyncio.create_task(_gone(writer))
        async with asyncio.timeout(10):
            await gone


async def _gone(writer: asyncio.StreamWriter) -> None:
    """Wait until the other side has cut the connection."""
    while True:
        try:
            writer.write(b"\r\n")
            await writer.drain()
        except ConnectionError:
            return
        await asyncio.sleep(0.02)


async def test_connections_above_the_cap_are_closed_at_once(tmp_path: Path) -> None:
    async with live(tmp_path, connections=2) as api, raw(api) as first, raw(api) as second:
        for reader, writer in (first, second):
            writer.write(b"GET /livez HTTP/1.1\r\nHost: x\r\n\r\n")
            assert b" 200 " in await reader.readline()
        async with raw(api) as (reader, _), asyncio.timeout(5):
            assert await reader.read() == b""
        first[1].close()

        async def let_in() -> bool:
            async with raw(api) as (reader, writer), asyncio.timeout(5):
                writer.write(b"GET /livez HTTP/1.1\r\nHost: x\r\n\r\n")
                try:
                    return b" 200 " in await reader.readline()
                except ConnectionError:
                    return False

        await until(let_in)


async def test_a_page_of_another_origin_is_refused_before_anything_else(tmp_path: Path) -> None:
    async with live(tmp_path) as api:
        foreign = await api.put("/v1/pause", {"reason": "r"}, Origin="https://evil.example.com")
        null = await api.get("/livez", None, Origin="null")
        own = await api.get("/v1/pause", Origin=str(api.served.url))
        asked = await api.ask("OPTIONS", "/v1/pause", None, None, Origin="https://evil.example.com")
    assert [s.status for s in (foreign, null, own, asked)] == [403, 403, 200, 403]
    assert not [name for name in own.headers if name.startswith("Access-Control")]
    assert api.operator.said == []


async def test_further_routes_need_a_token(tmp_path: Path) -> None:
    async def echo(request: web.Request) -> web.Response:
        return web.Response(text="here")

    routes = (web.get("/demo/faults", echo), web.put("/demo/faults", echo))
    async with live(tmp_path, extra_routes=routes) as api:
        codes = [
            (await api.get("/demo/faults", None)).status,
            (await api.get("/demo/faults", "read")).status,
            (await api.put("/demo/faults", {}, "override")).status,
            (await api.put("/demo/faults", {}, "admin")).status,
        ]
        seen = await api.get("/demo/faults")
    assert codes == [401, 200, 403, 200]
    assert "default-src 'none'" in seen.headers["Content-Security-Policy"]
