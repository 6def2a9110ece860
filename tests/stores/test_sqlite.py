import asyncio
import os
import re
import resource
import signal
import sqlite3
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from gslb.domain.errors import StoreError
from gslb.ports import Query, Store
from gslb.stores.sqlite import Settings, SqliteStore, open_sqlite
from tests.kit import until
from tests.stores.contract import Contract

WRITER = """
import asyncio, sys
from pathlib import Path
from gslb.stores.sqlite import Settings, open_sqlite
async def main():
    async with open_sqlite(Settings(path=Path(sys.argv[1])), None) as store:
        for n in range(1_000_000):
            await store.commit({"control/n": {"n": n}, f"memory/{n % 50}": {"n": n}})
            await store.append([{"n": n}])
            print(n, flush=True)
asyncio.run(main())
"""


def start(command: list[str]) -> "subprocess.Popen[str]":
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


class TestSqlite(Contract):
    @pytest.fixture
    async def store(self, tmp_path: Path) -> AsyncIterator[Store]:
        settings = Settings(path=tmp_path / "gslb.db", journal_max=50)
        async with open_sqlite(settings, None) as store:
            yield store


async def test_a_restart_keeps_everything_and_begins_a_new_term(tmp_path: Path) -> None:
    settings = Settings(path=tmp_path / "gslb.db")
    async with open_sqlite(settings, None) as store:
        await store.commit({"control/mode": {"mode": "live"}})
        await store.append([{"text": "a"}])
        first = await store.load()
    async with open_sqlite(settings, None) as store:
        second = await store.load()
        assert (second.instance, second.epoch) == (first.instance, first.epoch + 1)
        assert (second.revision, second.documents) == (1, {"control/mode": {"mode": "live"}})
        assert await store.append([{"text": "b"}]) == 2


async def test_two_stores_are_never_one_instance(tmp_path: Path) -> None:
    seen = set()
    for name in ("a.db", "b.db"):
        async with open_sqlite(Settings(path=tmp_path / name), None) as store:
            seen.add((await store.load()).instance)
    assert len(seen) == 2


async def test_kill_9_loses_nothing_that_was_acknowledged(tmp_path: Path) -> None:
    path = tmp_path / "gslb.db"
    for round_ in range(1, 4):
        command = [sys.executable, "-c", WRITER, str(path)]
        with start(command) as writer:
            assert writer.stdout is not None
            for line in writer.stdout:
                if int(line) >= 20 * round_:
                    break
            writer.send_signal(signal.SIGKILL)
            told = [int(line) for line in writer.stdout if line.strip().isdigit()]
        async with open_sqlite(Settings(path=path), None) as store:
            kept = await store.load()
            written = kept.documents["control/n"]["n"]
            assert written >= max([20 * round_, *told])
            assert kept.documents[f"memory/{written % 50}"] == {"n": written}, "all or nothing"
            assert kept.epoch == 2 * round_
            assert (await store.read(Query(limit=1)))[0].document["n"] in (written - 1, written)


async def test_a_second_process_is_told_who_holds_the_store(tmp_path: Path) -> None:
    path = tmp_path / "gslb.db"
    command = [sys.executable, "-c", WRITER, str(path)]
    with start(command) as writer:
        try:
            assert writer.stdout is not None
            writer.stdout.readline()
            said = f"{path}: another gslb (process {writer.pid}) holds this store"
            with pytest.raises(StoreError, match=re.escape(said)):
                async with open_sqlite(Settings(path=path), None):
                    pass
        finally:
            writer.kill()


async def test_the_same_process_cannot_open_it_twice_but_can_after_it_was_closed(
    tmp_path: Path,
) -> None:
    settings = Settings(path=tmp_path / "gslb.db")
    async with open_sqlite(settings, None) as first:
        with pytest.raises(StoreError, match="holds this store"):
            async with open_sqlite(settings, None):
                pass
        await first.commit({"memory/eu": {}})
    async with open_sqlite(settings, None) as again:
        assert (await again.load()).epoch == 2
    with pytest.raises(StoreError, match="is closed"):
        await first.load()


async def test_another_program_that_holds_the_file_is_named_as_such(tmp_path: Path) -> None:
    path = tmp_path / "gslb.db"
    other = sqlite3.connect(path)
    try:
        other.execute("BEGIN EXCLUSIVE")
        with pytest.raises(StoreError, match="another process has it open"):
            async with open_sqlite(Settings(path=path), None):
                pass
    finally:
        other.close()


async def test_a_store_of_a_newer_gslb_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "gslb.db"
    async with open_sqlite(Settings(path=path), None):
        pass
    with sqlite3.connect(path) as newer:
        newer.execute("UPDATE identity SET schema = 99")
    newer.close()
    with pytest.raises(StoreError, match="written by a newer gslb"):
        async with open_sqlite(Settings(path=path), None):
            pass
    with sqlite3.connect(path) as unchanged:
        assert unchanged.execute("SELECT epoch FROM identity").fetchone() == (1,)
    unchanged.close()


async def test_a_file_that_is_no_store_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "gslb.db"
    path.write_text("these are no pages of a database " * 100)
    before = path.read_bytes()
    with pytest.raises(StoreError, match="no SQLite file"):
        async with open_sqlite(Settings(path=path), None):
            pass
    assert path.read_bytes() == before


async def test_a_missing_folder_is_named(tmp_path: Path) -> None:
    path = tmp_path / "nowhere" / "gslb.db"
    with pytest.raises(StoreError, match=re.escape(f"{path}: No such file or directory")):
        async with open_sqlite(Settings(path=path), None):
            pass


