"""The store probe against the demo's store, which verifies signatures and breaks as stores do."""

import asyncio
import hashlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from gslb.demo.stores import Store
from gslb.domain.health import Finding, Seen
from gslb.probes.s3 import ADAPTER, Settings, open_s3
from gslb.wire import Wire
from gslb.wire.http import open_http
from tests.kit import free_port, until
from tests.wire.servers import Talk, always, page, server

KEYS = {"fake-id": "fake-secret", "quay-id": "fake-quay-secret"}
FOLDER = "registry/gslb/main"


class Bench:
    """A probe of one store, and what it found."""

    def __init__(self, url: str, folder: Path, wire: Wire, **settings: object) -> None:
        endpoint, _, bucket = url.rpartition("/")
        keys = folder / "keys"
        if not keys.exists():
            keys.write_text("fake-id\nfake-secret\n")
            keys.chmod(0o600)
        self.wire = wire
        self.settings = Settings.model_validate(
            {
                "endpoint": endpoint,
                "bucket": bucket,
                "prefix": "registry",
                "keys": f"file:{keys}",
                "timeout_s": 5.0,
                "cluster": "main",
                "owner": "a",
                **settings,
            }
        )

    async def look(self, **changed: object) -> Seen:
        settings = self.settings.model_copy(update=changed)
        async with open_s3(settings, self.wire) as probe:
            return await probe.run()

    async def say(self, **changed: object) -> dict[str, str]:
        """Each aspect with `pass`, or with its outcome and cause."""
        return told(await self.look(**changed))


def told(seen: Seen) -> dict[str, str]:
    return {f.aspect: f"{f.outcome} {f.cause}" if f.cause else f.outcome for f in seen.findings}


def found(seen: Seen, aspect: str) -> Finding:
    return next(f for f in seen.findings if f.aspect == aspect)


@asynccontextmanager
async def opened_wire() -> AsyncIterator[Wire]:
    async with open_http(["127.0.0.0/8"]) as http:
        yield Wire(http=http)


@pytest.fixture
async def wire() -> AsyncIterator[Wire]:
    async with opened_wire() as opened:
        yield opened


@pytest.fixture
async def store() -> AsyncIterator[Store]:
    async with Store(KEYS, controller_key="fake-id") as opened:
        yield opened


@pytest.fixture
def bench(store: Store, wire: Wire, tmp_path: Path) -> Bench:
    return Bench(store.url, tmp_path, wire)


def both(said: str) -> dict[str, str]:
    return {"store.write": said, "store.read": said}


ALL_PASS = {**both("pass"), "store.list": "pass"}


def test_the_adapter_is_named_as_its_file() -> None:
    assert (ADAPTER.kind, ADAPTER.settings, ADAPTER.open) == ("s3", Settings, open_s3)


async def test_a_whole_store_passes_and_keeps_nothing_but_the_sentinel(
    bench: Bench, store: Store
) -> None:
    seen = await bench.look()
    assert told(seen) == ALL_PASS
    assert list(store.objects) == [f"{FOLDER}/sentinel"]
    kept = store.objects[f"{FOLDER}/sentinel"]
    assert len(kept) == 1024
    assert seen.sentinel == hashlib.sha256(kept).hexdigest()
    assert bench.wire.sentinels == {f"{store.url}/registry": seen.sentinel}
    names = [name for name, _ in seen.steps]
    assert names == ["put", "get", "delete", "sentinel", "sentinel put", "list"]
    slowest_s = max(took_s for name, took_s in seen.steps if name in ("put", "get", "delete"))
    assert found(seen, "store.write").latency_s == slowest_s > 0


async def test_a_known_sentinel_is_reported_once(bench: Bench) -> None:
    assert (await bench.look()).sentinel
    assert (await bench.look()).sentinel is None


async def test_a_sentinel_of_another_run_is_adopted(bench: Bench, store: Store) -> None:
    store.objects[f"{FOLDER}/sentinel"] = b"of another replica"
    assert (await bench.look()).sentinel == hashlib.sha256(b"of another replica").hexdigest()


@pytest.mark.parametrize("content", [b"", b"x" * 70_000])
async def test_what_can_be_no_sentinel_is_not_adopted(
    bench: Bench, store: Store, content: bytes
) -> None:
    store.objects[f"{FOLDER}/sentinel"] = content
    seen = await bench.look()
    assert told(seen)["store.read"] == "fail mismatch"
    assert (seen.sentinel, bench.wire.sentinels) == (None, {})


async def test_a_bucket_that_came_back_empty_or_changed_is_seen(bench: Bench, store: Store) -> None:
    await bench.look()
    sentinel = store.objects.pop(f"{FOLDER}/sentinel")
    assert await bench.say() == {"store.write": "pass", "store.read": "fail missing"}
    assert store.objects == {}, "a sentinel that is gone is not written behind people's backs"
    store.objects[f"{FOLDER}/sentinel"] = b"x" + sentinel[1:]
    assert await bench.say() == {"store.write": "pass", "store.read": "fail mismatch"}
    store.objects[f"{FOLDER}/sentinel"] = sentinel
    assert await bench.say() == ALL_PASS


