"""`gslb demo`: the imitations, and the real controller with its real adapters, in one process."""

import asyncio
import contextlib
import os
import secrets
import signal
import sys
import tempfile
import termios
import time
import tty
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

import yaml

from gslb.demo.town import ADDRESSES, SERVICE, Town, open_town, port_of_all, switchboard
from gslb.domain.health import SiteVerdict
from gslb.domain.topology import SiteName
from gslb.wiring import House, open_house

TEMPLATE = Path(__file__).with_name("demo.yml")
"""In a clone a link to config/demo.yml, in a wheel the file itself."""
MENU = (
    "1 break eu's storage   2 cut the controller off from eu's store   3 fail the shared database\n"
    "4 break all stores   r repair   q quit"
)
KEYS: Mapping[str, Sequence[tuple[str, str, str]]] = {
    "1": [("eu", "store", "refuse")],
    "2": [("eu", "path", "refuse")],
    "3": [("eu", "database", "refuse")],
    "4": [(site, "store", "refuse") for site in ADDRESSES],
}


@dataclass(frozen=True, kw_only=True)
class Demo:
    """A running demo."""

    town: Town
    house: House
    url: str
    token: str

    @property
    def settled(self) -> bool:
        """Is every site up and in the answer?"""
        states = self.house.controller.world.states.values()
        up = len(states) == len(ADDRESSES) and all(s.verdict == SiteVerdict.UP for s in states)
        return up and self.town.answer == set(ADDRESSES)


@contextlib.asynccontextmanager
async def open_demo(
    folder: Path, *, port: int | None = None, changes: Mapping[str, Any] | None = None, **town: Any
) -> AsyncIterator[Demo]:
    """Everything, with its files in `folder`; `changes` go into the configuration, `town` to
    `open_town`. Raises ConfigError when the configuration is wrong."""
    async with open_town(**town) as opened:
        token = secrets.token_urlsafe(24)
        listen = f"127.0.0.1:{port or port_of_all(['127.0.0.1'])}"
        config = write_files(folder, opened, listen, token, changes or {})
        async with open_house(config, log=False, extra_routes=switchboard(opened)) as house:
            yield Demo(town=opened, house=house, url=f"http://{listen}", token=token)


def write_files(
    folder: Path, town: Town, listen: str, token: str, changes: Mapping[str, Any]
) -> Path:
    """The configuration: the template with what only this run knows, and secrets in files."""
    tokens = [{"name": "demo", "scopes": ["admin"], "sha256": sha256(token.encode()).hexdigest()}]
    tsig = 'key "{}" {{ algorithm hmac-sha256; secret "{}"; }};\n'.format(*town.tsig)
    keys = secret_file(folder / "demo.keys", "\n".join(town.controller_key) + "\n")
    known = {
        "sites": {
            name: {"storage": {"s3": store.path_url, "keys": keys}}
            for name, store in town.stores.items()
        },
        "services": {SERVICE: {"port": town.port}},
        "backends": {
            "dns": {
                "server": f"{town.nameserver.address}:{town.nameserver.port}",
                "tsig": secret_file(folder / "demo.tsig", tsig),
            }
        },
        "store": {"sqlite": str(folder / "demo.db")},
        "api": {
            "listen": listen,
            "socket": str(folder / "demo.sock"),
            "tokens": secret_file(folder / "demo.tokens", yaml.safe_dump(tokens)),
        },
    }
    path = folder / "demo.yml"
    whole = merged(merged(yaml.safe_load(TEMPLATE.read_text()), known), changes)
    path.write_text(yaml.safe_dump(whole, sort_keys=False))
    return path


def secret_file(path: Path, text: str) -> str:
    path.touch(mode=0o600)
    path.write_text(text)
    return f"file:{path}"


def merged(old: Mapping[str, Any], new: Mapping[str, Any]) -> dict[str, Any]:
    """Maps merge; anything else is replaced."""
    both = {k: merged(old[k], v) for k, v in new.items() if isinstance(old.get(k), dict)}
    return {**old, **new, **both}


def run_demo(
    port: int | None = None,
    faults: Sequence[tuple[str, str, str]] = (),
    out: Callable[[str], None] = print,
    interactive: bool = False,
    **town: Any,
) -> int:
    """Run until `q`, SIGINT or SIGTERM. `faults` (site, part, fault) begin once all is up;
    `town`: version, preference, readonly. Gives the exit code. Raises as `open_demo`."""
    try:
        asyncio.run(_run(port, faults, out, interactive, town))
    except (KeyboardInterrupt, asyncio.CancelledError):
        out("ended")
    return 0


async def _run(
    port: int | None,
    faults: Sequence[tuple[str, str, str]],
    out: Callable[[str], None],
    interactive: bool,
    town: Mapping[str, Any],
) -> None:
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, current().cancel)
    out("starting three sites, a nameserver and the controller on loopback …")
    with tempfile.TemporaryDirectory(prefix="gslb-demo-") as folder:
        async with open_demo(Path(folder), port=port, **town) as demo:
            await settle(demo, out)
            server = demo.town.nameserver
            out(f"{demo.url}/#token={demo.token}")
            out(f"dig @{server.address} -p {server.port} {SERVICE} A")
            for fault in faults:
                await demo.town.set_fault(*fault)
            async with asyncio.TaskGroup() as group:
                telling = group.create_task(tell(demo, out), name="tell")
                if interactive:
                    await obey(demo, out)
                    telling.cancel()


def current() -> "asyncio.Task[Any]":
    task = asyncio.current_task()
    assert task
    return task


async def settle(demo: Demo, out: Callable[[str], None]) -> None:
    """Wait until every site is up and in, and say each step."""
    seen: dict[str, str] = {}
    while not demo.settled:
        for name in ADDRESSES:
            state = demo.house.controller.world.states.get(SiteName(name))
            verdict = state.verdict if state else SiteVerdict.UNKNOWN
            now = f"{verdict}, {'in' if name in demo.town.answer else 'not yet in'}"
            if seen.get(name) != now:
                out(f"  {name} at {ADDRESSES[name]}: {now}")
                seen[name] = now
        await asyncio.sleep(0.1)
    out("  all are up, and in the answer")


async def tell(demo: Demo, out: Callable[[str], None]) -> None:
    """A line an event; whoever reads too slowly is cut off, and begins again."""
    while True:
        async for told in demo.house.controller.told():
            for event in told.events:
                out(f"{clock(event.wall_s)} {event.kind:<8} {event.text}")


def clock(wall_s: float) -> str:
    return time.strftime("%H:%M:%S", time.localtime(wall_s))


async def obey(demo: Demo, out: Callable[[str], None]) -> None:
    """Answer keys on the terminal until `q`."""
    keys: asyncio.Queue[str] = asyncio.Queue(100)
    loop, terminal = asyncio.get_running_loop(), sys.stdin.fileno()
    before = termios.tcgetattr(terminal)
    tty.setcbreak(terminal)
    loop.add_reader(terminal, lambda: keys.put_nowait(os.read(terminal, 1).decode() or "q"))
    try:
        out(MENU)
        while (key := await keys.get()) != "q":
            if key == "r":
                await demo.town.mend()
                out(f"{clock(time.time())} ─────── you mend everything")
            for site, part, fault in KEYS.get(key, ()):
                await demo.town.set_fault(site, part, fault)
                out(f"{clock(time.time())} ─────── you break {site}'s {part}: {fault}")
    finally:
        loop.remove_reader(terminal)
        termios.tcsetattr(terminal, termios.TCSADRAIN, before)
