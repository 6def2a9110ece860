"""A town of network namespaces: one hub, and a link from it to each node. No way leads out.

No namespace has a default route, and none is linked with the machine's own: what is sent to an
address that is not in the town fails at once, there (what left by a default route once came back
with somebody else's 404).
"""

import asyncio
import contextlib
import itertools
import os
import re
import signal
import socket
import subprocess
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from ctypes import CDLL, get_errno
from dataclasses import dataclass
from pathlib import Path

from tests.kit import missing, need

NAME = re.compile(r"gslb-lab-(\d+)-\d+-\w+")
NETNS = Path("/run/netns")
ALL = "10.77.0.0/16"
CLONE_NEWNET = 0x40000000
COUNT = itertools.count()
LIBC = CDLL(None, use_errno=True)


def say(*command: str) -> str:
    """One command of the system, which must succeed; what it printed."""
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise OSError(f"{' '.join(command)}: {done.stderr.strip()}")
    return done.stdout


@dataclass
class Network:
    """`hub`, and one namespace a node, whose link is `e0` there, `to-NODE` at the hub."""

    prefix: str
    nodes: Sequence[str]

    def namespace(self, node: str) -> str:
        return f"{self.prefix}-{node}"

    def address(self, node: str) -> str:
        return f"10.77.{self.nodes.index(node) + 1}.2"

    def make(self) -> None:
        self._add("hub")
        self.run("hub", "sh", "-c", "echo 1 > /proc/sys/net/ipv4/ip_forward")
        for number, node in enumerate(self.nodes, 1):
            self._add(node)
            ends = ("type", "veth", "peer", "name", "e0", "netns", self.namespace(node))
            say("ip", "link", "add", f"to-{node}", "netns", self.namespace("hub"), *ends)
            self._ip("hub", "addr", "add", f"10.77.{number}.1/24", "dev", f"to-{node}")
            self._ip("hub", "link", "set", f"to-{node}", "up")
            self._ip(node, "addr", "add", f"10.77.{number}.2/24", "dev", "e0")
            self.link(node, up=True)

    def _add(self, node: str) -> None:
        say("ip", "netns", "add", self.namespace(node))
        self._ip(node, "link", "set", "lo", "up")

    def _ip(self, node: str, *words: str) -> str:
        return say("ip", "-n", self.namespace(node), *words)

    def link(self, node: str, *, up: bool) -> None:
        """Cut or mend the link of a node, at its own end."""
        self._ip(node, "link", "set", "e0", "up" if up else "down")
        if up:  # the kernel has dropped the route with the link
            self._ip(node, "route", "replace", ALL, "via", self.address(node)[:-1] + "1")

    def far_end(self, node: str, *, up: bool) -> None:
        """Cut or mend the link of a node, at the hub."""
        self._ip("hub", "link", "set", f"to-{node}", "up" if up else "down")

    def run(self, node: str, *command: str) -> str:
        return say(*self.inside(node), *command)

    def inside(self, node: str) -> tuple[str, ...]:
        """What goes before a command; the process id will be the command's own."""
        return ("ip", "netns", "exec", self.namespace(node))

    def filter(self, node: str, *rules: str) -> None:
        """Rules of nft for what comes in at a node; none: all comes in."""
        with contextlib.suppress(OSError):  # there was no table
            self.run(node, "nft", "delete", "table", "inet", "lab")
        if rules:
            lines = "\n".join(("type filter hook input priority 0; policy accept;", *rules))
            self.run(node, "nft", f"table inet lab {{\nchain in {{\n{lines}\n}}\n}}")

    def socket(self, node: str, kind: int = socket.SOCK_DGRAM) -> socket.socket:
        """A socket of ours that lives in the namespace of a node."""
        with open("/proc/thread-self/ns/net") as home, open(self._path(node)) as there:
            enter(there.fileno())
            try:
                return socket.socket(socket.AF_INET, kind)
            finally:
                enter(home.fileno())

    def _path(self, node: str) -> Path:
        return NETNS / self.namespace(node)

    def remove(self) -> None:
        for node in ("hub", *self.nodes):
            if self._path(node).exists():
                clear(self.namespace(node))


def enter(namespace: int) -> None:
    """Only this thread."""
    if LIBC.setns(namespace, CLONE_NEWNET):
        raise OSError(get_errno(), "setns")


def need_namespaces() -> None:
    """Skip, with a printed reason, where namespaces cannot be made or entered."""
    need("ip")
    need("nft")
    name = f"gslb-lab-{os.getpid()}-{next(COUNT)}-try"
    try:
        say("ip", "netns", "add", name)
        try:
            # In a plain chroot this fails: / must be a mount point.
            say("ip", "netns", "exec", name, "true")
        finally:
            say("ip", "netns", "del", name)
    except OSError as error:
        missing(f"network namespaces cannot be used here: {error}")


def sweep() -> None:
    """Remove what runs that have died left: their namespaces, and the processes in them."""
    for path in NETNS.glob("gslb-lab-*") if NETNS.exists() else ():
        found = NAME.fullmatch(path.name)
        if found is None or Path(f"/proc/{found[1]}").exists():
            continue
        with contextlib.suppress(OSError):  # somebody else sweeps, too
            clear(path.name)


def clear(namespace: str) -> None:
    """End what still runs in it, and remove it."""
    for pid in say("ip", "netns", "pids", namespace).split():
        with contextlib.suppress(ProcessLookupError):
            os.kill(int(pid), signal.SIGKILL)
    say("ip", "netns", "del", namespace)


@asynccontextmanager
async def network(*nodes: str) -> AsyncIterator[Network]:
    """All namespaces and links; gone at the end, whatever happened."""
    need_namespaces()
    await asyncio.to_thread(sweep)
    made = Network(f"gslb-lab-{os.getpid()}-{next(COUNT)}", nodes)
    try:
        made.make()
        yield made
    finally:
        made.remove()
