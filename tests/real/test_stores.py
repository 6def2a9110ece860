"""The store probe against Ceph RGW and rclone: each fault of a real store is seen as what it is."""

import asyncio
import json
import os
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Protocol

import pytest
import pytest_asyncio

from gslb.probes.s3 import open_s3
from gslb.wire import Wire
from tests.kit import missing, until
from tests.probes.test_s3 import ALL_PASS, Bench, both, found, opened_wire, told
from tests.real.ceph import CephSite
from tests.real.owner import BUCKET
from tests.real.rclone import RcloneSite

pytestmark = [pytest.mark.real, pytest.mark.asyncio(loop_scope="class")]
FAKETIMES = "/usr/lib/x86_64-linux-gnu/faketime/libfaketimeMT.so.1"


class Store(Protocol):
    """What all stores have."""

    @property
    def url(self) -> str: ...
    async def make_bucket(self) -> None: ...
    async def remove_bucket(self) -> None: ...
    async def remove_object(self, key: str) -> None: ...
    async def kill(self) -> None: ...
    async def start_all(self) -> None: ...
    def freeze(self) -> None: ...
    def thaw(self) -> None: ...


@pytest_asyncio.fixture(scope="class", loop_scope="class")
async def rclone(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[RcloneSite]:
    site = await RcloneSite.start(tmp_path_factory.mktemp("rclone"))
    yield site
    await site.stop()


@pytest_asyncio.fixture(scope="class", loop_scope="class")
async def ceph(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[CephSite]:
    site = await CephSite.start(tmp_path_factory.mktemp("ceph") / "site")
    yield site
    await site.stop()


class StoreContract:
    """What holds for every store; a subclass starts one `store` for all its tests."""

    @pytest_asyncio.fixture(loop_scope="class")
    async def wire(self) -> AsyncIterator[Wire]:
        async with opened_wire() as opened:
            yield opened

    @pytest.fixture
    def bench(self, store: Store, wire: Wire, request: pytest.FixtureRequest) -> Bench:
        """Each test has a sentinel of its own."""
        folder: Path = request.getfixturevalue("tmp_path")
        return Bench(f"{store.url}/{BUCKET}", folder, wire, prefix=request.node.name)

    async def test_every_step_passes_and_only_the_sentinel_is_kept(self, bench: Bench) -> None:
        seen = await bench.look()
        assert told(seen) == ALL_PASS
        names = [name for name, _ in seen.steps]
        assert names == ["put", "get", "delete", "sentinel", "sentinel put", "list"]
        assert bench.wire.sentinels == {bench.settings.sentinel: seen.sentinel}
        again = await bench.look()
        assert (told(again), again.sentinel) == (ALL_PASS, None)

    @pytest.mark.parametrize(
        "keys", ["fake-id\nfake-other-secret\n", "fake-other-id\nfake-secret\n"]
    )
    async def test_a_wrong_key_proves_nothing(
        self, bench: Bench, tmp_path: Path, keys: str
    ) -> None:
        (tmp_path / "keys").write_text(keys)
        assert await bench.say() == both("blind denied")

    async def test_an_object_that_is_gone_is_missing(self, bench: Bench, store: Store) -> None:
        assert await bench.say() == ALL_PASS
        await store.remove_object(f"{bench.settings.prefix}/gslb/main/sentinel")
        assert await bench.say() == {"store.write": "pass", "store.read": "fail missing"}

    async def test_a_bucket_that_is_gone_is_missing_and_so_is_one_that_came_back_empty(
        self, bench: Bench, store: Store
    ) -> None:
        assert await bench.say() == ALL_PASS
        await store.remove_bucket()
        try:
            assert await bench.say() == both("fail missing")
        finally:
            await store.make_bucket()
        assert await bench.say() == {"store.write": "pass", "store.read": "fail missing"}
        bench.wire.sentinels.clear()
        assert await bench.say() == ALL_PASS

    async def test_a_killed_server_refuses(self, bench: Bench, store: Store) -> None:
        assert await bench.say() == ALL_PASS
        await store.kill()
        try:
            assert await bench.say() == both("fail refused")
        finally:
            await store.start_all()
        assert await bench.say() == ALL_PASS

    async def test_a_stopped_server_does_not_answer_in_time_and_late_writes_blame_nobody(
        self, bench: Bench, store: Store
    ) -> None:
        settings = bench.settings.model_copy(update={"timeout_s": 1.0})
        async with open_s3(settings, bench.wire) as probe:
            await until(lambda: passes(bench), limit_s=60, what="the store to pass")
            store.freeze()
            try:
                for _ in range(2):
                    assert told(await probe.run()) == both("fail timeout")
            finally:
                store.thaw()
            after = told(await probe.run())
            assert set(after.values()) <= {"pass", "fail timeout"}
        await until(lambda: passes(bench), limit_s=60, what="the store to pass again")


class TestRclone(StoreContract):
    @pytest.fixture
    def store(self, rclone: RcloneSite) -> RcloneSite:
        return rclone


class TestRgw(StoreContract):
    @pytest.fixture
    def store(self, ceph: CephSite) -> CephSite:
        return ceph

    async def test_a_suspended_user_is_denied(self, bench: Bench, store: CephSite) -> None:
        assert await bench.say() == ALL_PASS
        await store.suspend_user()
        try:
            assert await bench.say() == both("blind denied")
        finally:
            await store.enable_user()
        assert await bench.say() == ALL_PASS

    async def test_a_quota_that_is_reached_fails_writes_while_reads_pass(
        self, bench: Bench, store: CephSite
    ) -> None:
        assert await bench.say() == ALL_PASS
        await store.quota(1)
        try:
            seen = await bench.look()
            assert told(seen) == {**ALL_PASS, "store.write": "fail io"}
            assert found(seen, "store.write").detail == "put: 403 QuotaExceeded"
        finally:
            await store.quota(None)
        assert await bench.say() == ALL_PASS

    async def test_paused_osds_time_out_while_the_front_answers(
        self, bench: Bench, store: CephSite
    ) -> None:
        assert await bench.say() == ALL_PASS
        await store.pause()
        try:
            assert await bench.say(timeout_s=0.5) == both("fail timeout")
            assert await store.answers(), "the front page of an RGW says nothing of its OSDs"
        finally:
            await store.unpause()
        await until(lambda: passes(bench), limit_s=30, what="the RGW to serve again")

    async def test_a_frozen_osd_times_out(self, bench: Bench, store: CephSite) -> None:
        assert await bench.say() == ALL_PASS
        store.freeze("osd")
        try:
            assert await bench.say(timeout_s=0.5) == both("fail timeout")
        finally:
            store.thaw("osd")
        await until(lambda: passes(bench), limit_s=30, what="the RGW to serve again")

    @pytest.mark.parametrize("shift", ["+1h", "-1h"])
    async def test_a_clock_of_ours_that_is_an_hour_off_proves_nothing(
        self, bench: Bench, tmp_path: Path, shift: str
    ) -> None:
        need_faketime()
        assert await bench.say() == ALL_PASS
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "tests.real.look"),
            *(f"{bench.settings.endpoint}/{BUCKET}", str(tmp_path), bench.settings.prefix),
            env=os.environ
            | {"LD_PRELOAD": FAKETIMES, "FAKETIME": shift, "DONT_FAKE_MONOTONIC": "1"},
            stdout=asyncio.subprocess.PIPE,
        )
        said, _ = await process.communicate()
        assert json.loads(said) == both("blind clock")


def need_faketime() -> None:
    if not Path(FAKETIMES).exists():
        missing(f"no {FAKETIMES}: libfaketime is not installed")


async def passes(bench: Bench) -> bool:
    return await bench.say() == ALL_PASS
