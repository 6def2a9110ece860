"""`python -m tests.real.look URL FOLDER PREFIX`: one look at a store by our probe, as JSON.

A process of its own, so that its clock can be shifted by libfaketime.
"""

import asyncio
import json
import sys
from pathlib import Path

from tests.probes.test_s3 import Bench, opened_wire


async def main(url: str, folder: str, prefix: str) -> None:
    async with opened_wire() as wire:
        sys.stdout.write(json.dumps(await Bench(url, Path(folder), wire, prefix=prefix).say()))


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
