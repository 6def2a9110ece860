"""Two replicas on one shared store, whatever happens to them: dice, virtual time, one judge.

A seed that fails is lived again, and told, by `python -m tests.simulation --seed N -v`.
"""

import os

import pytest

from tests.simulation.days import live_day

SEEDS = int(os.environ.get("GSLB_SEEDS", "50"))
PARTS = 5
LONG_SEEDS = 2000
LONG_PARTS = 40
QUIET_DAYS = 10


def lives(seed: int, hours: float | None = None) -> None:
    """One day, and nothing is wrong with it."""
    day = live_day(seed, hours=hours)
    if day.bad is not None:
        again = f"python -m tests.simulation --seed {seed}" + (f" --hours {hours}" if hours else "")
        pytest.fail(f"{day.told(60)}\nseed {seed}: {day.bad}\nagain: {again} -v")


@pytest.mark.parametrize("part", range(PARTS))
@pytest.mark.timeout(300)
def test_two_replicas_keep_every_rule_on_bad_days(part: int) -> None:
    for seed in range(part, SEEDS, PARTS):
        lives(seed)


@pytest.mark.long
@pytest.mark.parametrize("part", range(LONG_PARTS))
@pytest.mark.timeout(1800)
def test_two_replicas_keep_every_rule_on_two_thousand_bad_days(part: int) -> None:
    for seed in range(1000 + part, 1000 + LONG_SEEDS, LONG_PARTS):
        lives(seed)


@pytest.mark.long
@pytest.mark.parametrize("seed", range(QUIET_DAYS))
@pytest.mark.timeout(1800)
def test_two_replicas_live_a_day_of_24_hours_with_rare_faults(seed: int) -> None:
    lives(seed, hours=24)


def test_a_seed_gives_the_same_day_each_time() -> None:
    assert live_day(7, 600).told() == live_day(7, 600).told()
