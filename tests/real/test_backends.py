"""The real controller over real backends that break, are restored, or are edited by hand.

In the end what is served is what is wanted, or a conflict is named; no answer is ever empty.
"""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from gslb.domain.errors import BackendError, BackendFenced
from gslb.domain.messages import EventKind
from gslb.domain.traffic import Change
from gslb.ports import Backend
from tests.backends.contract import FIRST, answer, plan
from tests.kit import until
from tests.real.places import ALL, SERVICE, Place, opened
from tests.real.servers import LASTING, Nameserver, Server, serving

pytestmark = [pytest.mark.real, pytest.mark.timeout(240)]
DNS = ("bind", "knot", "powerdns")
USUAL = {
    "bind": {"hung", "read-only", "restored"},
    "knot": {"wrong-key", "restarted", "restored"},
    "powerdns": {"killed", "forgotten", "edited"},
    "haproxy": {"killed", "read-only", "restarted"},
}


def cases(*faults: str, kinds: tuple[str, ...] = (*DNS, "haproxy")) -> Iterator[object]:
    for kind in kinds:
        for fault in faults:
            if (kind, fault) == ("haproxy", "wrong-key"):
                continue  # its socket has no key
            marks = [] if fault in USUAL[kind] else [pytest.mark.long]
            yield pytest.param(kind, fault, id=f"{kind}-{fault}", marks=marks)


async def tries(alone: Backend, server: Server) -> type[BackendError] | None:
    """What the adapter raises for a change; nothing else than a BackendError may come out."""
    both, most = answer(server.pool, *ALL), answer(server.pool, *(ALL - {"us"}))
    fenced = isinstance(server, Nameserver)
    leaves = replace(FIRST, epoch=99) if fenced else None
    change = Change(pool=server.pool, before=both, after=most)
    try:
        await alone.apply(plan(change, expects=None, leaves=leaves))
    except BackendError as error:
        return type(error)
    return None


@pytest.mark.parametrize(("kind", "fault"), [*cases(*LASTING)])
async def test_a_fault_that_lasts_is_told_and_afterwards_what_is_wanted_is_served(
    tmp_path: Path, kind: str, fault: str
) -> None:
    async with (
        serving(kind, tmp_path) as server,
        opened(tmp_path / "gslb", server.config, server.shown) as place,
    ):
        alone = server.adapter()
        place.events.clear()
        async with server.broken(fault):
            raised = await tries(alone, server)
            assert raised is not None
            if (kind, fault) != ("bind", "read-only"):  # it compares before it asks who may
                assert not issubclass(raised, BackendFenced)
            await place.drain("eu")
            await until(lambda: place.said(EventKind.BACKEND, "b: "), 30, what="it is told")
            assert place.view.conflict is None
        await place.serves("eu")
        await place.undrain("eu")
        await place.serves()


@pytest.mark.parametrize(("kind", "fault"), [*cases("restarted")])
async def test_a_server_that_is_restarted_as_it_is_written_to_ends_as_wanted(
    tmp_path: Path, kind: str, fault: str
) -> None:
    async with (
        serving(kind, tmp_path) as server,
        opened(tmp_path / "gslb", server.config, server.shown) as place,
    ):
        for site in ("eu", "us", "ap"):
            await place.drain(site)
            await until(lambda: place.view.sent is not None, 20, 0.001, what="a plan is sent")
            await server.kill()
            await server.start()
            await place.serves(site)
            await place.undrain(site)
            await until(lambda: place.view.sent is not None, 20, 0.001, what="a plan is sent")
            await server.kill()
            await server.start()
            await place.serves()


@pytest.mark.parametrize(("kind", "fault"), [*cases("restored", kinds=DNS)])
async def test_a_zone_restored_from_yesterday_is_continued_from(
    tmp_path: Path, kind: str, fault: str
) -> None:
    async with (
        serving(kind, tmp_path) as server,
        opened(tmp_path / "gslb", server.config, server.shown) as place,
    ):
        assert isinstance(server, Nameserver)
        await place.drain("eu")
        await place.serves("eu")
        await server.yesterday()
        old = await server.generation()
        await place.undrain("eu")
        await place.serves()
        await place.drain("us")
        await place.serves("us")
        assert await server.generation() != old
        await server.restore()
        assert await server.generation() == old
        await place.serves("us")
        assert place.view.conflict is None
        await place.undrain("us")
        await place.serves()


@pytest.mark.parametrize(("kind", "fault"), [*cases("forgotten", kinds=DNS)])
async def test_a_generation_that_somebody_deleted_is_made_again(
    tmp_path: Path, kind: str, fault: str
) -> None:
    async with (
        serving(kind, tmp_path) as server,
        opened(tmp_path / "gslb", server.config, server.shown) as place,
    ):
        assert isinstance(server, Nameserver)
        assert await server.generation()
        await server.forget_generation()
        assert not await server.generation()
        await place.drain("eu")
        await place.serves("eu")
        assert await server.generation()
        assert place.view.conflict is None


@pytest.mark.parametrize(("kind", "fault"), [*cases("edited")])
async def test_an_edit_by_hand_is_put_right_once_and_the_next_is_named(
    tmp_path: Path, kind: str, fault: str
) -> None:
    async with (
        serving(kind, tmp_path) as server,
        opened(tmp_path / "gslb", server.config, server.shown) as place,
    ):
        await place.drain("eu")
        await place.serves("eu")
        await place.undrain("eu")
        await place.serves()
        await server.edit()
        await until(lambda: place.said(EventKind.DRIFT, SERVICE), 30, what="the edit is told")
        await place.serves()
        await server.edit()
        if kind == "haproxy":  # nobody can fence there, so it is put right each time
            await place.serves()
            return
        await named(place)
        assert server.shown() == {"stranger"}, "left as the person made it"
        assert await place.word.tell("POST", "/v1/incidents/b/ack", reason="ours, CHG-4713")
        await place.serves()


async def named(place: Place) -> None:
    await until(lambda: SERVICE in place.view.edited, 30, what="the second edit is named")
