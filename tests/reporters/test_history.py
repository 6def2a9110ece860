"""The history: lines that a judge can read, and a file that never gets in the way."""

import json
import os
from pathlib import Path

import pytest

from gslb.domain.control import Now
from gslb.domain.errors import BackendFenced
from gslb.domain.messages import Apply, Read
from gslb.domain.traffic import Change, Generation, Plan, Pool
from gslb.reporters.history import BYTES_MAX, History, history_file
from tests.api.fake_operator import DNS, EU, QUAY, US, a_world, answer
from tests.history import Line


class Clock:
    """Stands still."""

    def now(self) -> Now:
        return Now(100.0, 1.8e9)


def order() -> Apply:
    pool = Pool(service=QUAY, members=())
    change = Change(pool=pool, before=answer(EU, US), after=answer(US))
    leaves = Generation("c", "i", 3, 7)
    plan = Plan(backend=DNS, epoch=3, changes=(change,), expects=None, leaves=leaves, digest="d")
    return Apply(plan=plan, revision=4)


def test_calls_and_saved_plans_tell_what_was_to_be_changed() -> None:
    lines: list[Line] = []
    history = History(lines.append, "r1", Clock())
    history.call("save", order(), 99.0, None)
    history.call("apply", order(), 99.5, BackendFenced("other"))
    history.call("read", Read(backend=DNS, epoch=3, pools=()), 99.9, None)
    saved, applied, read = lines
    before, after = ([t.value for t in a.targets] for a in (answer(EU, US), answer(US)))
    changes = [{"service": QUAY, "before": sorted(before), "after": after}]
    assert saved == {
        "t": 100.0, "who": "r1", "kind": "saved", "backend": DNS, "epoch": 3, "seq": 7,
        "begun": 99.0, "revision": 4, "error": None, "changes": changes,
    }  # fmt: skip
    assert (applied["op"], applied["outcome"]) == ("apply", "fenced")
    assert applied["error"] == "BackendFenced: other"
    assert (read["op"], read["outcome"], read["epoch"], read["lease"]) == ("read", "ok", 3, None)
    json.dumps(lines)


def test_a_term_is_told_once() -> None:
    lines: list[Line] = []
    history = History(lines.append, "r1", Clock())
    history.report(a_world(), ())
    history.report(a_world(), ())
    assert [x["kind"] for x in lines].count("start") == 1


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="no /dev/full here")
def test_a_full_disk_is_not_the_loops_trouble() -> None:
    with history_file(Path("/dev/full")) as write:
        write({"t": 1.0})


def test_each_line_is_there_at_once_and_the_file_does_not_grow_without_end(tmp_path: Path) -> None:
    path = tmp_path / "history.jsonl"
    with history_file(path) as write:
        write({"t": 1.0, "kind": "start"})
        assert json.loads(path.read_text()) == {"t": 1.0, "kind": "start"}
    os.truncate(path, BYTES_MAX)  # sparse
    with history_file(path) as write:
        write({"t": 2.0})
    assert path.stat().st_size == BYTES_MAX
