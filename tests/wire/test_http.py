"""The HTTP client against small servers that behave, misbehave and attack."""

import asyncio
import errno
import gzip
import socket
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from gslb.domain.errors import WireError
from gslb.domain.health import Cause
from gslb.wire.guard import Closed, Guard
from gslb.wire.http import Http, NoAnswer, Reply, Request, open_http
from gslb.wire.tls import client_context
from tests.kit import free_port
from tests.wire.servers import always, by_path, certificates, page, server, silent

OK = page(200, "ok")


@pytest.fixture
async def http() -> AsyncIterator[Http]:
    async with open_http(["127.0.0.0/8"]) as opened:
        yield opened


async def ask(http: Http, port: int, path: str = "/", **options: object) -> Reply:
    given = {"url": f"http://127.0.0.1:{port}{path}", "timeout_s": 5.0, **options}
    return await http.ask(Request(**given))  # type: ignore[arg-type]  # a test's shorthand


async def failure(http: Http, port: int, **options: object) -> WireError:
    with pytest.raises(WireError) as caught:
        await ask(http, port, **options)
    return caught.value


async def test_an_answer_comes_with_status_headers_and_body(http: Http) -> None:
    async with server(always(page(503, "no", "X-Why: full"))) as port:
        reply = await ask(http, port)
    assert (reply.status, reply.headers["x-why"], reply.body) == (503, "full", b"no")
    assert not reply.truncated
    assert reply.took_s > 0


async def test_nobody_listening_is_refused(http: Http) -> None:
    assert (await failure(http, free_port())).cause == Cause.REFUSED


async def test_silence_on_a_standing_connection_is_told_from_no_connection(http: Http) -> None:
    async with server(silent) as port:
        error = await failure(http, port, timeout_s=0.1)
        assert isinstance(error, NoAnswer)
        assert error.cause == Cause.TIMEOUT
        # TLS that never comes about is no standing connection yet.
        error = await failure(http, port, url=f"https://127.0.0.1:{port}/", timeout_s=0.1)
        assert not isinstance(error, NoAnswer)
        assert error.cause == Cause.TIMEOUT


async def test_a_full_queue_of_connections_is_a_timeout_without_a_connection(http: Http) -> None:
    with socket.socket() as full:
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        port = full.getsockname()[1]
        waiting = [socket.socket() for _ in range(4)]
        for one in waiting:
            one.setblocking(False)
            one.connect_ex(("127.0.0.1", port))
        error = await failure(http, port, timeout_s=0.2)
        for one in waiting:
            one.close()
    assert error.cause == Cause.TIMEOUT
    assert not isinstance(error, NoAnswer)


async def test_a_name_without_an_address_is_unresolved(http: Http) -> None:
    assert (await failure(http, 80, url="http://no-such-name.invalid/")).cause == Cause.UNRESOLVED


