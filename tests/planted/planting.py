"""A copy of the house with one fault in it, and what its tests say."""

import asyncio
import os
import re
import shutil
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.planted.faults import Fault

ROOT = Path(__file__).parents[2]
COPIED = ("gslb", "tests", "config", "dashboards", "scripts", "pyproject.toml", "README.md")
LIMIT_S = 600.0


@dataclass(frozen=True)
class Found:
    """What became of one fault."""

    fault: str
    caught_by: str | None
    """The first test that failed; None: nothing noticed."""
    took_s: float
    trouble: str = ""
    """Why nothing can be said: the tests did not run."""


def planted(text: str, fault: Fault) -> str:
    """The text with the fault in it. ValueError when its old text is not there exactly once."""
    found = text.count(fault.old)
    if found != 1:
        raise ValueError(f"{fault.name}: its text is found {found} times in gslb/{fault.file}")
    return text.replace(fault.old, fault.new)


def copy_to(folder: Path) -> Path:
    """The house and its tests, without what was compiled from them."""
    leave = shutil.ignore_patterns("__pycache__", ".hypothesis", "img")
    for name in COPIED:
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, folder / name, ignore=leave)
        elif (ROOT / name).exists():
            shutil.copy(ROOT / name, folder / name)
    return folder


async def tried(folder: Path, fault: Fault) -> Found:
    """Plant, test, and take the fault out again."""
    path = folder / "gslb" / fault.file
    sound = path.read_text()
    path.write_text(planted(sound, fault))
    _forget(path)
    try:
        return await asked(folder, fault.name, fault.tests)
    finally:
        path.write_text(sound)
        _forget(path)


async def asked(folder: Path, name: str, tests: Sequence[str]) -> Found:
    """Run tests in a copy, until the first that fails."""
    command = (sys.executable, "-m", "pytest", "-x", "-q", "-p", "no:cacheprovider", "--no-header")
    own = {k: v for k, v in os.environ.items() if not k.startswith(("PYTEST_", "COV_"))}
    began_s = time.monotonic()
    process = await asyncio.create_subprocess_exec(
        *command,
        *("--tb=no", *tests),
        cwd=folder,
        env=own,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    try:
        out, _ = await asyncio.wait_for(process.communicate(), LIMIT_S)
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    took_s, said = time.monotonic() - began_s, out.decode(errors="replace")
    failed = re.search(r"^FAILED (\S+(?: \S+)*?)(?: - .*)?$", said, re.M)
    if process.returncode == 1 and failed:
        return Found(name, failed[1], took_s)
    trouble = "" if process.returncode == 0 else said[-2000:]
    return Found(name, None, took_s, trouble)


def _forget(path: Path) -> None:
    """Python compares whole seconds and sizes only: what was compiled may be of the text before."""
    for compiled in (path.parent / "__pycache__").glob(f"{path.stem}.*.pyc"):
        compiled.unlink()
