"""`python -m tests.simulation --seed N [--steps 2000] [-v]`: live one day again and tell it."""

import argparse
import sys
import time

from tests.simulation.days import STEPS, live_day


def main() -> int:
    """Say what was wrong, if anything, and with -v all that happened."""
    options = argparse.ArgumentParser(prog="python -m tests.simulation", description=__doc__)
    options.add_argument("--seed", type=int, required=True, metavar="N")
    options.add_argument("--to", type=int, metavar="M", help="and all seeds up to this one")
    options.add_argument("--steps", type=int, default=STEPS)
    options.add_argument("--hours", type=float, help="a long and quiet day instead")
    options.add_argument("-v", action="store_true", help="tell the whole story")
    given = options.parse_args()
    bad = 0
    for seed in range(given.seed, (given.to or given.seed) + 1):
        began_s = time.process_time()
        day = live_day(seed, given.steps, hours=given.hours)
        took_s = time.process_time() - began_s
        bad += day.bad is not None
        if given.v or (day.bad and not given.to):
            sys.stdout.write(day.told(None if given.v else 60) + "\n")
        scene, last_s = day.scene, day.scene.story[-1][0]
        sys.stdout.write(
            f"seed {seed}: {day.bad or 'clean'}; {scene.steps} steps, {last_s:.0f} s lived in "
            f"{took_s:.1f} s, {scene.shared.epoch} terms, {len(scene.backend.history)} writes\n"
        )
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
