"""rclone's own S3 server: small, checks signatures; its folders are buckets."""

import asyncio
import signal
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from tests.kit import free_port, need, until
from tests.real.owner import BUCKET, KEY_ID, SECRET, inside, must


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
        await asyncio.to_thread(site.bucket.mkdir, parents=True)
        await site.start_all()
        return site

    @property
    def url(self) -> str:
        return f"http://{self.address}:{self.port}"

    @property
    def bucket(self) -> Path:
        return self.folder / "buckets" / BUCKET

    async def start_all(self) -> None:
        """Until it answers."""
        with (self.folder / "log").open("ab") as log:
            self.process = await asyncio.create_subprocess_exec(
                *inside(self.namespace),
                *(program(), "serve", "s3", "--addr", f"{self.address}:{self.port}"),
                *(
                    "--auth-key",
                    f"{KEY_ID},{SECRET}",
                ),
                *("--config", "/dev/null", str(self.bucket.parent)),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        await until(self.answers, limit_s=20, every_s=0.1, what="rclone to answer")

    async def answers(self) -> bool:
        """Asked from inside the namespace; any status will do."""
        ask = (need("curl"), "-s", "-m", "2", "-o", "/dev/null", self.url)
        asked = await asyncio.create_subprocess_exec(*inside(self.namespace), *ask)
        return await asked.wait() == 0

    async def make_bucket(self) -> None:
        """Empty."""
        await must("200", self.namespace, "PUT", f"{self.url}/{BUCKET}")

    async def remove_bucket(self) -> None:
        """With all that is in it."""
        files = [path for path in self.bucket.rglob("*") if path.is_file()]
        for file in files:
            await self.remove_object(str(file.relative_to(self.bucket)))
        await must("204", self.namespace, "DELETE", f"{self.url}/{BUCKET}")

    async def remove_object(self, key: str) -> None:
        # Not from the disk: rclone remembers for minutes what its folders hold.
        await must("204", self.namespace, "DELETE", f"{self.url}/{BUCKET}/{key}")

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