async def test_two_replicas_that_write_the_first_sentinel_agree(
    store: Store, tmp_path: Path
) -> None:
    async with opened_wire() as one, opened_wire() as two:
        benches = [Bench(store.url, tmp_path, one), Bench(store.url, tmp_path, two, owner="b")]
        seen = await asyncio.gather(*(bench.look() for bench in benches))
        assert [told(s) for s in seen] == [ALL_PASS, ALL_PASS]
        assert one.sentinels == two.sentinels
        assert [told(await bench.look()) for bench in benches] == [ALL_PASS, ALL_PASS]


async def test_two_of_one_name_never_take_the_others_write_for_a_store_that_lost_theirs(
    store: Store, tmp_path: Path
) -> None:
    async with opened_wire() as one, opened_wire() as two:
        benches = [Bench(store.url, tmp_path, wire) for wire in (one, two, one, two)]
        for _ in range(5):
            seen = await asyncio.gather(*(bench.look() for bench in benches))
            assert [told(s) for s in seen] == [ALL_PASS] * 4


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        ("500", both("fail io")),
        ("503", both("fail overload")),
        ("403", both("blind denied")),
        ("404", both("fail missing")),
        ("refuse", both("fail refused")),
        ("hang", both("fail timeout")),
        ("drip", both("fail timeout")),
        ("507", {**ALL_PASS, "store.write": "fail io"}),
        ("lost-writes", {**ALL_PASS, "store.write": "fail io"}),
        ("failing-reads", {"store.write": "pass", "store.read": "fail io"}),
        ("slow", ALL_PASS),
    ],
)
async def test_each_fault_of_a_store_is_seen_as_what_it_is(
    bench: Bench, store: Store, fault: str, said: dict[str, str]
) -> None:
    assert await bench.say() == ALL_PASS
    await store.set_fault(fault)
    assert await bench.say(timeout_s=0.3 if fault in ("hang", "drip") else 5.0) == said
    await store.set_fault(None)
    assert await bench.say() == ALL_PASS


async def test_a_store_with_half_its_answers_failing_is_not_whole(
    bench: Bench, store: Store
) -> None:
    await bench.look()
    await store.set_fault("half")
    said = [await bench.say() for _ in range(4)]
    assert all("fail io" in one.values() for one in said)


async def test_before_the_first_sentinel_a_dead_store_fails_too(bench: Bench, store: Store) -> None:
    await store.set_fault("500")
    assert await bench.say() == both("fail io")
    await store.set_fault("507")
    assert (await bench.say())["store.read"] == "fail io"


async def test_wrong_keys_and_wrong_clocks_are_our_own_trouble(
    bench: Bench, tmp_path: Path
) -> None:
    (tmp_path / "keys").write_text("fake-id\nfake-other-secret\n")
    assert await bench.say() == both("blind denied")
    (tmp_path / "keys").write_text("no keys at all")
    assert await bench.say() == both("blind local")
    (tmp_path / "keys").write_text("unknown-id\nfake-secret\n")
    assert await bench.say() == both("blind denied")


def error(code: str) -> str:
    return f"<?xml version='1.0'?><Error><Code>{code}</Code></Error>"


@pytest.mark.parametrize(
    ("status", "code", "said"),
    [
        (403, "RequestTimeTooSkewed", "blind clock"),
        (403, "QuotaExceeded", "fail io"),
        (401, "", "blind denied"),
        (400, "ExpiredToken", "blind denied"),
        (400, "AuthorizationHeaderMalformed", "blind denied"),
        (429, "", "fail overload"),
        (503, "SlowDown", "fail overload"),
        (503, "ServiceUnavailable", "fail io"),
        (502, "", "fail io"),
        (301, "PermanentRedirect", "fail mismatch"),
        (400, "InvalidRequest", "fail mismatch"),
    ],
)
async def test_each_answer_has_its_cause(
    wire: Wire, tmp_path: Path, status: int, code: str, said: str
) -> None:
    async with server(always(page(status, error(code)))) as port:
        assert await Bench(f"http://127.0.0.1:{port}/quay", tmp_path, wire).say() == both(said)


async def test_a_delete_that_is_refused_is_no_fail_and_one_that_breaks_is(
    wire: Wire, tmp_path: Path
) -> None:
    said = {}
    for status in (204, 403, 405, 409, 400, 500, 429):
        async with server(deletes_with(status)) as port:
            bench = Bench(f"http://127.0.0.1:{port}/quay", tmp_path, wire)
            said[status] = (await bench.say())["store.write"]
    fine = dict.fromkeys((204, 403, 405, 409, 400), "pass")
    assert said == {**fine, 500: "fail io", 429: "fail overload"}


