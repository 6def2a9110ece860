"""`python -m tests.lab [--long] [STORY…]`: live the stories, and print a table of them."""

import argparse
import asyncio
import sys
import tempfile
import time
from pathlib import Path

import pytest

from tests.lab.stories import ALL_STORIES
from tests.lab.story import Story, begin, judged, live
from tests.lab.town import Town, town


def say(line: object) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def row(story: Story, store: str, *more: str) -> str:
    took, limit, verdict, reason = more
    told = f"{story.name:<28}{store:<8}{story.effect:<15}{took:>6}{limit:>7}  {verdict:<8}"
    return told + reason


async def told(place: Town, story: Story) -> bool:
    """One row; was it as the story has it?"""
    store, begun = place.stores[story.site].kind, time.monotonic()
    try:
        done = await live(place, story)
    except (AssertionError, pytest.fail.Exception) as wrong:
        say(row(story, store, "-", "-", "FAILED", str(wrong)[:300]))
        say("\n".join(getattr(wrong, "__notes__", ())))
        return False
    took = f"{done.took_s:.1f}" if story.leaves else "-"
    more = f"{done.reason} ({time.monotonic() - begun:.0f} s in all)"
    say(row(story, store, took, f"{done.bound_s:.1f}", "ok", more))
    return True


async def tell(stories: list[Story], folder: Path) -> int:
    say(row_of_heads())
    async with town(folder) as place:
        begin(place)
        good = [await told(place, story) for story in stories]
        found = judged(place)
    for violation in found:
        say(violation)
    say(f"{sum(good)} of {len(stories)} as told; {len(found)} violations in the history")
    return 0 if all(good) and not found else 1


def row_of_heads() -> str:
    heads = f"{'STORY':<28}{'STORE':<8}{'EFFECT':<15}{'TOOK':>6}{'BOUND':>7}  {'VERDICT':<8}"
    return heads + "REASON"


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
