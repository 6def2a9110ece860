"""A hostile target beside fifty sound ones: it costs its own probes their time, and nobody else's.

The real house: configuration, pacer, loop and wire; the probes are those of a store, of a Quay and
of any HTTP endpoint, all sent to the same hostile server.
"""

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from gslb.domain.health import Cause, Track
from gslb.wiring import open_house
from gslb.wiring.parts import House
from tests.hostile.targets import OK, TARGETS, Act, Server, redirect, said, serving
from tests.kit import until

SOUND = tuple(f"sound{number:02}" for number in range(50))
MEMORY_MAX_B = 32 << 20
ROUNDS = 2
ENDS_BY = {
    Cause.TIMEOUT: (
        *("endless chunk extension", "1xx flood", "early hints flood", "drip", "drip of the head"),
        *("silent", "length too long and held", "slow handshake"),
    ),
    Cause.REFUSED: ("gone", "length too long", "chunk cut"),
    Cause.TLS: ("handshake of noise",),
}
"""What the probes find; of all others, that the answer is not what it should be."""
HEALTHY = said(OK + b"Content-Length: 7\r\n\r\nhealthy")
STORE = ("store.write", "store.read")
ASPECTS = (*STORE, "quay.front", "quay.storage", "web")


def configuration(folder: Path, sound: Server, hostile: Server, *, tls: bool) -> Path:
    keys = folder / "store.keys"
    keys.touch(mode=0o600)
    keys.write_text("fake-key\nfake-secret\n")
    asks = f"kind: http, tls: {str(tls).lower()}, body: healthy, timeout: 600ms, follow: 3"
    store = f"http{'s' * tls}://127.0.0.1:{hostile.port}/quay"
    lines = [
        "cluster: hostile",
        "limits: {min_sites: 1}",
        "timing: {interval: 400ms, timeout: 600ms, confirm: 400ms, endtoend_pace: 1s,",
        "         endtoend_deadline: 1s}",
        f"store: {{sqlite: {folder}/gslb.db}}",
        f"api: {{listen: '127.0.0.1:0', socket: {folder}/api.sock}}",
        "probe_networks: [127.0.0.1/32]",
        "services:",
        f"  quay.example.com: {{kind: quay, port: {hostile.port}, tls: {str(tls).lower()},",
        "                     sites: {hostile: {}}}",
        "sites:",
        f"  hostile: {{address: 127.0.0.1, storage: {{s3: '{store}', keys: 'file:{keys}'}},",
        f"            probes: {{web: {{{asks}, port: {hostile.port}}}}}}}",
    ]
    asks = f"kind: http, tls: false, body: healthy, port: {sound.port}, timeout: 10s"
    lines += [f"  {name}: {{address: 127.0.0.1, probes: {{web: {{{asks}}}}}}}" for name in SOUND]
    path = folder / "gslb.yml"
    path.write_text("\n".join(lines))
    return path


def track(house: House, site: str, aspect: str) -> Track:
    world = house.controller.world
    found = (t for k, t in world.tracks.items() if (k.site, k.aspect) == (site, aspect))
    return next(found, Track())


def memory_b() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))


class Meeting:
    """A house that looks at a hostile target and at fifty sound ones."""

    def __init__(self, house: House, hostile: Server) -> None:
        self.house, self.hostile = house, hostile
        self.begun_b = self.most_b = memory_b()

    def strip(self, site: str, aspect: str) -> str:
        """Its results so far (a track holds sixty of them)."""
        self.most_b = max(self.most_b, memory_b())
        return track(self.house, site, aspect).strip

    def strips(self) -> dict[str, int]:
        return {site: len(self.strip(site, "web")) for site in SOUND}

    async def rounds(self, number: int) -> None:
        """Until each probe of the hostile target has ended so many more times."""
        wanted = {aspect: len(self.strip("hostile", aspect)) + number for aspect in ASPECTS}
        await until(
            lambda: all(len(self.strip("hostile", a)) >= n for a, n in wanted.items()),
            60,
            what=f"{number} more results of each probe of the hostile target",
        )

    def causes(self, aspect: str) -> set[Cause]:
        found = track(self.house, "hostile", aspect)
        return {*found.causes, *([found.blind_cause] if found.blind_cause else [])}


@asynccontextmanager
async def meeting(folder: Path, act: Act, *, tls: bool = False) -> AsyncIterator[Meeting]:
    before = descriptors()
    async with serving(HEALTHY) as sound, serving(act) as hostile:
        path = configuration(folder, sound, hostile, tls=tls)
        async with open_house(path, log=False) as house:
            await until(lambda: all(track(house, site, "web").strip for site in SOUND), 60)
            yield Meeting(house, hostile)
        await until(lambda: hostile.open == 0, 10, what="every connection is closed")
    await until(lambda: descriptors() <= before, 10, what="no descriptor is left")


@pytest.mark.parametrize("name", TARGETS)
async def test_a_hostile_target_hurts_its_own_probes_only(tmp_path: Path, name: str) -> None:
    expected = next((c for c, names in ENDS_BY.items() if name in names), Cause.MISMATCH)
    async with meeting(tmp_path, TARGETS[name], tls="handshake" in name) as met:
        sound = met.strips()
        await met.rounds(ROUNDS)
        behind = {site: n for site, n in met.strips().items() if n <= sound[site]}
        assert not behind, "some waited for the hostile one"
        assert {c for site in SOUND for c in met.strip(site, "web")} == {"+"}
        assert met.most_b - met.begun_b < MEMORY_MAX_B
        for aspect in ASPECTS:
            # The pacer ends a run that does not end by itself, and says so in other words.
            assert "no answer within" not in track(met.house, "hostile", aspect).detail
        assert met.causes("quay.storage") == {Cause.SLOW}, "endtoend blames nobody for silence"
        if name != "metadata":
            assert met.causes("web") == {expected}
        assert met.causes("quay.front") == {expected}
        for aspect in STORE:
            assert met.causes(aspect) <= {expected, Cause.IO}
        assert "+" not in met.strip("hostile", "store.write")


async def test_a_redirect_leads_to_no_address_that_is_closed(tmp_path: Path) -> None:
    async with serving(HEALTHY, "127.0.0.9") as secrets:
        act = redirect(f"http://127.0.0.9:{secrets.port}/latest/meta-data/")
        async with meeting(tmp_path, act) as met:
            await met.rounds(ROUNDS)
            found = track(met.house, "hostile", "web")
            assert met.causes("web") == {Cause.LOCAL}
            assert "127.0.0.9 is not probed" in found.detail
            assert met.hostile.asked
    assert secrets.asked == 0


async def test_the_same_redirect_leads_there_once_that_is_opened(tmp_path: Path) -> None:
    """So that the test above is known to be able to fail."""
    async with serving(HEALTHY) as there:
        act = redirect(f"http://127.0.0.1:{there.port}/latest/meta-data/")
        async with meeting(tmp_path, act) as met:
            await met.rounds(ROUNDS)
            assert set(met.strip("hostile", "web")) == {"+"}
    assert there.asked