def deletes_with(status: int) -> Talk:
    """A store that keeps one object, and answers a DELETE with `status`."""
    objects: dict[bytes, bytes] = {}

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            head = await reader.readuntil(b"\r\n\r\n")
            method, path, *_ = head.split(b" ")
            answer = page(200, objects.get(path, b"other"))
            if method == b"PUT":
                objects[path] = await reader.readexactly(32)
            elif method == b"DELETE":
                answer = page(status)
            writer.write(answer)
            await writer.drain()

    return talk


async def test_what_comes_back_changed_is_a_lost_write(wire: Wire, tmp_path: Path) -> None:
    async with server(always(page(200, "something else"))) as port:
        bench = Bench(f"http://127.0.0.1:{port}/quay", tmp_path, wire)
        seen = await bench.look()
    assert told(seen)["store.write"] == "fail io"
    assert found(seen, "store.write").detail == "get: what was written came back changed"
    assert told(seen)["store.list"] == "fail mismatch"


async def test_a_write_that_was_given_up_and_comes_late_is_no_lost_write(
    wire: Wire, tmp_path: Path
) -> None:
    puts: list[bytes] = []

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while head := await reader.readuntil(b"\r\n\r\n"):
            if head.startswith(b"PUT") and b"/probe-a-" in head:
                puts.append(await reader.readexactly(32))
                if len(puts) == 1:
                    continue  # hangs, and is carried out after the second
            writer.write(page(200, puts[0] if b"/probe-a-" in head else b"kept"))
            await writer.drain()

    async with server(talk) as port:
        settings = Bench(f"http://127.0.0.1:{port}/quay", tmp_path, wire, timeout_s=0.5).settings
        async with open_s3(settings, wire) as probe:
            assert told(await probe.run())["store.write"] == "fail timeout"
            seen = await probe.run()
    assert len(puts) == 2
    assert told(seen)["store.write"] == "fail timeout"
    assert found(seen, "store.write").detail == "get: an earlier write of ours came late"


async def test_the_list_can_be_left_out(bench: Bench) -> None:
    assert await bench.say(list=False) == both("pass")


async def test_keys_that_cannot_be_read_make_blind_not_dead(
    store: Store, wire: Wire, tmp_path: Path
) -> None:
    bench = Bench(store.url, tmp_path, wire)
    (tmp_path / "keys").chmod(0o644)
    seen = await bench.look()
    assert told(seen) == both("blind local")
    assert "chmod 600" in found(seen, "store.read").detail
    assert store.asked == 0


async def test_a_closed_address_and_a_missing_ca_are_our_own_trouble(tmp_path: Path) -> None:
    async with open_http() as strict:
        wire = Wire(http=strict)
        seen = await Bench(f"http://127.0.0.1:{free_port()}/quay", tmp_path, wire).look()
        assert told(seen) == both("blind local")
        assert "probe_networks" in found(seen, "store.write").detail
        url = f"https://127.0.0.1:{free_port()}/quay"
        seen = await Bench(url, tmp_path, wire, ca=tmp_path / "absent").look()
        assert told(seen) == both("blind local")


async def test_runs_that_overlap_do_not_step_on_each_other(bench: Bench, store: Store) -> None:
    async with open_s3(bench.settings, bench.wire) as probe:
        seen = await asyncio.gather(*(probe.run() for _ in range(4)))
    assert [told(one) for one in seen] == [ALL_PASS] * 4
    assert list(store.objects) == [f"{FOLDER}/sentinel"]


async def test_a_cancelled_run_gives_its_object_free(bench: Bench, store: Store) -> None:
    async with open_s3(bench.settings, bench.wire) as probe:
        await store.set_fault("hang")
        async with asyncio.TaskGroup() as runs:
            run = runs.create_task(probe.run())
            await until(lambda: store.asked >= 0 and probe._busy)
            run.cancel()
        assert probe._busy == set()


async def test_the_bucket_can_be_the_first_label_of_the_host(
    store: Store, wire: Wire, tmp_path: Path
) -> None:
    bench = Bench(store.url, tmp_path, wire, path_style=False, timeout_s=1.0)
    async with open_s3(bench.settings, wire) as probe:
        assert (
            probe._bucket_url == store.url.replace("127.0.0.1", "quay.127.0.0.1")[: -len("/quay")]
        )


async def test_settings_refuse_what_is_no_endpoint() -> None:
    for endpoint in ("s3.example.com", "ftp://s3", "https://user:fake@s3", "https://s3/bucket"):
        with pytest.raises(ValueError, match="endpoint"):
            Settings(endpoint=endpoint, bucket="b", cluster="c", owner="o")
