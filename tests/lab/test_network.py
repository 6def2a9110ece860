"""The lab's network: links that can be cut, and no way out."""

import asyncio
import os
import socket
from pathlib import Path

import pytest

from tests.kit import until
from tests.lab.network import NETNS, Network, need_namespaces, network, say, sweep

pytestmark = pytest.mark.real


def reaches(net: Network, node: str, address: str) -> bool:
    """Nobody listens there: who is reached refuses."""
    with net.socket(node, socket.SOCK_STREAM) as ours:
        ours.settimeout(0.3)
        try:
            ours.connect((address, 9))
        except ConnectionRefusedError:
            return True
        except OSError:
            return False
    raise AssertionError("somebody listens")


async def test_nodes_reach_each_other_and_nothing_else() -> None:
    async with network("a", "b") as net:
        assert reaches(net, "a", net.address("b"))
        for node in ("hub", "a", "b"):
            assert "default" not in net.run(node, "ip", "route", "show", "table", "all")
            with net.socket(node) as ours, pytest.raises(OSError, match="unreachable"):
                ours.connect(("192.0.2.1", 9))
        for cut in (net.link, net.far_end):
            cut("b", up=False)
            assert not reaches(net, "a", net.address("b"))
            cut("b", up=True)
            await until(lambda: reaches(net, "a", net.address("b")))
        net.filter("b", "tcp dport 9 drop")
        assert not reaches(net, "a", net.address("b"))
        net.filter("b")
        assert reaches(net, "a", net.address("b"))
    assert not list(NETNS.glob(f"{net.prefix}-*"))


async def test_a_socket_of_ours_in_a_namespace_leaves_us_where_we_are() -> None:
    before = os.readlink("/proc/thread-self/ns/net")
    async with network("a") as net:
        with net.socket("a") as ours:
            ours.bind((net.address("a"), 0))
    assert os.readlink("/proc/thread-self/ns/net") == before


async def test_what_a_dead_run_has_left_is_removed_with_its_processes() -> None:
    need_namespaces()
    who = await asyncio.create_subprocess_exec("true")
    await who.wait()
    name = f"gslb-lab-{who.pid}-0-x"
    say("ip", "netns", "add", name)
    left = await asyncio.create_subprocess_exec("ip", "netns", "exec", name, "sleep", "60")
    await until(lambda: Path(f"/proc/{left.pid}/cmdline").read_text().startswith("sleep"))
    sweep()
    assert await left.wait() == -9
    assert not (NETNS / name).exists()
