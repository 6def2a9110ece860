"""The lab's stories, each in real time: five in every run, all of them with --long."""

import tempfile
from pathlib import Path

import pytest

from tests.lab.__main__ import tell
from tests.lab.stories import ALL_STORIES, GROUPS
from tests.lab.story import Story

pytestmark = pytest.mark.real


async def lived(stories: tuple[Story, ...]) -> None:
    # Not in tmp_path: a path to a socket has 107 characters at most.
    with tempfile.TemporaryDirectory(prefix="gslb-lab-") as folder:
        assert await tell(list(stories), Path(folder)) == 0, "the table is above"


@pytest.mark.timeout(420)
async def test_five_stories() -> None:
    await lived(tuple(story for story in ALL_STORIES if story.ci))


@pytest.mark.long
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("group", GROUPS)
async def test_all_stories(group: str) -> None:
    await lived(GROUPS[group])


def test_there_are_as_many_stories_as_were_asked_for() -> None:
    assert len({story.name for story in ALL_STORIES}) == len(ALL_STORIES) >= 25
    assert sum(story.site == "us" for story in ALL_STORIES) >= 10, "us is on Ceph RGW"
    assert sum(story.ci for story in ALL_STORIES) == 5
