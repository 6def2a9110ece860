"""The disk below the state is full, read-only, or hangs: steering goes on, and says so.

In a mount namespace of the controller's own, so root is needed; nothing of it is seen outside.
"""

import asyncio
import json
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.adversary.place import ALL, RESTART_S, Gslb, Place, opened
from tests.e2e.processes import end
from tests.kit import missing, need, until

pytestmark = [pytest.mark.real, pytest.mark.timeout(240)]
FAILED = 1


@dataclass(frozen=True)
class Disk:
    """An ext4 of 16 MiB in a mount namespace of its own, which a process that waits keeps open."""

    holder: asyncio.subprocess.Process
    image: Path
    place: Path
    """Where it is mounted, there."""

    @property
    def enter(self) -> tuple[str, ...]:
        return (need("nsenter"), "-t", str(self.holder.pid), "-m", f"--wd={Path.cwd()}")

    @property
    def seen(self) -> Path:
        """It, from outside."""
        return Path(f"/proc/{self.holder.pid}/root{self.place}")

    async def run(self, *command: str, codes: tuple[int, ...] = (0,)) -> None:
        process = await asyncio.create_subprocess_exec(*self.enter, *command)
        assert await process.wait() in codes, command

    def fill(self) -> None:
        """To the last byte."""
        with (self.seen / "filler").open("wb", buffering=0) as filler:
            for size in (4096, 1):
                with suppress(OSError):
                    while filler.write(bytes(size)):
                        pass


@asynccontextmanager
async def small_disk(folder: Path) -> AsyncIterator[Disk]:
    make, unshare = need("mkfs.ext4"), need("unshare")
    if os.geteuid() != 0:
        missing("only root may mount a small disk")
    image, place = folder / "image", folder / "state"
    place.mkdir()
    with image.open("wb") as file:
        file.truncate(16 * 1024 * 1024)
    made = await asyncio.create_subprocess_exec(make, "-q", "-F", "-m", "0", str(image))
    assert await made.wait() == 0
    mount = f"mount -o loop {image} {place} && echo ready && exec cat"
    pipe = asyncio.subprocess.PIPE
    command = (unshare, "-m", "--propagation", "private", "sh", "-c", mount)
    holder = await asyncio.create_subprocess_exec(*command, stdin=pipe, stdout=pipe)
    try:
        assert holder.stdout
        if await holder.stdout.readline() != b"ready\n":
            missing("no small disk can be mounted here")
        yield Disk(holder, image, place)
    finally:
        await end(holder)


@asynccontextmanager
async def controlled(folder: Path) -> AsyncIterator[tuple[Place, Gslb, Disk]]:
    """All are in, and the controller's state is on a small disk."""
    async with small_disk(folder) as disk, opened(folder) as place:
        one = place.controller("one", store={"sqlite": str(disk.place / "gslb.db")})
        one.prefix = disk.enter
        await one.start()
        await place.serves(ALL)
        assert (disk.seen / "gslb.db").exists()
        yield place, one, disk


async def steers_from_memory(one: Gslb, place: Place) -> None:
    """The store is gone: said everywhere; a site still leaves; no word can be kept."""
    await place.town.set_fault("eu", "store", "500")
    await place.serves(ALL - {"eu"})
    await until(lambda: store_is(one, 0.0), 30, 0.2, what=f"gslb_store_up 0\n{one.log[-2000:]}")
    assert one.said(" store the store fails: "), one.log[-2000:]
    body = {"action": "drain", "for": "2h", "reason": "disk swap CHG-4711"}
    status, problem = await one.ask("PUT", "/v1/sites/us/override", **body)
    assert status == 503, problem
    words = ("drain", "us", "--for", "2h", "--reason", "disk swap CHG-4711", "--yes")
    code, text = await one.gslb(*words)
    assert (code, "✗" in text) == (FAILED, True), text
    assert not await one.held_by_people()
    assert place.watch.now == ALL - {"eu"}


async def store_is(one: Gslb, up: float) -> bool:
    return await one.metric("gslb_store_up") == up


async def journaled(one: Gslb, *words: str) -> bool:
    """Is an event with all these words in the journal?"""
    events = (await one.get("/v1/events?limit=200")).get("events", [])
    return any(all(w in json.dumps(e, ensure_ascii=False) for w in words) for e in events)


async def is_mended(one: Gslb, place: Place) -> None:
    """It keeps again what fits: the journal of meanwhile, and words; a restart knows all."""
    await until(lambda: store_is(one, 1.0), 30, 0.2)
    await until(lambda: journaled(one, "− eu at dns"), 20, 0.2, what="journaled later")
    assert await one.drain("us")
    await place.serves(ALL - {"eu", "us"})
    await one.kill()
    await one.start()
    await until(lambda: one.held_by_people(), RESTART_S, 0.2)
    assert await one.held_by_people() == {"us"}
    assert await journaled(one, "− eu at dns")
    assert place.watch.now == ALL - {"eu", "us"}
    await place.town.mend()
    await place.serves(ALL - {"us"})


async def test_a_full_disk_stops_no_drain_and_loses_no_word_that_was_taken(tmp_path: Path) -> None:
    async with controlled(tmp_path) as (place, one, disk):
        disk.fill()
        await steers_from_memory(one, place)
        (disk.seen / "filler").unlink()
        await is_mended(one, place)


async def test_a_disk_that_hangs_holds_up_no_drain(tmp_path: Path) -> None:
    async with controlled(tmp_path) as (place, one, disk):
        await disk.run(need("fsfreeze"), "-f", str(disk.place))
        try:
            await steers_from_memory(one, place)
        finally:
            await disk.run(need("fsfreeze"), "-u", str(disk.place))
        await is_mended(one, place)


async def test_a_disk_that_breaks_becomes_read_only_and_a_start_on_it_is_refused(
    tmp_path: Path,
) -> None:
    async with controlled(tmp_path) as (place, one, disk):
        await disk.run("mount", "-o", "remount,abort", str(disk.place), codes=(0, 32))
        with pytest.raises(OSError, match="Read-only"):
            (disk.seen / "x").touch()
        await steers_from_memory(one, place)
        await one.kill()
        await one.start()
        await until(lambda: one.ended, RESTART_S)
        assert one.process is not None
        assert one.process.returncode == FAILED
        assert "✗" in one.log.splitlines()[-1]
        assert place.watch.now == ALL - {"eu"}, "what is served stays"
        await disk.run("umount", str(disk.place))
        await disk.run(need("e2fsck"), "-fy", str(disk.image), codes=(0, 1))
        await disk.run("mount", "-o", "loop", str(disk.image), str(disk.place))
        await one.start()
        await until(lambda: one.drain("us"), RESTART_S, 0.5, what="it runs, and has settled")
        await place.serves(ALL - {"eu", "us"})
        (disk.seen / "pause").touch()  # needs neither the API nor the store
        await until(lambda: one.paused(), 10, 0.2)
