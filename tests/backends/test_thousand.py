"""A thousand services move at once: in as few updates as fit, and beside `nsupdate`."""

import asyncio
import os
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import dns.exception
import pytest

from gslb.backends.rfc2136 import ROOM_BYTES, UPDATE_BYTES_MAX, Rfc2136, Settings
from gslb.domain.errors import BackendFenced
from gslb.domain.traffic import Change, Plan
from tests.backends.contract import FIRST, answer, plan, pool
from tests.backends.nameservers import KEY, Running, bind
from tests.backends.test_rfc2136 import key_file
from tests.kit import need

NAMES = [f"registry-{number}" for number in range(1000)]
POOLS = [
    pool(f"{name}.geo.test", {"eu": "192.0.2.10", "us": "192.0.2.20", "ap": "192.0.2.30"})
    for name in NAMES
]
ALL, LEFT = ("eu", "us", "ap"), ("us", "ap")
LIMIT = UPDATE_BYTES_MAX - ROOM_BYTES


def backend(one: Running, folder: Path) -> Rfc2136:
    given = {"server": str(one.server), "zone": "geo.test", "timeout_s": 10}
    return Rfc2136(Settings.model_validate(given | {"tsig": key_file(folder)}))


def drain() -> Plan:
    """One site leaves every answer."""
    leaves = replace(FIRST, seq=FIRST.seq + 100)
    changes = (Change(pool=p, before=answer(p, *ALL), after=answer(p, *LEFT)) for p in POOLS)
    return plan(*changes, expects=leaves, leaves=replace(leaves, seq=leaves.seq + 1))


def test_each_update_is_as_full_as_48_kib_allow() -> None:
    settings = Settings.model_validate({"server": "192.0.2.53", "zone": "geo.test"})
    ours, made = Rfc2136(settings), drain()
    parts = list(ours._parts(made))
    assert sum(map(len, parts)) == len(NAMES)
    assert made.leaves is not None
    for part, following in zip(parts, [*parts[1:], []], strict=True):
        wire = ours._message(made.expects, made.leaves, part).to_wire()
        assert len(wire) <= LIMIT
        if following:
            more = ours._message(made.expects, made.leaves, [*part, following[0]])
            with pytest.raises(dns.exception.TooBig):
                more.to_wire(max_size=LIMIT)


@pytest.mark.real
async def test_a_thousand_services_move_and_the_time_stands_beside_nsupdates(
    tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    async with bind(tmp_path / "server", NAMES) as one:
        ours = backend(one, tmp_path)
        first = plan(
            *(Change(pool=p, before=None, after=answer(p, *ALL)) for p in POOLS),
            expects=None,
            leaves=FIRST,
        )
        await ours.apply(first)
        held = (await ours.read(POOLS)).generation
        assert held is not None
        assert held.seq > FIRST.seq
        by_hand_s = await nsupdate(one, tmp_path, remove="192.0.2.10")
        await nsupdate(one, tmp_path, add="192.0.2.10")
        moved = replace(drain(), expects=held, leaves=replace(held, seq=held.seq + 1))
        began_s = time.monotonic()
        await ours.apply(moved)
        ours_s = time.monotonic() - began_s
        reading = await ours.read(POOLS)
        assert reading.answers == {p.service: answer(p, *LEFT) for p in POOLS}
        assert reading.generation == replace(held, seq=held.seq + len(list(ours._parts(moved))))
        with pytest.raises(BackendFenced):
            await ours.apply(moved)
    record_property(
        "figure",
        f"1,000 services moved in {ours_s:.2f} s; nsupdate {by_hand_s:.2f} s beside it,"
        f" so {ours_s / by_hand_s:.1f} times its time",
    )


async def nsupdate(one: Running, folder: Path, *, remove: str = "", add: str = "") -> float:
    """The same change by BIND's own tool, 500 names a message; gives its seconds."""
    (folder / "nsupdate.key").write_text(KEY)
    lines = [f"server 127.0.0.1 {one.server.port}", "zone geo.test"]
    for number, name in enumerate(NAMES, 1):
        at = f"{name}.geo.test."
        lines.append(f"update delete {at} A {remove}" if remove else f"update add {at} 30 A {add}")
        lines += ["send"] if number % 500 == 0 else []
    began_s = time.monotonic()
    process = await asyncio.create_subprocess_exec(
        need("nsupdate"),
        *("-k", str(folder / "nsupdate.key")),
        stdin=asyncio.subprocess.PIPE,
        env=os.environ | {"LC_ALL": "C"},
    )
    await process.communicate("\n".join([*lines, ""]).encode())
    assert process.returncode == 0
    return time.monotonic() - began_s
