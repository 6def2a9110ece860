"""`gslb demo` as it is run: the real controller over the imitations."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from gslb.demo.run import Demo, open_demo
from tests.kit import until

ALL = {"eu", "us", "ap"}


@pytest.fixture
async def demo(tmp_path: Path) -> AsyncIterator[Demo]:
    async with open_demo(tmp_path, pace=0.1) as running:
        await until(lambda: running.settled, 30, what="every site up and in")
        yield running


async def test_a_dead_store_takes_its_site_out_and_it_returns(demo: Demo):
    await demo.town.set_fault("eu", "store", "refuse")
    await until(lambda: demo.town.answer == ALL - {"eu"}, 30)
    await demo.town.mend()
    await until(lambda: demo.town.answer == ALL, 60)


async def test_a_cut_path_moves_nothing_and_is_said(demo: Demo):
    await demo.town.set_fault("eu", "path", "refuse")
    await until(lambda: demo.house.controller.world.alarms, 30)
    assert demo.town.answer == ALL
