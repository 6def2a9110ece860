"""The Containerfile, built and run by the real buildah without a registry."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from tests.kit import missing, need, until

ROOT = Path(__file__).parents[2]
PIPE = asyncio.subprocess.PIPE
ISOLATION = ("--isolation", "chroot")
CONFIG = """\
cluster: image
sites: {eu: {address: [192.0.2.10]}, us: {address: [192.0.2.20]}}
services: {www.example.com: {kind: none}}
limits: {min_sites: 1}
backends: {dns: {kind: memory}}
metrics: {listen: 127.0.0.1:0}
"""


async def run(*command: str, **env: str) -> str:
    process = await asyncio.create_subprocess_exec(
        *command, stdout=PIPE, stderr=PIPE, env=os.environ | env, cwd=ROOT
    )
    out, said = await process.communicate()
    assert process.returncode == 0, said.decode()[-2000:]
    return out.decode().strip()


@pytest.fixture
async def buildah(tmp_path: Path) -> tuple[str, ...]:
    need("buildah")
    need("mmdebstrap")
    if os.geteuid() != 0:
        missing("an image is built as root here")
    printed = await run("scripts/image", str(tmp_path / "image"))
    return tuple(printed.split())


@asynccontextmanager
async def container(buildah: tuple[str, ...]) -> AsyncIterator[tuple[tuple[str, ...], str]]:
    ours = buildah[: buildah.index("from")]
    name = await run(*buildah)
    try:
        yield ours, name
    finally:
        await run(*ours, "rm", name)


@pytest.mark.real
@pytest.mark.long
@pytest.mark.timeout(600)
async def test_the_image_runs_as_a_user_of_its_own_and_ends_when_told(
    buildah: tuple[str, ...], tmp_path: Path
) -> None:
    (tmp_path / "gslb.yml").write_text(CONFIG)
    async with container(buildah) as (ours, name):
        inside = (*ours, "run", *ISOLATION, name, "--")
        assert await run(*inside, "id", "-u") == "10001"
        assert (await run(*inside, "gslb", "version")).startswith("gslb ")
        probe = "touch /var/lib/gslb/x && rm /var/lib/gslb/x && ! touch /opt/gslb/x && echo so"
        assert await run(*inside, "sh", "-c", f"({probe}) 2>/dev/null") == "so"
        await run(*ours, "copy", "-q", name, str(tmp_path / "gslb.yml"), "/etc/gslb/gslb.yml")
        await run(*inside, "gslb", "check", "--offline", "/etc/gslb/gslb.yml")
        process = await asyncio.create_subprocess_exec(
            *inside, "sh", "-c", "echo $$; exec gslb run", stdout=PIPE, stderr=PIPE
        )
        assert process.stdout
        inner = int(await process.stdout.readline())
        log: list[bytes] = []

        async def runs() -> bool:
            assert process.stderr
            log.append(await process.stderr.readline())
            return b"runs; API at" in log[-1]

        await until(runs, 30, what="gslb to run")
        asked = await run(*inside, "gslb", "status", "-o", "json", GSLB_URL="")
        assert '"cluster": "image"' in asked or '"cluster":"image"' in asked
        os.kill(inner, signal.SIGTERM)
        _, said = await process.communicate()
        assert process.returncode == 0, (b"".join(log) + said).decode()
