"""`python -m tests.planted [NAME…] [-j N]`: plant each fault alone; 1 when one is not caught."""

import argparse
import asyncio
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from tests.planted.faults import FAULTS, Fault
from tests.planted.planting import Found, asked, copy_to, tried


async def run(faults: Sequence[Fault], jobs: int, folder: Path) -> list[Found]:
    """First the sound house must pass; then each fault, `jobs` at a time."""
    copies = [copy_to(folder / str(n)) for n in range(jobs)]
    left = list(dict.fromkeys(test for fault in faults for test in fault.tests))
    sound = await asyncio.gather(
        *(asked(copy, "(none)", left[n::jobs]) for n, copy in enumerate(copies) if left[n::jobs])
    )
    for one in sound:
        _say(one)
    if any(one.caught_by or one.trouble for one in sound):
        return list(sound)
    todo, found = list(faults), list[Found]()

    async def work(copy: Path) -> None:
        while todo:
            found.append(await tried(copy, todo.pop(0)))
            _say(found[-1])

    async with asyncio.TaskGroup() as tasks:
        for copy in copies:
            tasks.create_task(work(copy))
    return found


def _say(found: Found) -> None:
    by = found.caught_by or found.trouble or "-"
    sys.stdout.write(f"{found.fault:36} {found.took_s:6.1f} s  {by}\n")
    sys.stdout.flush()


def main(arguments: Sequence[str] | None = None) -> int:
    """Print fault, seconds, and the test that caught it."""
    options = argparse.ArgumentParser(prog="python -m tests.planted", description=__doc__)
    options.add_argument("names", nargs="*", metavar="NAME", help="of faults (default: all)")
    options.add_argument("-j", "--jobs", type=int, default=2)
    given = options.parse_args(arguments)
    unknown = set(given.names) - {fault.name for fault in FAULTS}
    if unknown:
        options.error(f"no such fault: {', '.join(sorted(unknown))}")
    faults = [fault for fault in FAULTS if not given.names or fault.name in given.names]
    with tempfile.TemporaryDirectory() as folder:
        found = asyncio.run(run(faults, given.jobs, Path(folder)))
    if found and found[0].fault == "(none)":
        sys.stdout.write("the sound house does not pass these tests\n")
        return 1
    caught = [one for one in found if one.caught_by]
    sys.stdout.write(f"{len(caught)} of {len(found)} faults are caught\n")
    return 0 if len(caught) == len(found) else 1


if __name__ == "__main__":
    sys.exit(main())
