"""The Quay probe against the demo's Quay, and against what stands in front of one."""

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from gslb.demo.sites import Location, QuaySite, shared_database
from gslb.demo.stores import Store
from gslb.domain.errors import WireError
from gslb.domain.health import RegistryFacts, Seen
from gslb.probes.quay import ADAPTER, Settings, open_quay
from gslb.wire import Wire
from gslb.wire.http import open_http
from tests.kit import free_port, until
from tests.wire.servers import Talk, always, by_path, certificates, page, server, silent

ENDTOEND = ("quay.storage", "quay.database", "quay.auth", "quay.redis")
JSON = "Content-Type: application/json"
HTML = "Content-Type: text/html"


@pytest.fixture
async def wire() -> AsyncIterator[Wire]:
    async with open_http(["127.0.0.0/8"]) as http:
        yield Wire(http=http)


def settings(port: int, part: str = "front", **more: object) -> Settings:
    given = {"part": part, "address": "127.0.0.1", "port": port, "name": "quay.example"}
    return Settings.model_validate(
        {**given, "tls": False, "timeout_s": 5.0, "deadline_s": 5.0, **more}
    )


async def look(wire: Wire, port: int, part: str = "front", **more: object) -> Seen:
    async with open_quay(settings(port, part, **more), wire) as probe:
        return await probe.run()


def told(seen: Seen) -> dict[str, str]:
    return {f.aspect: f"{f.outcome} {f.cause}" if f.cause else f.outcome for f in seen.findings}


def detail(seen: Seen, aspect: str) -> str:
    return next(f.detail for f in seen.findings if f.aspect == aspect)


def health(status: int = 200, **services: object) -> bytes:
    said = {"data": {"services": services}, "status_code": status}
    return page(status, json.dumps(said), JSON)


def config(**said: object) -> bytes:
    plain = {"registry_state": "normal", "account_recovery_mode": False}
    return page(200, json.dumps({**plain, **said}), JSON)


@asynccontextmanager
async def quay(**options: object) -> AsyncIterator[tuple[QuaySite, Store]]:
    """A Quay with one store, in the demo's hundredth of real time."""
    async with Store({"quay-id": "fake-secret"}) as store:
        here = {"eu": Location(url=store.url, key_id="quay-id", secret="fake-secret")}
        async with QuaySite(here, ["eu"], pace=0.01, **options) as site:  # type: ignore[arg-type]
            yield site, store


def test_the_adapter_is_named_as_its_file() -> None:
    assert (ADAPTER.kind, ADAPTER.settings, ADAPTER.open) == ("quay", Settings, open_quay)


async def test_a_whole_quay_passes_and_says_its_version(wire: Wire) -> None:
    async with quay() as (site, _):
        front = await look(wire, site.port)
        endtoend = await look(wire, site.port, "endtoend")
    assert told(front) == {"quay.front": "pass", "quay.instance": "pass"}
    assert front.facts == RegistryFacts(version="3.18.0", readonly=False)
    assert told(endtoend) == dict.fromkeys(ENDTOEND, "pass")
    assert endtoend.facts is None
    assert front.findings[0].latency_s > 0


async def test_a_dead_store_is_said_end_to_end_and_not_at_the_front(wire: Wire) -> None:
    async with quay() as (site, store):
        await store.set_fault("507")
        front = await look(wire, site.port)
        endtoend = await look(wire, site.port, "endtoend")
    assert told(front) == {"quay.front": "pass", "quay.instance": "pass"}
    passes = dict.fromkeys(ENDTOEND[1:], "pass")
    assert told(endtoend) == {"quay.storage": "fail unhealthy", **passes}
    assert detail(endtoend, "quay.storage") == "storage: false"


async def test_an_unwell_instance_still_passes_the_front(wire: Wire) -> None:
    database = shared_database()
    async with quay(database=database) as (site, _):
        await database.set_fault("refuse")
        front = await look(wire, site.port)
    assert told(front) == {"quay.front": "pass", "quay.instance": "fail unhealthy"}
    assert detail(front, "quay.instance") == "database: false"


