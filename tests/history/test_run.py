"""`gslb run --history FILE`: the real process writes lines that the judge can read."""

import asyncio
import os
import signal
import sys
from pathlib import Path

from gslb.config.load import load
from gslb.wiring import KINDS
from tests.history import Line, Lines, config_of, judge, read
from tests.kit import free_port, until
from tests.wiring.test_house import targets, write


async def test_a_running_process_appends_its_history_and_a_restart_goes_on_in_it(
    tmp_path: Path,
) -> None:
    port, told = free_port(), tmp_path / "history.jsonl"
    config = write(tmp_path, port)
    with Lines(told, "test") as lines:
        lines.write("config", **config_of(load(config, KINDS).topology))
    async with targets(port):
        for term in (1, 2):
            await _live(config, told, term)
    found = read([told])
    assert [str(v) for v in judge(found)] == []
    assert [x["epoch"] for x in found if x["kind"] == "start"] == [1, 2]
    assert len({x["who"] for x in found if x["kind"] == "start"}) == 2
    assert [x["epoch"] for x in _applied(found)] == [1, 2], "each term raises the generation once"


async def _live(config: Path, told: Path, term: int) -> None:
    """Until its plan is carried out; then ended by a signal."""
    command = ("-m", "gslb", "run", "--config", str(config), "--history", str(told))
    with (config.parent / "log").open("a") as log:
        process = await asyncio.create_subprocess_exec(sys.executable, *command, stderr=log)
        try:
            await until(lambda: len(_applied(read([told]))) >= term, 60)
            os.kill(process.pid, signal.SIGTERM)
            await asyncio.wait_for(process.wait(), 30)
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()


def _applied(lines: list[Line]) -> list[Line]:
    return [x for x in lines if x["kind"] == "call" and x["op"] == "apply"]
