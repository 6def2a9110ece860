"""Configurations that would do harm, given to a running process: each is refused whole."""

import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.adversary.place import ALL, RESTART_S, Gslb, Place, opened
from tests.kit import until

pytestmark = [pytest.mark.real, pytest.mark.timeout(180)]
Change = Callable[[dict[str, Any]], object]


def rewrite(one: Gslb, change: Change) -> None:
    whole = yaml.safe_load(one.config.read_text())
    change(whole)
    one.config.write_text(yaml.safe_dump(whole, sort_keys=False))


def include_of_ap(one: Gslb) -> Path:
    """Move a site into a file that is included."""
    part = one.folder / "ap.yml"
    whole = yaml.safe_load(one.config.read_text())
    part.write_text(yaml.safe_dump({"sites": {"ap": whole["sites"].pop("ap")}}))
    one.config.write_text(yaml.safe_dump(whole | {"include": ["ap.yml"]}, sort_keys=False))
    return part


async def is_refused(one: Gslb, place: Place, *words: str) -> None:
    """By the signal and by the API: said, and nothing is other than before."""
    assert one.process is not None
    version = (await one.get("/v1/config")).get("version")
    begun = len(one.log)
    one.process.send_signal(signal.SIGHUP)

    async def refused() -> bool:
        return await one.metric("gslb_config_last_reload_successful") == 0.0

    await until(refused, 20, 0.1, what=one.log[begun:])
    status, problem = await one.ask("POST", "/v1/config/reload", remove=[])
    assert status in (409, 422), problem
    assert all(word in str(problem) for word in words), problem
    assert (await one.get("/v1/config")).get("version") == version
    assert place.watch.now == ALL


async def test_each_harmful_file_is_refused_and_one_that_asks_goes_through_the_guards(
    tmp_path: Path,
) -> None:
    async with opened(tmp_path) as place:
        one = place.controller("one")
        part = include_of_ap(one)
        whole, of_ap = one.config.read_text(), part.read_text()
        await one.start()
        await place.serves(ALL)
        harm: list[tuple[Change, tuple[str, ...]]] = [
            (lambda c: c["sites"].pop("us"), ("us is served", "--remove us")),
            (lambda c: c["limits"].update(max_drained=2), ("max_drained", "--loosen")),
            (lambda c: c["limits"].update(min_sites=0), ("min_sites",)),
            (lambda c: c.update(cluster="another"), ("cluster cannot change",)),
        ]
        for change, words in harm:
            rewrite(one, change)
            await is_refused(one, place, *words)
            one.config.write_text(whole)
        for emptied in ("", "sites: {}\n"):
            part.write_text(emptied)
            await is_refused(one, place, "ap")
            part.write_text(of_ap)
        one.config.write_text(whole + "\nsites: [not, a, map\n")
        await is_refused(one, place, "demo.yml")
        one.config.write_text(whole)
        assert await one.tell("POST", "/v1/config/reload")
        # With the word it goes, through the guards: one site at a time, and none is left empty.
        rewrite(one, lambda c: c["sites"].pop("us"))
        assert await one.tell("POST", "/v1/config/reload", remove=["us"])
        await place.serves(ALL - {"us"})


async def test_a_reload_while_a_plan_is_under_way_loses_neither(tmp_path: Path) -> None:
    async with opened(tmp_path) as place:
        one = place.controller("one")
        await one.start()
        await place.serves(ALL)
        one.arm("after_send", "hang")  # until its deadline of 3 s: nobody knows whether it landed
        await place.town.set_fault("eu", "store", "500")
        await until(lambda: not one.armed.exists(), RESTART_S, 0.01)
        rewrite(one, lambda c: c["limits"].update(changes_per_hour=7))
        assert await one.tell("POST", "/v1/config/reload")
        await place.serves(ALL - {"eu"})
        assert await one.metric("gslb_config_last_reload_successful") == 1.0
        await place.town.mend()
        await place.serves(ALL)