def run_limited(script: str, *arguments: str, uid: int | None = None, bytes_max: int = -1) -> str:
    """What a process with less rights or room prints."""

    def limit() -> None:
        if bytes_max >= 0:
            resource.setrlimit(resource.RLIMIT_FSIZE, (bytes_max, bytes_max))
            signal.signal(signal.SIGXFSZ, signal.SIG_IGN)

    done = subprocess.run(
        [sys.executable, "-c", script, *arguments],
        capture_output=True,
        text=True,
        timeout=60,
        user=uid if os.geteuid() == 0 else None,
        preexec_fn=limit,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


FILLS = """
import asyncio, sys
from pathlib import Path
from gslb.domain.errors import StoreError
from gslb.stores.sqlite import Settings, open_sqlite
async def main():
    async with open_sqlite(Settings(path=Path(sys.argv[1])), None) as store:
        await store.commit({"control/first": {"kept": True}})
        try:
            for n in range(10_000):
                await store.commit({f"memory/{n}": {"text": "x" * 4000}})
        except StoreError as error:
            print(error)
        print(sorted(await_keys := (await store.load()).documents)[0], len(await_keys) - 1 == n)
asyncio.run(main())
"""


def test_a_file_that_may_not_grow_is_said_and_what_was_kept_is_still_given(
    tmp_path: Path,
) -> None:
    path = tmp_path / "gslb.db"
    said, kept = run_limited(FILLS, str(path), bytes_max=400_000).splitlines()
    assert said.startswith(f"{path}: ")
    assert "full" in said
    assert kept == "control/first True"


def test_a_full_disk_is_said_and_what_was_kept_is_still_given(tmp_path: Path) -> None:
    mount = ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(tmp_path)]
    if os.geteuid() != 0 or subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("needs root and mount for a small tmpfs")
    try:
        said, kept = run_limited(FILLS, str(tmp_path / "gslb.db")).splitlines()
    finally:
        subprocess.run(["umount", str(tmp_path)], check=True)
    assert "the disk is full" in said
    assert kept == "control/first True"


def test_a_folder_that_cannot_be_written_is_said(tmp_path: Path) -> None:
    if os.geteuid() != 0:
        tmp_path.chmod(0o500)
    script = """
import asyncio, sys
from pathlib import Path
sys.path.insert(0, sys.argv[2])
from gslb.domain.errors import StoreError
from gslb.stores.sqlite import Settings, open_sqlite
import os
if os.geteuid() == 0:
    os.setgroups([]); os.setgid(65534); os.setuid(65534)
async def main():
    try:
        async with open_sqlite(Settings(path=Path("/") / sys.argv[1]), None):
            pass
    except StoreError as error:
        print(error)
asyncio.run(main())
"""
    folder = "/" if os.geteuid() == 0 else str(tmp_path)
    path = f"{folder.rstrip('/')}/gslb-never.db"
    assert run_limited(script, path, os.getcwd()) == f"{path}: Permission denied\n"


async def test_a_disk_that_hangs_holds_up_neither_the_loop_nor_the_end(tmp_path: Path) -> None:
    """A pipe in place of the disk: the thread waits in the kernel, the loop goes on."""
    store = SqliteStore(Settings(path=tmp_path / "gslb.db"))
    await store.open()
    read_end, write_end = os.pipe()
    hang = asyncio.create_task(store._send(lambda: os.read(read_end, 1)))
    abandoned = asyncio.create_task(store.commit({"control/late": {}}))
    await until(lambda: store._calls.qsize() == 1)
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(abandoned, 0.05)
    os.write(write_end, b"x")
    assert await hang == b"x"
    assert (await store.load()).documents == {}, "what nobody waited for was not begun"
    await store.close()
    os.close(read_end)
    os.close(write_end)


def test_a_process_whose_disk_hangs_still_ends(tmp_path: Path) -> None:
    script = """
import asyncio, os, sys
from pathlib import Path
import gslb.stores.sqlite as sqlite
sqlite.CLOSE_S = 0.1
async def main():
    async with sqlite.open_sqlite(sqlite.Settings(path=Path(sys.argv[1])), None) as store:
        pipe = os.pipe()
        hang = asyncio.create_task(store._send(lambda: os.read(pipe[0], 1)))
        while store._calls.qsize():
            await asyncio.sleep(0.01)
    hang.cancel()
    print("ended")
asyncio.run(main())
"""
    assert run_limited(script, str(tmp_path / "gslb.db")) == "ended\n"


async def test_a_queue_that_grows_without_end_is_refused(tmp_path: Path) -> None:
    store = SqliteStore(Settings(path=tmp_path / "gslb.db"))
    await store.open()
    read_end, write_end = os.pipe()
    hang = asyncio.create_task(store._send(lambda: os.read(read_end, 1)))
    waiting = [asyncio.create_task(store.append([{}])) for _ in range(1001)]
    await until(lambda: store._calls.qsize() >= 1000)
    with pytest.raises(StoreError, match="1000 calls wait"):
        await store.append([{}])
    os.write(write_end, b"x")
    await hang
    await asyncio.gather(*waiting, return_exceptions=True)
    await store.close()
    os.close(read_end)
    os.close(write_end)


async def test_the_file_is_durable_at_each_commit(tmp_path: Path) -> None:
    store = SqliteStore(Settings(path=tmp_path / "gslb.db"))
    await store.open()
    read = "SELECT (SELECT * FROM pragma_journal_mode), (SELECT * FROM pragma_synchronous)"
    assert await store._send(lambda: store._db.execute(read).fetchone()) == ("wal", 2)
    await store.close()
    assert sorted(os.listdir(tmp_path)) == ["gslb.db", "gslb.db.lock"]
