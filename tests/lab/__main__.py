"""`python -m tests.lab [--long] [STORY…]`: live the stories, and print a table of them."""

import argparse
import asyncio
import sys
import tempfile
import time
import traceback
from pathlib import Path

import pytest

from tests.lab.stories import ALL_STORIES
from tests.lab.story import Story, begin, judged, live
from tests.lab.town import town


def say(line: object) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def row(story: Story, store: str, *more: str) -> str:
    return "".join(
        (
            f"{story.name:<26}{store:<8}{story.effect:<16}",
            f"{more[0]:>6}{more[1]:>7}  {more[2]:<7}",
            more[3],
        )
    )


async def tell(stories: list[Story], folder: Path) -> int:
    bad = 0
    async with town(folder) as place:
        begin(place)
        for story in stories:
            begun = time.monotonic()
            try:
                told = await live(place, story)
            except (AssertionError, pytest.fail.Exception):
                bad += 1
                traceback.print_exc(limit=3)
                say(row(story, place.stores[story.site].kind, "", "", "FAILED", ""))
                continue
            took = f"{told.took_s:.1f}" if story.leaves else "-"
            limit = f"{told.bound_s:.1f}" if story.bound else "-"
            print(
                row(
                    story,
                    told.store,
                    took,
                    limit,
                    "ok",
                    f"{told.reason} ({time.monotonic() - begun:.0f} s in all)",
                ),
                flush=True,
            )
        found = judged(place)
    for violation in found:
        say(violation)
    say(f"{len(stories) - bad} of {len(stories)} as told; {len(found)} violations in the history")
    return 1 if bad or found else 0


def main() -> int:
    options = argparse.ArgumentParser(prog="python -m tests.lab", description=__doc__)
    options.add_argument("--long", action="store_true", help="all, not only those of CI")
    options.add_argument("story", nargs="*")
    given = options.parse_args()
    stories = [
        s for s in ALL_STORIES if (s.name in given.story if given.story else given.long or s.ci)
    ]
    with tempfile.TemporaryDirectory(prefix="gslb-lab-") as folder:
        return asyncio.run(tell(stories, Path(folder)))


if __name__ == "__main__":
    sys.exit(main())
