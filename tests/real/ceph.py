"""Ceph RGW, the real one: a mon, an OSD and an RGW, copied from a template made once."""

import asyncio
import fcntl
import os
import shutil
import signal
import subprocess
import tempfile
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

from tests.kit import free_port, missing, need, until
from tests.real.owner import BUCKET, KEY_ID, SECRET, ask, inside, must

USER = "quay"
PROGRAMS = ("ceph", "ceph-mon", "ceph-osd", "radosgw", "radosgw-admin", "monmaptool", "curl")
DAEMONS = ("mon", "osd", "rgw")
CLASSES = "/usr/lib/x86_64-linux-gnu/rados-classes"
CONF = Path(__file__).with_name("ceph.conf").read_text()


def need_ceph() -> None:
    """Skip with a reason where Ceph is not installed."""
    for program in PROGRAMS:
        need(program)
    if not Path(CLASSES).is_dir():
        missing(f"Ceph's object classes are not in {CLASSES}")


def version() -> str:
    said = subprocess.run([need("ceph-osd"), "--version"], check=True, capture_output=True)
    return said.stdout.decode().split()[2]


@dataclass
class CephSite:
    """One cluster with one RGW: `await CephSite.start(…)`, and `await site.stop()` at the end."""

    folder: Path
    address: str
    rgw_port: int
    mon_port: int
    namespace: str | None = None
    processes: dict[str, asyncio.subprocess.Process] = field(default_factory=dict)

    @classmethod
    async def start(
        cls,
        folder: Path,
        address: str = "127.0.0.1",
        rgw_port: int | None = None,
        namespace: str | None = None,
    ) -> "CephSite":
        """A copy of the template in `folder` (made here): user, bucket and pools are there.

        In a namespace `lo` must be up: mon and OSD talk over it.
        """
        source = await template()
        await asyncio.to_thread(copied, source, folder)
        port = free_port() if rgw_port is None else rgw_port
        site = cls(folder, address, port, free_port(), namespace)
        site.configure((source / "fsid").read_text())
        try:
            await site._move_mon()
            await site.start_all()
        except BaseException:
            await site.stop()
            raise
        return site

    @property
    def url(self) -> str:
        return f"http://{self.address}:{self.rgw_port}"

    def configure(self, fsid: str) -> None:
        text = CONF.format(
            fsid=fsid,
            mon_port=self.mon_port,
            folder=self.folder,
            address=self.address,
            rgw_port=self.rgw_port,
            classes=CLASSES,
        )
        (self.folder / "ceph.conf").write_text(text)
        (self.folder / "fsid").write_text(fsid)

    async def _move_mon(self) -> None:
        """The template's mon listened elsewhere: where it is, the map in its store says."""
        await self._new_map()
        await self.run("ceph-mon", "-i", "a", "--inject-monmap", f"{self.folder}/monmap")

    async def _new_map(self) -> None:
        fsid, at = (self.folder / "fsid").read_text(), f"[v2:127.0.0.1:{self.mon_port}]"
        new = ("--create", "--clobber", "--fsid", fsid, "--addv", "a", at)
        await self.run("monmaptool", *new, f"{self.folder}/monmap")

    async def start_all(self) -> None:
        """What does not run, in order; until the RGW answers."""
        for daemon in DAEMONS:
            await self.start_daemon(daemon)
        await until(self.answers, limit_s=90, every_s=0.1, what=f"RGW to answer\n{self.tail}")

    async def start_daemon(self, daemon: str) -> None:
        if daemon in self.processes and self.processes[daemon].returncode is None:
            return
        commands = {
            "mon": ("ceph-mon", "-i", "a", "--public-addr", f"v2:127.0.0.1:{self.mon_port}"),
            "osd": ("ceph-osd", "-i", "0"),
            "rgw": ("radosgw", "--name", "client.rgw"),
        }
        with (self.folder / f"{daemon}.out").open("ab") as out:
            self.processes[daemon] = await asyncio.create_subprocess_exec(
                *inside(self.namespace),
                *(*commands[daemon], "-f"),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=out,
                stderr=out,
                env=self._environment,
            )

    @property
    def _environment(self) -> dict[str, str]:
        path = os.environ.get("PATH", "") + ":/usr/sbin:/sbin"
        return os.environ | {"CEPH_CONF": f"{self.folder}/ceph.conf", "PATH": path}

    @property
    def tail(self) -> str:
        outs = [self.folder / f"{daemon}.out" for daemon in DAEMONS]
        return "\n".join(out.read_text()[-1000:] for out in outs if out.exists())

    async def run(self, *command: str, limit_s: float = 60.0) -> str:
        """One administrative command inside the namespace; what it printed."""
        pipe = asyncio.subprocess.PIPE
        process = await asyncio.create_subprocess_exec(
            *inside(self.namespace),
            *command,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=pipe,
            stderr=pipe,
            env=self._environment,
        )
        try:
            async with asyncio.timeout(limit_s):
                out, errors = await process.communicate()
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()
        if process.returncode:
            raise RuntimeError(f"{' '.join(command)}: {errors.decode()[-2000:]}")
        return out.decode()

    async def _ask(self, method: str, path: str, content: str = "") -> tuple[str, str]:
        """One signed request of the bucket's owner: its status and what came with it."""
        return await ask(self.namespace, method, f"{self.url}/{path}", content)

    async def answers(self) -> bool:
        try:
            return await self.run("curl", "-sf", "-m", "5", "-o", "/dev/null", self.url) == ""
        except RuntimeError:
            return False

    async def pause(self) -> None:
        """The OSDs take no reads and no writes; the RGW's front goes on answering."""
        await self.run("ceph", "osd", "set", "pause")

    async def unpause(self) -> None:
        await self.run("ceph", "osd", "unset", "pause")

    async def suspend_user(self) -> None:
        await self.run("radosgw-admin", "user", "suspend", f"--uid={USER}")

    async def enable_user(self) -> None:
        await self.run("radosgw-admin", "user", "enable", f"--uid={USER}")

    async def quota(self, objects: int | None) -> None:
        """No more than so many objects in the bucket; None: as many as there is room for."""
        scope = ("--quota-scope=bucket", f"--uid={USER}", f"--bucket={BUCKET}")
        if objects is None:
            await self.run("radosgw-admin", "quota", "disable", *scope)
            return
        await self.run("radosgw-admin", "quota", "set", *scope, f"--max-objects={objects}")
        await self.run("radosgw-admin", "quota", "enable", *scope)

    async def remove_bucket(self) -> None:
        """With all that is in it."""
        await self.run("radosgw-admin", "bucket", "rm", f"--bucket={BUCKET}", "--purge-objects")

    async def make_bucket(self) -> None:
        """Empty."""
        await must("200", self.namespace, "PUT", f"{self.url}/{BUCKET}")

    async def put_object(self, key: str, content: str) -> None:
        await must("200", self.namespace, "PUT", f"{self.url}/{BUCKET}/{key}", content)

    async def remove_object(self, key: str) -> None:
        await must("204", self.namespace, "DELETE", f"{self.url}/{BUCKET}/{key}")

    async def kill(self, daemon: str = "rgw") -> None:
        """kill -9, by its process id."""
        process = self.processes[daemon]
        if process.returncode is None:
            process.kill()
        await process.wait()

    def freeze(self, daemon: str = "rgw") -> None:
        self.processes[daemon].send_signal(signal.SIGSTOP)

    def thaw(self, daemon: str = "rgw") -> None:
        self.processes[daemon].send_signal(signal.SIGCONT)

    async def stop(self, clean: bool = False) -> None:
        """End all, the RGW first; `clean` where what they hold is copied afterwards."""
        for daemon in reversed(DAEMONS):
            process = self.processes.get(daemon)
            if process is None:
                continue
            if process.returncode is None and clean:
                process.terminate()
            elif process.returncode is None:
                process.kill()
            await process.wait()


