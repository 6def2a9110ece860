"""What the real probes make of each fault: the imitations must look to them as the real ones do."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from gslb.demo.sites import QuaySite
from gslb.demo.town import SERVICE, Town, open_town
from gslb.domain.health import RegistryFacts, Seen
from gslb.ports import Probe
from gslb.probes import quay, s3
from gslb.wire import Wire
from gslb.wire.http import open_http

LIMIT_S = 0.6


@pytest.fixture
async def town() -> AsyncIterator[Town]:
    async with open_town(pace=0.05, slow_s=0.2) as opened:
        yield opened


@pytest.fixture
async def wire() -> AsyncIterator[Wire]:
    networks = ("127.0.0.0/8",)
    async with open_http(networks) as http:
        yield Wire(http=http)


@pytest.fixture
async def store(town: Town, wire: Wire, tmp_path: Path) -> AsyncIterator[Probe]:
    keys = tmp_path / "keys"
    keys.touch(0o600)
    keys.write_text("\n".join(town.controller_key))
    endpoint, _, bucket = town.stores["eu"].path_url.rpartition("/")
    given = {"endpoint": endpoint, "bucket": bucket, "keys": f"file:{keys}", "timeout_s": LIMIT_S}
    settings = s3.Settings.model_validate({**given, "cluster": "demo", "owner": "here"})
    async with s3.open_s3(settings, wire) as probe:
        assert words(await probe.run()) == "write pass, read pass, list pass"
        yield probe


def words(seen: Seen) -> str:
    """`write fail io, read pass`."""
    each = (
        f"{f.aspect.partition('.')[2]} {f.outcome}{f' {f.cause}' if f.cause else ''}"
        for f in seen.findings
    )
    return ", ".join(each)


@pytest.mark.parametrize(
    ("fault", "wanted"),
    [
        ("refuse", "write fail refused, read fail refused"),
        ("hang", "write fail timeout, read fail timeout"),
        ("drip", "write fail timeout, read fail timeout"),
        ("500", "write fail io, read fail io"),
        ("503", "write fail overload, read fail overload"),
        ("404", "write fail missing, read fail missing"),
        ("403", "write blind denied, read blind denied"),
        ("507", "write fail io, read pass"),
        ("lost-writes", "write fail io, read pass"),
        ("failing-reads", "write pass, read fail io"),
    ],
)
async def test_the_store_probe_sees_each_fault_and_its_end(
    town: Town, store: Probe, fault: str, wanted: str
):
    await town.set_fault("eu", "store", fault)
    assert words(await store.run()).removesuffix(", list pass") == wanted
    await town.mend("eu")
    assert words(await store.run()) == "write pass, read pass, list pass"


async def test_a_slow_store_passes_late(town: Town, store: Probe):
    await town.set_fault("eu", "store", "slow")
    seen = await store.run()
    assert words(seen) == "write pass, read pass, list pass"
    assert all(finding.latency_s >= 0.2 for finding in seen.findings)


async def test_half_the_requests_fail_every_run(town: Town, store: Probe):
    await town.set_fault("eu", "store", "half")
    assert all([" fail io" in words(await store.run()) for _ in range(6)])


def asked(site: QuaySite, part: str) -> quay.Settings:
    address = site.url.split("/")[2].split(":")[0]
    given = {"part": part, "address": address, "port": site.port, "name": SERVICE, "tls": False}
    return quay.Settings.model_validate({**given, "timeout_s": LIMIT_S, "deadline_s": 10})


@pytest.mark.parametrize(
    ("fault", "wanted"),
    [
        (None, "front pass"),
        ("refuse", "front fail refused"),
        ("hang", "front fail timeout"),
        ("drip", "front fail timeout"),
        ("503", "front fail gateway"),
        ("500", "front fail gateway"),
    ],
)
async def test_the_front_probe_sees_each_fault(
    town: Town, wire: Wire, fault: str | None, wanted: str
):
    await town.set_fault("eu", "quay", fault)
    async with quay.open_quay(asked(town.sites["eu"], "front"), wire) as probe:
        assert words(await probe.run()).split(",")[0] == wanted


@pytest.mark.parametrize(
    ("part", "fault", "wanted"),
    [
        ("path", "refuse", "pass pass pass pass"),
        ("store", "404", "pass fail pass pass"),
        ("store", "refuse", "pass fail pass pass"),
        ("database", "refuse", "fail pass pass pass"),
        ("redis", "hang", "pass pass pass fail"),
        ("quay", "503", "blind blind blind blind"),
    ],
)
async def test_the_endtoend_probe_reads_quays_own_word(
    town: Town, wire: Wire, part: str, fault: str, wanted: str
):
    await town.set_fault("eu", part, fault)
    async with quay.open_quay(asked(town.sites["eu"], "endtoend"), wire) as probe:
        found = {f.aspect: str(f.outcome) for f in (await probe.run()).findings}
    order = ("quay.database", "quay.storage", "quay.auth", "quay.redis")
    assert " ".join(found[aspect] for aspect in order) == wanted


async def test_the_registrys_facts_are_read(town: Town, wire: Wire):
    town.sites["eu"].readonly = True
    async with quay.open_quay(asked(town.sites["eu"], "front"), wire) as probe:
        assert (await probe.run()).facts == RegistryFacts(version="3.18.0", readonly=True)
