"""Every planted fault is still one, and is caught: three of them here, all with `--long`."""

from pathlib import Path

import pytest

from tests.planted import FAULTS, Fault
from tests.planted.__main__ import run
from tests.planted.planting import ROOT, asked, copy_to, planted

QUICK = ("no-guard-velocity", "an-empty-answer-is-allowed", "no-read-after-a-failure")


@pytest.mark.parametrize("fault", FAULTS, ids=[fault.name for fault in FAULTS])
def test_the_text_of_a_fault_is_found_exactly_once_and_its_tests_exist(fault: Fault) -> None:
    compile(planted((ROOT / "gslb" / fault.file).read_text(), fault), fault.file, "exec")
    for file, _, test in (named.partition("::") for named in fault.tests):
        assert test.split("::")[0] in (ROOT / file).read_text()


def test_the_names_are_different_and_there_are_at_least_fifteen() -> None:
    assert len({fault.name for fault in FAULTS}) == len(FAULTS) >= 15


def test_a_fault_whose_text_is_gone_is_an_error() -> None:
    with pytest.raises(ValueError, match="found 0 times"):
        planted("another text", FAULTS[0])


async def test_three_faults_are_caught(tmp_path: Path) -> None:
    found = await run([fault for fault in FAULTS if fault.name in QUICK], 1, tmp_path)
    assert len(found) == len(QUICK)
    assert [one for one in found if not one.caught_by] == []


async def test_what_changes_nothing_is_not_caught_and_what_cannot_run_is_not_either(
    tmp_path: Path,
) -> None:
    copy = copy_to(tmp_path)
    sound = await asked(copy, "none", ["tests/domain"])
    assert (sound.caught_by, sound.trouble) == (None, "")
    (copy / "gslb" / "domain" / "traffic.py").write_text("no Python")
    broken = await asked(copy, "broken", ["tests/domain"])
    assert broken.caught_by is None
    assert broken.trouble


@pytest.mark.long
@pytest.mark.timeout(1800)
async def test_every_fault_is_caught(tmp_path: Path) -> None:
    found = await run(FAULTS, 2, tmp_path)
    assert [one for one in found if not one.caught_by] == []
    assert len(found) == len(FAULTS)