async def test_readonly_and_an_old_version_are_facts(wire: Wire) -> None:
    async with quay(readonly=True, version="3.15.1") as (site, _):
        assert (await look(wire, site.port)).facts == RegistryFacts(version=None, readonly=True)


async def test_account_recovery_is_no_front(wire: Wire) -> None:
    async with quay(recovery=True) as (site, _), open_quay(settings(site.port), wire) as probe:
        for _ in range(2):  # the second without a new /config
            seen = await probe.run()
            assert told(seen) == {"quay.front": "fail mismatch", "quay.instance": "pass"}
            assert "account recovery" in detail(seen, "quay.front")


async def test_the_config_is_read_at_its_own_pace(wire: Wire) -> None:
    async with quay() as (site, _):
        async with open_quay(settings(site.port, config_every_s=60), wire) as probe:
            assert [(await probe.run()).facts is None for _ in range(3)] == [False, True, True]
        async with open_quay(settings(site.port, config_every_s=0.05), wire) as probe:
            await probe.run()

            async def facts() -> RegistryFacts | None:
                return (await probe.run()).facts

            await until(facts)


async def test_a_config_that_says_nothing_leaves_the_facts_alone(wire: Wire) -> None:
    for answer in (page(500, "x"), page(200, "[1]"), page(200, "{}"), page(200, "[" * 60_000)):
        pages = {"/health/instance": health(auth=True), "/config": answer}
        async with server(by_path(pages)) as port:
            seen = await look(wire, port)
        assert (told(seen)["quay.front"], seen.facts) == ("pass", None)


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (page(502, "<html>", HTML), "fail gateway"),
        (page(503, ""), "fail gateway"),
        (page(504, "late"), "fail gateway"),
        (page(500, "<h1>Oops</h1>"), "fail gateway"),
        (page(200, "<html>parked</html>", HTML), "fail gateway"),
        (page(404, "not here"), "fail mismatch"),
        (page(302, "", "Location: https://elsewhere.example/"), "fail mismatch"),
        (page(200, json.dumps({"data": {"services": {}}}), JSON), "fail mismatch"),
        (page(200, json.dumps({"data": {"services": {"auth": "yes"}}}), JSON), "fail mismatch"),
        (page(200, '{"data": []}', JSON), "fail mismatch"),
        (page(200, "[" * 60_000, JSON), "fail mismatch"),
        (page(429, "slower"), "fail overload"),
        (page(403, "who are you"), "blind denied"),
        (page(401, "who are you"), "blind denied"),
        (b"hello\r\n\r\n", "fail mismatch"),
        (health(503, auth=False), "pass"),
        (health(500, auth=True), "pass"),
    ],
)
async def test_who_answers_at_the_front_is_told_apart(wire: Wire, answer: bytes, said: str) -> None:
    async with server(always(answer)) as port:
        assert told(await look(wire, port))["quay.front"] == said


async def test_nobody_at_the_front_is_refused_and_nothing_is_said_of_the_instance(
    wire: Wire,
) -> None:
    seen = await look(wire, free_port())
    assert told(seen) == {"quay.front": "fail refused"}
    assert seen.facts is None


SLOW_INSTANCE: list[tuple[Mapping[str, bytes | None], str]] = [
    ({"/_internal_ping": page(200, "true")}, "pass"),
    ({"/_internal_ping": page(404, "no"), "/config": config()}, "pass"),
    ({"/_internal_ping": page(404, "no"), "/config": page(404, "no")}, "fail mismatch"),
    ({"/_internal_ping": page(404, "no"), "/config": page(503, "no")}, "fail gateway"),
    ({"/_internal_ping": page(404, "no")}, "fail timeout"),
    ({"/_internal_ping": None, "/config": config()}, "fail timeout"),
]


