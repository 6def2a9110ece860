"""Real servers and the lab on the Debian release that this machine is not, in a fresh root."""

import asyncio
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.kit import missing, need

ROOT = Path(__file__).parents[2]
WHAT = ("--long", "tests/real", "tests/lab", "tests/backends")


@pytest.mark.real
@pytest.mark.long
@pytest.mark.timeout(5400)
async def test_the_other_release_passes_real_servers_and_the_lab(
    tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    need("mmdebstrap")
    if os.geteuid() != 0:
        missing("a root of another release is made as root")
    process = await asyncio.create_subprocess_exec(
        *(str(ROOT / "scripts/other-release"), str(tmp_path), "other", *WHAT),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    said, _ = await process.communicate()
    lines = said.decode().strip().splitlines()
    assert process.returncode == 0, "\n".join(lines[-60:])
    record_property("figure", lines[-1])
