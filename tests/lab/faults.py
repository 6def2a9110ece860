"""What is done to the lab, for real, and undone: each a context in which it is broken."""

import signal
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager

from tests.kit import until
from tests.lab import servers
from tests.lab.processes import Process
from tests.lab.stores import PORT, Rgw
from tests.lab.town import SITES, Town

Fault = Callable[[Town], AbstractAsyncContextManager[None]]


def together(*faults: Fault) -> Fault:
    """One after the other, and all at once."""

    @asynccontextmanager
    async def broken(town: Town) -> AsyncIterator[None]:
        async with AsyncExitStack() as stack:
            for fault in faults:
                await stack.enter_async_context(fault(town))
            yield

    return broken


def store_killed(site: str) -> Fault:
    @asynccontextmanager
    async def broken(town: Town) -> AsyncIterator[None]:
        await town.stores[site].kill()
        try:
            yield
        finally:
            await town.stores[site].restart()

    return broken


def store_frozen(site: str) -> Fault:
    @asynccontextmanager
    async def broken(town: Town) -> AsyncIterator[None]:
        town.stores[site].freeze()
        try:
            yield
        finally:
            town.stores[site].thaw()

    return broken


def rgw(town: Town) -> Rgw:
    store = town.stores["us"]
    assert isinstance(store, Rgw)
    return store


@asynccontextmanager
async def osd_paused(town: Town) -> AsyncIterator[None]:
    await rgw(town).ceph.pause()
    try:
        yield
    finally:
        await rgw(town).ceph.unpause()


@asynccontextmanager
async def osd_killed(town: Town) -> AsyncIterator[None]:
    await rgw(town).ceph.kill("osd")
    try:
        yield
    finally:
        await rgw(town).ceph.start_daemon("osd")


def suspended(user: str) -> Fault:
    @asynccontextmanager
    async def broken(town: Town) -> AsyncIterator[None]:
        await rgw(town).suspend(user, on=True)
        try:
            yield
        finally:
            await rgw(town).suspend(user, on=False)

    return broken


@asynccontextmanager
async def bucket_removed(town: Town) -> AsyncIterator[None]:
    """It comes back empty: a person must say that this is meant."""
    await rgw(town).remove_bucket()
    try:
        yield
    finally:
        await rgw(town).make_bucket()
        await acknowledged(town)


@asynccontextmanager
async def bucket_emptied(town: Town) -> AsyncIterator[None]:
    await rgw(town).remove_bucket()
    await rgw(town).make_bucket()
    try:
        yield
    finally:
        await acknowledged(town)


async def acknowledged(town: Town) -> None:
    """As soon as the controller asks for it."""

    async def asks() -> object:
        return any("gslb ack us" in line for line in await town.explained("us"))

    await until(asks, 60, 0.2, what="the controller asks for an ack")
    said = await town.cli("ack", "us", "--reason", "the bucket is meant to be empty")
    town.write("person", said=said)


@asynccontextmanager
async def quota_reached(town: Town) -> AsyncIterator[None]:
    await rgw(town).ceph.quota(1)
    try:
        yield
    finally:
        await rgw(town).ceph.quota(None)


def filtered(site: str, *rules: str) -> Fault:
    """Rules of nft in the site's namespace; CTL stands for the controller's address."""

    @asynccontextmanager
    async def broken(town: Town) -> AsyncIterator[None]:
        town.net.filter(site, *(rule.replace("CTL", town.net.address("ctl")) for rule in rules))
        try:
            yield
        finally:
            town.net.filter(site)

    return broken


def store_dropped(site: str) -> Fault:
    return filtered(site, f"tcp dport {PORT} drop")


def cut(node: str) -> Fault:
    """Its link, at its own end."""

    @asynccontextmanager
    async def broken(town: Town) -> AsyncIterator[None]:
        town.net.link(node, up=False)
        try:
            yield
        finally:
            town.net.link(node, up=True)

    return broken


def relayed(fault: str) -> Fault:
    """What the relay before ap's store does."""

    @asynccontextmanager
    async def broken(town: Town) -> AsyncIterator[None]:
        await town.relay.tell(fault)
        try:
            yield
        finally:
            await town.relay.tell("pass")

    return broken


def killed(which: Callable[[Town], Process], number: signal.Signals = signal.SIGKILL) -> Fault:
    @asynccontextmanager
    async def broken(town: Town) -> AsyncIterator[None]:
        await which(town).end(number)
        try:
            yield
        finally:
            await which(town).start()

    return broken


def frozen(which: Callable[[Town], Process]) -> Fault:
    @asynccontextmanager
    async def broken(town: Town) -> AsyncIterator[None]:
        which(town).send(signal.SIGSTOP)
        try:
            yield
        finally:
            which(town).send(signal.SIGCONT)

    return broken


def quay_says(fault: str, *sites: str) -> Fault:
    """`hang`, `500`, or a shared part with its fault: `database refuse`."""

    @asynccontextmanager
    async def broken(town: Town) -> AsyncIterator[None]:
        for site in sites or SITES:
            await town.quays[site].tell(fault)
        try:
            yield
        finally:
            part = fault.rpartition(" ")[0]
            for site in sites or SITES:
                await town.quays[site].tell(f"{part} mend".strip())

    return broken


def certificate_expired(site: str) -> Fault:
    async def renew(town: Town, name: str) -> None:
        front = town.fronts[site]
        text = (town.folder / f"{name}.pem").read_text()
        (town.folder / site / "front.pem").write_text(text)
        await front.end()
        await front.start()

    @asynccontextmanager
    async def broken(town: Town) -> AsyncIterator[None]:
        await renew(town, "expired")
        try:
            yield
        finally:
            await renew(town, "whole")

    return broken


def key_wrong(site: str) -> Fault:
    @asynccontextmanager
    async def broken(town: Town) -> AsyncIterator[None]:
        path = town.folder / f"{site}.keys"
        before = path.read_text()
        servers.secret(path, before.splitlines()[0] + "\nfake-secret-that-is-wrong\n")
        try:
            yield
        finally:
            servers.secret(path, before)

    return broken


@asynccontextmanager
async def clock_shifted(town: Town) -> AsyncIterator[None]:
    """The controller's wall clock is an hour ahead."""
    (town.folder / "clock").write_text("+3600")
    try:
        yield
    finally:
        (town.folder / "clock").write_text("+0")


@asynccontextmanager
async def paused(town: Town) -> AsyncIterator[None]:
    await town.cli("pause", "--reason", "maintenance of the lab")
    try:
        yield
    finally:
        await town.cli("resume")


def drained(site: str) -> Fault:
    """By a person."""

    @asynccontextmanager
    async def broken(town: Town) -> AsyncIterator[None]:
        said = ("--for", "1h", "--reason", "disk swap", "--yes")
        await town.cli("drain", site, *said)
        try:
            yield
        finally:
            await town.cli("undrain", site, "--reason", "done")

    return broken
