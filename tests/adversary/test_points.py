"""Each named point of the real code × kill -9, SIGSTOP, an exception that nobody expects, a hang.

In every cell a person drained a site, or paused automation, before; what is broken at the point is
the plan that takes another site out. In the end what is served is what is wanted, and every word
that was acknowledged is still there.
"""

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.adversary.place import ALL, SERVICE, ZONE, Gslb, Place, opened
from tests.kit import until

pytestmark = pytest.mark.real
POINTS = {
    "after_verdict": 1,
    "after_save": 1,
    "after_send": 1,
    "before_record": 1,
    "between_updates": 1,
    "between_backends": 2,
}
"""And at the how-manieth passing: one backend's plan has gone on when the other's is broken."""
KINDS = ("kill", "stop", "exception", "hang")
USUAL = {
    ("after_verdict", "kill"),
    ("after_save", "exception"),
    ("after_send", "hang"),
    ("before_record", "stop"),
    ("between_updates", "kill"),
    ("between_backends", "exception"),
}
HUNG_S = 120.0
"""A plan that hangs is given up after 75 s."""
MANY = [SERVICE, *(".".join(f"{n}{c * 50}" for c in "abc") + f".{ZONE}" for n in range(120))]
"""So long that not all of them fit into one update of 48 KiB."""


def cells() -> Iterator[object]:
    for number, point in enumerate(POINTS):
        for kind in KINDS:
            marks = [] if (point, kind) in USUAL else [pytest.mark.long]
            number += 1
            yield pytest.param(point, kind, number % 2 == 0, id=f"{point}-{kind}", marks=marks)


@pytest.mark.timeout(400)
@pytest.mark.parametrize(("point", "kind", "paused"), [*cells()])
async def test_whatever_happens_at_a_point_what_is_served_is_wanted_and_words_are_kept(
    tmp_path: Path, point: str, kind: str, paused: bool, pytestconfig: pytest.Config
) -> None:
    services = MANY if point == "between_updates" else [SERVICE]
    balanced = point == "between_backends"
    async with opened(tmp_path, services=services, balanced=balanced) as place:
        one = place.controller("one")
        await one.start()
        await place.serves(ALL)
        assert one.said("GSLB_FAULT_POINT is set"), "a process that can be broken says so"
        if paused:
            assert await one.tell("PUT", "/v1/pause", reason="core switch CHG-4712")
        else:
            assert await one.drain("ap")
            await place.serves(ALL - {"ap"})
        one.arm(point, kind, POINTS[point])
        if paused:
            await one.drain("eu")  # kept before it is carried out, so whatever is answered
        else:
            await place.town.set_fault("eu", "store", "500")
        await until(lambda: not one.armed.exists(), 30, 0.01, what=f"{point} is passed")
        await recovers(one, place, kind, 30.0 if pytestconfig.getoption("--long") else 3.0)
        await is_whole_again(one, place, paused)
        await place.serves(ALL)
        assert place.violations() == []


async def recovers(one: Gslb, place: Place, kind: str, stopped_s: float) -> None:
    if kind in ("kill", "exception"):
        await until(lambda: one.ended, 20, what=f"the process ends\n{one.log[-2000:]}")
        assert one.process is not None
        assert one.process.returncode
        await one.start()
    elif kind == "stop":
        await until(lambda: one.stopped, 10)
        asked, begun_s = place.watch.asked, time.monotonic()
        await until(lambda: time.monotonic() - begun_s > stopped_s, stopped_s + 5)
        assert place.watch.asked > asked, "served all the while"
        await one.goes_on()


async def is_whole_again(one: Gslb, place: Place, paused: bool) -> None:
    """The plan that was broken is carried out; the words are kept; and all comes back."""
    out, word = ("eu", "eu") if paused else ("eu", "ap")
    await place.serves(ALL - {out, word}, HUNG_S)
    await until(lambda: one.held_by_people(), 30, 0.2)
    assert await one.held_by_people() == {word}
    assert await one.paused() is paused
    await place.town.mend()
    if not paused:
        await place.serves(ALL - {word}, HUNG_S)
    assert await one.undrain(word)
    await place.serves(ALL, HUNG_S)
    if paused:
        assert await one.paused()
        assert await one.tell("DELETE", "/v1/pause")