async def test_a_connection_lost_before_the_whole_answer_is_no_local_evidence(http: Http) -> None:
    async def closes(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")

    async def closes_within(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(OK[:-1])
        await writer.drain()
        writer.close()
        await writer.wait_closed()

    for talk in (closes, closes_within):
        for fresh in (True, False):
            async with server(talk) as port:
                assert (await failure(http, port, fresh=fresh)).cause == Cause.REFUSED


async def test_a_lost_new_connection_is_not_tried_again(http: Http) -> None:
    met = 0

    async def closes(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal met
        met += 1
        await reader.readuntil(b"\r\n\r\n")

    async with server(closes) as port:
        await failure(http, port)
    assert met == 1


async def test_what_is_no_http_is_a_mismatch(http: Http) -> None:
    async with server(always(b"220 smtp.example ESMTP\r\n\r\n")) as port:
        error = await failure(http, port)
    assert error.cause == Cause.MISMATCH
    assert "\n" not in str(error)


async def test_what_we_could_not_even_try_is_our_own_trouble(http: Http) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        # A broadcast address: the kernel refuses to try (EACCES, or ENETUNREACH without a route).
        assert probe.connect_ex(("255.255.255.255", 9)) in (errno.EACCES, errno.ENETUNREACH)
    error = await failure(http, 9, url="http://255.255.255.255:9/")
    assert error.cause == Cause.LOCAL


async def test_a_kept_connection_is_used_again_unless_a_fresh_one_is_wanted(http: Http) -> None:
    met = 0

    async def counts(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal met
        met += 1
        await always(OK)(reader, writer)

    async with server(counts) as port:
        for fresh in (False, False, True, False):
            await ask(http, port, fresh=fresh)
    assert met == 2


async def test_a_kept_connection_that_went_stale_is_no_fail(http: Http) -> None:
    async def once(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(OK)
        await reader.readuntil(b"\r\n\r\n")  # and closes on the second question

    async with server(once) as port:
        for _ in range(4):
            assert (await ask(http, port, method="PUT", body=b"x")).status == 200
        await ask(http, port)
        error = await failure(http, port, method="POST")
    assert error.cause == Cause.REFUSED


async def drips(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\nX: ")
    while True:
        writer.write(b"x")
        await writer.drain()
        await asyncio.sleep(0.01)


async def drips_a_body(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
    await drips(reader, writer)


async def says_wait(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while True:
        writer.write(b"HTTP/1.1 103 Early Hints\r\n\r\n")
        await writer.drain()
        await asyncio.sleep(0.001)


@pytest.mark.parametrize("talk", [drips, drips_a_body, says_wait])
async def test_a_drip_ends_at_the_deadline(http: Http, talk: object) -> None:
    async with server(talk) as port:  # type: ignore[arg-type]  # one of the three above
        error = await failure(http, port, timeout_s=0.3)
    assert isinstance(error, NoAnswer)


async def test_an_endless_body_is_cut_and_the_connection_closed(http: Http) -> None:
    lost = asyncio.Event()

    async def endless(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
        try:
            while True:
                writer.write(b"x" * 65_536)
                await writer.drain()
        finally:
            lost.set()

    async with server(endless) as port:
        reply = await ask(http, port)
        await asyncio.wait_for(lost.wait(), 5.0)
    assert reply.truncated
    assert len(reply.body) == 65_536


@pytest.mark.parametrize(
    "bomb", [b"X: " + b"x" * 100_000 + b"\r\n", b"X: y\r\n" * 10_000], ids=["wide", "many"]
)
async def test_a_bomb_of_headers_is_refused(http: Http, bomb: bytes) -> None:
    async with server(always(b"HTTP/1.1 200 OK\r\n" + bomb + b"\r\n")) as port:
        assert (await failure(http, port)).cause == Cause.MISMATCH


async def test_packed_bodies_stay_packed_and_cookies_are_forgotten(http: Http) -> None:
    heard: list[bytes] = []
    packed = gzip.compress(b"x" * 1_000_000)
    answer = page(200, packed, "Content-Encoding: gzip", "Set-Cookie: a=b")
    async with server(always(answer, heard)) as port:
        assert (await ask(http, port)).body == packed
        await ask(http, port)
    assert b"Cookie" not in heard[1]
    assert b"Accept-Encoding: identity\r\n" in heard[0]


async def test_no_proxy_of_the_environment_is_used(
    http: Http, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{free_port()}")
    async with server(always(OK)) as port:
        assert (await ask(http, port)).status == 200


async def test_a_redirect_is_the_answer_unless_following_was_asked_for(http: Http) -> None:
    pages = {"/": page(302, "", "Location: /a"), "/a": page(307, "", "Location: b"), "/b": OK}
    async with server(by_path(pages)) as port:
        assert [(await ask(http, port, follow=n)).status for n in (0, 1, 2, 3)] == [
            302,
            307,
            200,
            200,
        ]


async def test_redirects_without_end_end(http: Http) -> None:
    async with server(always(page(302, "", "Location: /"))) as port:
        assert (await ask(http, port, follow=5)).status == 302


async def test_a_redirect_may_not_lead_where_no_probe_may_go(http: Http) -> None:
    for there in ("http://169.254.169.254/latest", "http://[::1]/", "http://2130706433/"):
        async with server(always(page(302, "", f"Location: {there}"))) as port:
            error = await failure(http, port, follow=1)
        assert error.cause in (Cause.LOCAL, Cause.MISMATCH)


async def test_what_was_meant_for_one_host_is_not_told_to_another(http: Http) -> None:
    heard: list[bytes] = []
    async with (
        server(always(OK, heard)) as other,
        server(always(page(307, "", f"Location: http://127.0.0.1:{other}/x"))) as port,
    ):
        await ask(http, port, follow=1, headers={"Authorization": "fake-secret"})
    assert heard[0].startswith(b"GET /x ")
    assert b"fake-secret" not in heard[0]


@pytest.mark.parametrize(
    "address",
    [
        *("127.0.0.1", "::1", "::ffff:127.0.0.1", "64:ff9b::7f00:1", "0.0.0.0", "::"),
        *("169.254.169.254", "fe80::1%lo", "224.0.0.1", "fd00:ec2::254", "100.100.100.200"),
    ],
)
def test_the_guard_closes_what_is_ours_and_the_clouds(address: str) -> None:
    with pytest.raises(Closed, match="probe_networks"):
        Guard(()).admit(address)
    Guard(["0.0.0.0/0", "::/0"]).admit(address)


def test_the_guard_lets_private_and_public_addresses_through() -> None:
    for address in ("10.0.0.1", "192.0.2.1", "2001:db8::1", "fd00::1", "a.name"):
        Guard(()).admit(address)


async def test_a_name_is_judged_by_the_address_connected_to() -> None:
    async with server(always(OK)) as port, open_http() as strict:
        for options in ({"url": f"http://localhost:{port}/"}, {"address": "localhost"}, {}):
            error = await failure(strict, port, **options)
            assert error.cause == Cause.LOCAL
            assert "probe_networks" in str(error)


async def test_a_site_is_asked_by_address_under_its_own_name(http: Http, tmp_path: Path) -> None:
    certs, heard = certificates(tmp_path), list[bytes]()
    async with server(always(OK, heard), tls=certs.server) as port:
        tls = client_context(certs.ca)
        named = {"address": "127.0.0.1", "tls": tls}
        reply = await ask(http, port, url=f"https://quay.example:{port}/", **named)
        assert reply.status == 200
        assert f"Host: quay.example:{port}\r\n".encode() in heard[0]
        wrong = await failure(http, port, url=f"https://other.example:{port}/", **named)
        unknown = await failure(
            http, port, url=f"https://quay.example:{port}/", address="127.0.0.1"
        )
    assert (wrong.cause, unknown.cause) == (Cause.TLS, Cause.TLS)


async def test_tls_with_a_server_that_speaks_none_is_tls(http: Http) -> None:
    async def plain(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        writer.write(page(400, "this is plain HTTP"))
        await writer.drain()
        await reader.read()

    async with server(plain) as port:
        error = await failure(http, port, url=f"https://127.0.0.1:{port}/")
    assert error.cause == Cause.TLS


async def test_the_path_and_query_are_sent_as_they_are(http: Http) -> None:
    heard: list[bytes] = []
    async with server(always(OK, heard)) as port:
        for options in ({}, {"address": "127.0.0.1"}):
            await ask(http, port, "/a%2Fb/%7E?x=%2F&y=a+b", **options)
    assert [one.split(b" HTTP")[0] for one in heard] == [b"GET /a%2Fb/%7E?x=%2F&y=a+b"] * 2


async def test_a_cancelled_question_leaves_no_connection_behind(http: Http) -> None:
    met, gone = asyncio.Event(), asyncio.Event()

    async def waits(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        met.set()
        await reader.read()
        gone.set()

    async with server(waits) as port:
        asking = asyncio.ensure_future(ask(http, port))
        await met.wait()
        asking.cancel()
        await asyncio.wait_for(gone.wait(), 5.0)
        assert (await asyncio.gather(asking, return_exceptions=True))[0].__class__ is (
            asyncio.CancelledError
        )
