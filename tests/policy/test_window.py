import calendar
from dataclasses import replace

import pytest

from gslb.domain.topology import Freeze, Window
from gslb.policy.moment import Moment
from gslb.policy.window import check_cron, frozen_until
from tests.policy.build import Life, topology

ZERO_S = float(calendar.timegm((2026, 3, 6, 22, 0, 0)))  # a Friday


def frozen(at_s: float, *windows: Window) -> tuple[tuple[Freeze, str] | None, float | None]:
    """What is frozen `at_s` after Friday 22:00 UTC, and the next moment to look (the same way)."""
    world = replace(Life(settle_s=0).world, offset_s=ZERO_S)
    world = replace(world, topology=replace(topology(), windows=windows))
    moment = Moment(at_s)
    return frozen_until(world, moment), moment.wake_at_s


@pytest.mark.parametrize(
    ("cron", "for_s", "at_s", "is_frozen", "look_s"),
    [
        ("0 22 * * *", 3600, 0, True, 3600),
        ("0 22 * * *", 3600, 3599.5, True, 3600),
        ("0 22 * * *", 3600, 3600, False, 3660),
        ("0 22 * * *", 3600, -0.5, False, 0),
        ("0 22 * * 5", 3600, 60, True, 3600),  # Friday
        ("0 22 * * 1-4", 3600, 60, False, 120),
        ("0 22 * * 0,7", 3600, 60, False, 120),
        ("0 22 * * 0,7", 3600, 2 * 86400 + 60, True, 2 * 86400 + 3600),  # Sunday, either way
        ("0 22 * * 7", 3600, 2 * 86400 + 60, True, 2 * 86400 + 3600),
        ("*/15 * * * *", 60, 15 * 60, True, 16 * 60),
        ("*/15 * * * *", 60, 16 * 60, False, 17 * 60),
        ("0 22 6 3 *", 60, 30, True, 60),
        ("0 22 7 3 *", 60, 30, False, 60),
        ("0 22 6 4 *", 60, 30, False, 60),
        ("0 22 * * *", 90000, 3700, True, 90000),  # longer than a day
    ],
)
def test_a_window_freezes_from_its_minute_for_its_length(
    cron: str, for_s: float, at_s: float, is_frozen: bool, look_s: float
) -> None:
    found, wake_s = frozen(at_s, Window(cron=cron, for_s=for_s))
    assert (found is not None) is is_frozen
    assert wake_s == look_s


def test_the_strongest_of_several_holds() -> None:
    returns = Window(cron="* * * * *", for_s=60)
    every = Window(cron="* * * * *", for_s=60, freeze=Freeze.ALL)
    found, _ = frozen(5, returns, every)
    assert found is not None
    assert found == (Freeze.ALL, "the window `* * * * *` freezes all for 55 s")


def test_without_windows_nothing_is_frozen() -> None:
    assert frozen(0) == (None, None)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("0 22 * *", "has 4 fields"),
        ("60 22 * * *", "not within 0..59"),
        ("0 22 0 * *", "not within 1..31"),
        ("5-1 * * * *", "not within"),
        ("a * * * *", "invalid literal"),
    ],
)
def test_a_wrong_cron_line_is_told(text: str, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        check_cron(text)


def test_a_right_cron_line_is_taken() -> None:
    check_cron("*/5 1,2 1-15 * 7")
