"""Two controllers on one zone: nobody out-bids anybody (evidence.md 8)."""

import asyncio
import json
import shutil
import time
from pathlib import Path

import pytest

from tests.adversary.place import ALL, Gslb, Place, opened
from tests.kit import until

pytestmark = pytest.mark.real
NEEDS_YOU = 3


async def conflict(one: Gslb) -> str:
    """What it says of its backend, or nothing."""
    backends = (await one.get("/v1/backends")).get("backends", [])
    return next((str(b.get("conflict") or "") for b in backends), "")


def sent(one: Gslb) -> list[str]:
    """The plans that it sent, as its own history has them."""
    lines = [json.loads(line) for line in (one.folder / "history").read_text().splitlines()]
    return [line for line in lines if line["kind"] == "call" and line["op"] == "apply"]


async def is_quiet(place: Place, for_s: float, most: int) -> None:
    """The zone changes at most so often in this time."""
    begun_s, asked, first = time.monotonic(), place.watch.asked, await place.serial()
    await until(lambda: time.monotonic() - begun_s > for_s, for_s + 5, 0.1)
    assert await place.serial() - first <= most
    assert place.watch.asked > asked


def length_s(config: pytest.Config) -> float:
    return 60.0 if config.getoption("--long") else 8.0


@pytest.mark.timeout(240)
async def test_with_a_state_of_its_own_the_second_never_writes_and_names_the_first(
    tmp_path: Path, pytestconfig: pytest.Config
) -> None:
    async with opened(tmp_path) as place:
        first, second = place.controller("first"), place.controller("second")
        await first.start()
        await place.serves(ALL)
        _, _, instance, epoch, _ = await place.generation()
        await second.start()
        await until(lambda: conflict(second), 60, 0.2, what=second.log[-2000:])
        assert f"another instance of this cluster, {instance}" in await conflict(second)
        assert second.said("conflict", instance)
        code, text = await second.gslb("status")
        assert code == NEEDS_YOU
        assert instance in text
        await is_quiet(place, length_s(pytestconfig), most=0)
        serial = await place.serial()
        await place.town.set_fault("eu", "store", "500")
        await place.serves(ALL - {"eu"})
        assert not await second.drain("us"), "the guard `foreign` holds for people too"
        await second.kill()
        await second.start()
        await until(lambda: conflict(second), 60, 0.2)
        await is_quiet(place, 4.0, most=0)
        assert await place.serial() == serial + 1, "the drain of the first, once"
        assert sent(second) == []
        assert len(sent(first)) == len({line["seq"] for line in sent(first)})
        assert (await place.generation())[2:4] == [instance, epoch]
        assert not await conflict(first)


@pytest.mark.timeout(240)
@pytest.mark.parametrize("copied", ["stopped", "stopped-at-once", "running"])
async def test_of_a_copied_state_one_stops_for_good_and_says_so(
    tmp_path: Path, pytestconfig: pytest.Config, copied: str
) -> None:
    async with opened(tmp_path) as place:
        one, two = place.controller("one"), place.controller("two")
        await one.start()
        await place.serves(ALL)
        if copied == "running":
            copy(one, two)
            await two.start()
        else:
            await one.kill()
            copy(one, two)
            serial = await place.serial()
            await one.start()
            if copied == "stopped":  # and else both begin together
                await until(lambda: place_is_raised(place, serial), 60, 0.1)
            await two.start()
        loser, winner = await who_stopped(one, two)
        assert loser is (one if copied == "running" else two) or copied == "stopped-at-once"
        assert loser.said("conflict", "nothing is written there until `gslb adopt dns`")
        assert (await loser.gslb("status"))[0] == NEEDS_YOU
        await is_quiet(place, length_s(pytestconfig), most=1)
        sent_before = len(sent(loser))
        await place.town.set_fault("eu", "store", "500")
        await place.serves(ALL - {"eu"})
        await loser.kill()
        await loser.start()
        await until(lambda: conflict(loser), 60, 0.2, what="it stays so after a restart")
        await place.town.mend()
        await place.serves(ALL)
        assert not await conflict(winner)
        assert len(sent(loser)) == sent_before
        await until(lambda: has_read(loser, place), 30, 0.2, what="it takes over from what it read")
        code, said = await loser.gslb("adopt", "dns", "--reason", "the other is gone", "--yes")
        assert code == 0, said
        try:
            async with asyncio.timeout(30):
                await until(lambda: conflict(winner), 60, 0.2)
        except TimeoutError:
            raise AssertionError(f"{await place.generation()}\n{loser.log[-2500:]}") from None
        assert not await conflict(loser)
        assert await loser.drain("us")
        await place.serves(ALL - {"us"})


async def has_read(one: Gslb, place: Place) -> bool:
    """Does it know the generation that stands there now?"""
    backends = (await one.get("/v1/backends")).get("backends", [])
    return [b.get("generation") for b in backends] == [" ".join(await place.generation())]


async def place_is_raised(place: Place, serial: int) -> bool:
    return await place.serial() != serial


def copy(one: Gslb, two: Gslb) -> None:
    """As `cp` or a snapshot of the machine does it: the file and its log, whenever."""
    for path in one.folder.glob("demo.db*"):
        if not path.name.endswith(".lock"):
            shutil.copy(path, two.folder / path.name)


async def who_stopped(one: Gslb, two: Gslb) -> tuple[Gslb, Gslb]:
    """The one in conflict, and the other; both are asked again, so that it is not both."""

    async def one_is() -> bool:
        return bool(await conflict(one)) is not bool(await conflict(two))

    tails = lambda: one.log[-1500:] + "\n" + two.log[-1500:]  # noqa: E731
    try:
        async with asyncio.timeout(60):
            await until(one_is, 100, 0.2)
    except TimeoutError:
        raise AssertionError(f"nobody stopped, or both did\n{tails()}") from None
    return (one, two) if await conflict(one) else (two, one)