def copied(source: Path, folder: Path) -> None:
    """Holes stay holes: an OSD's disk is 4 GiB that are hardly used."""
    command = ("cp", "-a", "--sparse=always", str(source), str(folder))
    subprocess.run(command, check=True, capture_output=True)


async def template() -> Path:
    """A stopped cluster with a user, an empty bucket and all pools; made by whoever is first.

    It stays below the system's folder for what is temporary, one for each user and version.
    """
    need_ceph()
    home = Path(tempfile.gettempdir()) / f"gslb-ceph-{os.getuid()}-{version()}"
    home.mkdir(mode=0o700, exist_ok=True)
    if home.stat().st_uid != os.getuid():
        missing(f"{home} is somebody else's")
    made = home / "template"
    async with locked(home / "lock"):
        if not made.exists():
            building = home / "building"
            shutil.rmtree(building, ignore_errors=True)
            await build(building)
            building.rename(made)
    return made


@asynccontextmanager
async def locked(path: Path) -> AsyncIterator[None]:
    """Held by one process at a time."""
    with path.open("w") as file:

        def taken() -> bool:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                return False
            return True

        await until(taken, limit_s=180, every_s=0.2, what="somebody else to make Ceph's template")
        yield


async def build(folder: Path) -> None:
    """A new cluster in `folder`, warmed up by one object: the first makes the pools."""
    for name in ("mon", "osd", "rgw", "run"):
        (folder / name).mkdir(parents=True)
    site = CephSite(folder, "127.0.0.1", free_port(), free_port())
    site.configure(str(uuid.uuid4()))
    try:
        await site._new_map()
        await site.run("ceph-mon", "--mkfs", "-i", "a", "--monmap", f"{folder}/monmap")
        await site.start_daemon("mon")
        osd = str(uuid.uuid4())
        await site.run("ceph", "osd", "new", osd)
        await site.run("ceph-osd", "-i", "0", "--mkfs", "--osd-uuid", osd)
        await site.start_all()
        new = (f"--uid={USER}", f"--display-name={USER}")
        key = (f"--access-key={KEY_ID}", f"--secret-key={SECRET}")
        await site.run("radosgw-admin", "user", "create", *new, *key)
        await site.make_bucket()
        await site.put_object("warm", "up")
        await site.remove_object("warm")
    finally:
        await site.stop(clean=True)
    await asyncio.to_thread(forget_traces, folder)


def forget_traces(folder: Path) -> None:
    for trace in (*folder.glob("*.log"), *folder.glob("*.out"), *(folder / "run").iterdir()):
        trace.unlink()
