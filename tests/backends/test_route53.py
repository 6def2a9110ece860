"""Route 53 against a double as strict as the API reference; moto for request shapes only."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from gslb.backends.route53 import ADAPTER, Route53, Settings
from gslb.domain.errors import BackendError, BackendFenced, BackendRefused
from gslb.domain.traffic import Answer, Change, Target
from gslb.ports import Backend
from tests.backends.contract import FIRST, Bench, FencedContract, answer, plan, pool
from tests.backends.route53_double import Double
from tests.kit import free_port

V4 = {"eu": "192.0.2.10", "us": "192.0.2.20"}
POOLS = (pool("www.geo.test", V4), pool("api.geo.test", V4))


def settings(folder: Path, url: str, **more: Any) -> Settings:
    keys = folder / "aws.keys"
    keys.write_text("AKIAFAKE\nfake-secret\n")
    keys.chmod(0o600)
    text = {"zone": "Z1FAKE", "keys": f"file:{keys}", "endpoint": url, "timeout_s": 5}
    return Settings.model_validate(text | more)


@pytest.fixture
async def double() -> AsyncIterator[Double]:
    double = Double()
    double.put("geo.test.", "SOA", "ns. h. 1 1 1 1 1")
    double.put("other.geo.test.", "TXT", '"stays"')
    double.put("other.geo.test.", "A", "192.0.2.99")
    double.put("\\052.geo.test.", "A", "192.0.2.98")
    for one in POOLS:
        double.put(f"{one.service}.", "A", "192.0.2.10", SetIdentifier="eu", Weight="1")
    async with double.running():
        yield double


@pytest.fixture
async def opened() -> AsyncIterator[AsyncExitStack]:
    async with AsyncExitStack() as stack:
        yield stack


async def backend(opened: AsyncExitStack, folder: Path, url: str, **more: Any) -> Route53:
    return await opened.enter_async_context(ADAPTER.open(settings(folder, url, **more), None))


@pytest.fixture
async def bench(double: Double, opened: AsyncExitStack, tmp_path: Path) -> Bench:
    async def beside() -> object:
        return [one for key, one in double.sets.items() if key[0].startswith(("other", "\\"))]

    async def broken(fault: str) -> Backend:
        url = f"http://127.0.0.1:{free_port()}" if fault == "gone" else double.url
        double.fault = {"gone": "", "hung": "hang", "refusing": "AccessDenied"}[fault]
        return await backend(opened, tmp_path, url, timeout_s=0.5)

    return Bench(await backend(opened, tmp_path, double.url), POOLS, beside, broken)


class TestRoute53(FencedContract):
    async def test_each_site_and_type_is_one_weighted_set(
        self, bench: Bench, double: Double
    ) -> None:
        www = pool("www.geo.test", {"eu": ("192.0.2.10", "2001:db8::10"), "us": "192.0.2.20"})
        after = answer(www, eu=255, us=1)
        await bench.apply(Change(pool=www, before=answer(POOLS[0], "eu"), after=after))
        found = {
            (k[1], k[2]): one["Weight"] for k, one in double.sets.items() if k[0] == "www.geo.test."
        }
        assert found == {("A", "eu"): "255", ("AAAA", "eu"): "255", ("A", "us"): "1"}
        assert (await bench.backend.read([www])).answers == {www.service: after}

    async def test_addresses_and_a_host_name_take_turns(self, bench: Bench) -> None:
        www = pool("www.geo.test", {"eu": "192.0.2.10", "us": "us.example.com"})
        for before, after in (("eu", "us"), ("us", "eu")):
            change = Change(pool=www, before=answer(www, before), after=answer(www, after))
            await bench.apply(change)
            assert (await bench.backend.read([www])).answers == {www.service: answer(www, after)}

    async def test_a_plain_set_of_somebody_else_is_shown_and_replaced_whole(
        self, bench: Bench, double: Double
    ) -> None:
        del double.sets["www.geo.test.", "A", "eu"]
        double.put("www.geo.test.", "A", "192.0.2.10", "192.0.2.66", ttl=7)
        served = (await bench.backend.read(POOLS)).answers[POOLS[0].service]
        old = (Target("192.0.2.10", 1, POOLS[0].members[0].site), Target("192.0.2.66"))
        assert served == Answer(name=POOLS[0].service, targets=old)
        change = Change(pool=POOLS[0], before=served, after=answer(POOLS[0], "us"))
        await bench.apply(change)
        assert (await bench.served())[0] == ("us",)

    async def test_a_set_of_weight_nought_serves_nobody(self, bench: Bench, double: Double) -> None:
        double.put("www.geo.test.", "A", "192.0.2.20", SetIdentifier="us", Weight="0")
        assert await bench.served() == [("eu",), ("eu",)]
        await bench.serve("eu", "us")
        assert await bench.served() == [("eu", "us"), ("eu", "us")]

    async def test_what_is_no_generation_is_foreign(self, bench: Bench, double: Double) -> None:
        double.put("_gslb.geo.test.", "TXT", '"owned by hand"')
        reading = await bench.backend.read(POOLS)
        assert (reading.generation, reading.foreign_generation) == (None, "owned by hand")
        with pytest.raises(BackendFenced):
            await bench.serve("us")
        assert double.batches == 0

    async def test_a_batch_that_is_not_in_sync_in_time_is_unknown(
        self, double: Double, opened: AsyncExitStack, tmp_path: Path
    ) -> None:
        double.pending = 10**6
        late = await backend(opened, tmp_path, double.url, insync_s=0.3)
        with pytest.raises(BackendError, match="not INSYNC"):
            await late.apply(plan(expects=None, leaves=FIRST))
        assert double.batches == 1

    @pytest.mark.parametrize(
        ("code", "kind"),
        [
            ("Throttling", BackendError),
            ("PriorRequestNotComplete", BackendError),
            ("AccessDenied", BackendRefused),
            ("NoSuchHostedZone", BackendRefused),
        ],
    )
    async def test_each_error_says_whether_anything_can_have_changed(
        self, bench: Bench, double: Double, code: str, kind: type[BackendError]
    ) -> None:
        double.fault = code
        with pytest.raises(BackendError, match=code) as caught:
            await bench.backend.apply(plan(expects=None, leaves=FIRST))
        assert type(caught.value) is kind

    async def test_more_than_a_batch_can_hold_is_refused(
        self, bench: Bench, double: Double
    ) -> None:
        many = pool(
            "big.geo.test", {"eu": tuple(f"10.0.{n // 250}.{n % 250}" for n in range(1000))}
        )
        with pytest.raises(BackendRefused, match="1001 records"):
            await bench.apply(Change(pool=many, before=None, after=answer(many, "eu")))
        assert double.batches == 0

    async def test_new_keys_are_taken_from_the_file(
        self, double: Double, opened: AsyncExitStack, tmp_path: Path
    ) -> None:
        ours = await backend(opened, tmp_path, double.url)
        keys = tmp_path / "aws.keys"
        keys.write_text("AKIAOTHER\nfake-secret\n")
        with pytest.raises(BackendRefused, match="InvalidClientTokenId"):
            await ours.read(POOLS)
        keys.write_text("AKIAFAKE\nfake-other-secret\n")
        assert (await ours.read(POOLS)).generation is None


async def test_the_shapes_of_our_requests_are_accepted_by_moto(
    opened: AsyncExitStack, tmp_path: Path
) -> None:
    boto3 = pytest.importorskip("boto3")
    moto = pytest.importorskip("moto.server")
    server = moto.ThreadedMotoServer("127.0.0.1", free_port(), verbose=False)
    server.start()
    try:
        url = f"http://127.0.0.1:{server._port}"
        client = boto3.client(
            "route53",
            endpoint_url=url,
            region_name="us-east-1",
            aws_access_key_id="AKIAFAKE",
            aws_secret_access_key="fake-secret",
        )
        made = client.create_hosted_zone(Name="geo.test", CallerReference="1")
        client.close()
        zone = made["HostedZone"]["Id"].removeprefix("/hostedzone/")
        ours = await backend(opened, tmp_path, url, zone=zone)
        for number, (before, after) in enumerate([(None, "eu"), ("eu", "us")]):
            old = answer(POOLS[0], before) if before else None
            change = Change(pool=POOLS[0], before=old, after=answer(POOLS[0], after))
            held = (await ours.read(POOLS)).generation
            await ours.apply(plan(change, expects=held, leaves=replace(FIRST, seq=number)))
        reading = await ours.read(POOLS)
        assert reading.answers[POOLS[0].service] == answer(POOLS[0], "us")
        assert reading.generation == replace(FIRST, seq=1)
    finally:
        server.stop()