@pytest.mark.parametrize(("pages", "said"), SLOW_INSTANCE)
async def test_an_instance_that_waits_for_its_database_is_no_dead_front(
    wire: Wire, pages: dict[str, bytes | None], said: str
) -> None:
    async with server(by_path(pages)) as port:
        seen = await look(wire, port, timeout_s=0.25)
    assert told(seen) == {"quay.front": said, "quay.instance": "blind slow"}


async def test_a_front_that_takes_connections_and_says_nothing_times_out(wire: Wire) -> None:
    async with server(silent) as port:
        seen = await look(wire, port, timeout_s=0.1)
    assert told(seen)["quay.front"] == "fail timeout"


@pytest.mark.parametrize(
    ("answer", "cause"),
    [
        (page(504, "<html>late</html>", HTML), "slow"),
        (page(502, ""), "slow"),
        (page(503, "no backend"), "slow"),
        (page(200, "<html>", HTML), "slow"),
        (page(500, "{}", JSON), "slow"),
        (health(auth_other=True), "slow"),
        (page(403, "no"), "denied"),
        (None, "slow"),
    ],
)
async def test_only_quays_own_word_counts_end_to_end(
    wire: Wire, answer: bytes | None, cause: str
) -> None:
    talk: Talk = always(answer) if answer else silent
    async with server(talk) as port:
        seen = await look(wire, port, "endtoend", deadline_s=5.0 if answer else 0.1)
    assert told(seen) == dict.fromkeys(ENDTOEND, f"blind {cause}")


async def test_what_the_front_probe_judges_is_blind_end_to_end(wire: Wire) -> None:
    async with server(always(page(200))) as port:
        said = [
            told(await look(wire, free_port(), "endtoend")),
            told(await look(wire, port, "endtoend", tls=True, timeout_s=1, deadline_s=0.5)),
        ]
    assert said == [dict.fromkeys(ENDTOEND, "blind slow")] * 2
    async with open_http() as strict:
        closed = Wire(http=strict)
        seen = await look(closed, free_port(), "endtoend")
    assert told(seen) == dict.fromkeys(ENDTOEND, "blind local")


async def test_a_slow_quay_within_its_deadline_is_believed(wire: Wire) -> None:
    async def late(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        await asyncio.sleep(0.3)
        services = {"storage": False, "database": True, "auth": True, "redis": True}
        writer.write(health(503, **services))
        await reader.read()

    async with server(late) as port:
        seen = await look(wire, port, "endtoend", timeout_s=0.1)
    assert told(seen)["quay.storage"] == "fail unhealthy"


async def test_a_site_is_asked_by_its_address_under_its_name(wire: Wire, tmp_path: Path) -> None:
    certs, heard = certificates(tmp_path), list[bytes]()
    async with server(always(health(auth=True), heard), tls=certs.server) as port:
        whole = await look(wire, port, tls=True, ca=certs.ca)
        other = await look(wire, port, tls=True, ca=certs.ca, name="other.example")
        unknown = await look(wire, port, tls=True)
        absent = await look(wire, port, tls=True, ca=tmp_path / "absent.pem")
    assert told(whole)["quay.front"] == "pass"
    assert f"Host: quay.example:{port}\r\n".encode() in heard[0]
    assert told(other) == told(unknown) == {"quay.front": "fail tls"}
    assert told(absent) == {"quay.front": "blind local"}


async def test_each_run_comes_as_a_new_client(wire: Wire) -> None:
    met = 0

    async def counts(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal met
        met += 1
        await always(health(auth=True))(reader, writer)

    async with server(counts) as port, open_quay(settings(port), wire) as probe:
        for _ in range(3):
            await probe.run()
    assert met == 4  # three of the front, one for /config


async def test_a_run_can_be_cancelled(wire: Wire) -> None:
    async with server(silent) as port, open_quay(settings(port), wire) as probe:
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(probe.run(), 0.05)
    assert not issubclass(TimeoutError, WireError)
