"""DNS and a pair of real HAProxys move together; what a reload forgets is said again."""

from pathlib import Path

import pytest

from gslb.demo.run import open_demo
from gslb.demo.town import ADDRESSES
from tests.backends.test_haproxy import Running, haproxy
from tests.kit import until

pytestmark = pytest.mark.real
SERVERS = {"eu": "eu-1", "us": "us-1", "ap": "eu-2"}


async def drained(balancer: Running) -> set[str]:
    """The sites whose server takes nobody, as HAProxy itself says."""
    lines = (await balancer.say("show servers state registry")).splitlines()
    at = lines[1].lstrip("# ").split()
    found = set()
    for line in lines[2:]:
        row = dict(zip(at, line.split(), strict=False))
        if row and (int(row["srv_admin_state"]) & 0x38 or row["srv_uweight"] == "0"):
            found |= {site for site, name in SERVERS.items() if name == row["srv_name"]}
    return found


async def test_a_dead_store_leaves_dns_and_both_balancers_and_a_reload_forgets_nothing(
    tmp_path: Path,
) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    (tmp_path / "demo").mkdir()
    async with haproxy(tmp_path / "a") as one, haproxy(tmp_path / "b") as two:
        for balancer in (one, two):  # the fixture has drained it
            await balancer.say("set server registry/us-1 state ready")
        edge = {
            "kind": "haproxy",
            "server": [one.socket, two.socket],
            "backend": "registry",
            "servers": SERVERS,
            "resync": "2s",
        }
        changes = {"backends": {"edge": edge}, "timing": {"ramp": [50, 100], "ramp_step": "3s"}}
        async with open_demo(tmp_path / "demo", changes=changes) as demo:
            world = lambda: demo.house.controller.world  # noqa: E731
            await until(lambda: demo.settled, 40)
            await until(lambda: world().backends["edge"].known, 20)
            await demo.town.set_fault("eu", "store", "500")

            async def out_everywhere() -> bool:
                balancers = [await drained(one), await drained(two)]
                return demo.town.answer == {"us", "ap"} and balancers == [{"eu"}, {"eu"}]

            await until(out_everywhere, 20)
            await one.reload()
            assert await drained(one) == set(), "the reload has forgotten it"
            await until(out_everywhere, 20)
            await two.reload()
            await until(out_everywhere, 30)
            await demo.town.mend()

            async def back_everywhere() -> bool:
                balancers = [await drained(one), await drained(two)]
                return demo.town.answer == set(ADDRESSES) and balancers == [set(), set()]

            await until(back_everywhere, 60)
            # DNS has no weights: in at once. The balancers grow by the ramp.
            memory = world().memories["eu"]
            assert [name for name, _ in memory.ramps] == ["quay.demo"]
            await until(lambda: not world().memories["eu"].ramps, 20)
            served = lambda: world().backends["edge"].served["quay.demo"]  # noqa: E731
            await until(lambda: served().weight("eu") == 100, 20)
