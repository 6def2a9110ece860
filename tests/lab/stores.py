"""The stores of the lab's sites: rclone's S3, and Ceph RGW. Two keys: the controller's, Quay's."""

import json
import shutil
import signal
from pathlib import Path
from typing import Protocol

from tests.lab.network import Network
from tests.lab.processes import Process
from tests.real.ceph import CephSite
from tests.real.owner import BUCKET, KEY_ID, SECRET, must
from tests.real.rclone import program

PORT = 9000
OURS = ("fake-id-of-ours", "fake-secret-of-ours")
POLICY = {
    "Version": "2012-10-17",
    "Statement": [
        {
            "Effect": "Allow",
            "Principal": {"AWS": ["arn:aws:iam:::user/ours"]},
            "Action": ["s3:PutObject", "s3:GetObject", "s3:DeleteObject", "s3:ListBucket"],
            "Resource": [f"arn:aws:s3:::{BUCKET}", f"arn:aws:s3:::{BUCKET}/*"],
        }
    ],
}
"""What the README grants the controller in a bucket that is Quay's."""


class LabStore(Protocol):
    """What stories do to any store. `kind` is its name in tables, `quays` Quay's own key."""

    kind: str
    quays: tuple[str, str]

    async def start(self) -> None: ...
    async def kill(self) -> None: ...
    async def restart(self) -> None: ...
    def freeze(self) -> None: ...
    def thaw(self) -> None: ...
    async def remove_bucket(self) -> None: ...
    async def make_bucket(self) -> None: ...
    async def stop(self) -> None: ...


class Rclone:
    """`rclone serve s3`: folders are buckets."""

    kind = "rclone"
    quays = ("fake-id-of-quays", "fake-secret-of-quays")

    def __init__(self, net: Network, site: str, folder: Path, port: int = PORT) -> None:
        self.bucket = folder / "buckets" / BUCKET
        self.bucket.mkdir(parents=True)
        keys = [word for pair in (OURS, self.quays) for word in ("--auth-key", ",".join(pair))]
        at = ("--addr", f"{net.address(site)}:{port}", "--config", "/dev/null")
        command = (program(), "serve", "s3", *at, *keys, str(self.bucket.parent))
        self.process = Process(net, site, folder / "rclone.log", *command)

    async def start(self) -> None:
        await self.process.start()

    async def kill(self) -> None:
        await self.process.end()

    async def restart(self) -> None:
        await self.start()

    def freeze(self) -> None:
        self.process.send(signal.SIGSTOP)

    def thaw(self) -> None:
        self.process.send(signal.SIGCONT)

    async def remove_bucket(self) -> None:
        shutil.rmtree(self.bucket)

    async def make_bucket(self) -> None:
        self.bucket.mkdir()

    async def stop(self) -> None:
        await self.process.end()


class Rgw:
    """A whole Ceph of its own; the bucket is Quay's, and a policy lets our key in."""

    kind = "RGW"
    quays = (KEY_ID, SECRET)

    def __init__(self, net: Network, site: str, folder: Path) -> None:
        self._net, self._site, self._folder = net, site, folder / "ceph"
        self.ceph: CephSite

    async def start(self) -> None:
        at = (self._net.address(self._site), PORT, self._net.namespace(self._site))
        self.ceph = await CephSite.start(self._folder, *at)
        new = ("--uid=ours", "--display-name=ours")
        key = (f"--access-key={OURS[0]}", f"--secret-key={OURS[1]}")
        await self.ceph.run("radosgw-admin", "user", "create", *new, *key)
        await self._let_us_in()

    async def _let_us_in(self) -> None:
        url = f"{self.ceph.url}/{BUCKET}?policy="
        await must("204", self.ceph.namespace, "PUT", url, json.dumps(POLICY))

    async def kill(self) -> None:
        await self.ceph.kill("rgw")

    async def restart(self) -> None:
        await self.ceph.start_all()

    def freeze(self) -> None:
        self.ceph.freeze("rgw")

    def thaw(self) -> None:
        self.ceph.thaw("rgw")

    async def remove_bucket(self) -> None:
        await self.ceph.remove_bucket()

    async def make_bucket(self) -> None:
        await self.ceph.make_bucket()
        await self._let_us_in()

    async def suspend(self, user: str, *, on: bool) -> None:
        word = "suspend" if on else "enable"
        await self.ceph.run("radosgw-admin", "user", word, f"--uid={user}")

    async def stop(self) -> None:
        if hasattr(self, "ceph"):
            await self.ceph.stop()
