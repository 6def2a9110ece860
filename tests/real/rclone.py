"""rclone's own S3 server: small, checks signatures; its folders are buckets."""

import asyncio
import shutil
import signal
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from tests.kit import free_port, need, until
from tests.real.ceph import BUCKET, KEY_ID, SECRET


def program() -> str:
    """That of the development environment, else that of the system."""
    beside = Path(sys.executable).with_name("rclone")
    return str(beside) if beside.exists() else need("rclone")


def version() -> str:
    said = subprocess.run([program(), "version"], check=True, capture_output=True)
    return said.stdout.decode().split()[1].lstrip("v")


@dataclass
class RcloneSite:
    """One store: `await RcloneSite.start(…)`, and `await site.stop()` at the end."""

    folder: Path
    address: str
    port: int
    namespace: str | None = None
    process: asyncio.subprocess.Process | None = None

    @classmethod
    async def start(
        cls,
        folder: Path,
        address: str = "127.0.0.1",
        port: int | None = None,
        namespace: str | None = None,
    ) -> "RcloneSite":
        """In `folder` (made here), with an empty bucket."""
        site = cls(folder, address, free_port() if port is None else port, namespace)
        await asyncio.to_thread(site.make_bucket)
        await site.start_process()
        return site

    @property
    def url(self) -> str:
        return f"http://{self.address}:{self.port}"

    @property
    def bucket(self) -> Path:
        return self.folder / "buckets" / BUCKET

    async def start_process(self) -> None:
        inside = ("ip", "netns", "exec", self.namespace) if self.namespace else ()
        with (self.folder / "log").open("ab") as log:
            self.process = await asyncio.create_subprocess_exec(
                *inside,
                *(program(), "serve", "s3", "--addr", f"{self.address}:{self.port}"),
                *("--auth-key", f"{KEY_ID},{SECRET}", "--vfs-cache-mode", "off"),
                *("--dir-cache-time", "0s", "--config", "/dev/null", str(self.bucket.parent)),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        await until(self.answers, limit_s=20, every_s=0.1, what="rclone to answer")

    async def answers(self) -> bool:
        """Asked from inside the namespace; any status will do."""
        inside = ("ip", "netns", "exec", self.namespace) if self.namespace else ()
        ask = (need("curl"), "-s", "-m", "2", "-o", "/dev/null", self.url)
        asked = await asyncio.create_subprocess_exec(*inside, *ask)
        return await asked.wait() == 0

    def make_bucket(self) -> None:
        """Empty."""
        self.bucket.mkdir(parents=True)

    def remove_bucket(self) -> None:
        """With all that is in it."""
        shutil.rmtree(self.bucket)

    async def kill(self) -> None:
        """kill -9, by its process id."""
        if self.process is not None:
            if self.process.returncode is None:
                self.process.kill()
            await self.process.wait()

    stop = kill

    def freeze(self) -> None:
        assert self.process
        self.process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        assert self.process
        self.process.send_signal(signal.SIGCONT)
