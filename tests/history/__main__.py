"""`python -m tests.history FILE… [--only I4]`: judge merged histories; 1 when one is violated."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from tests.history import INVARIANTS, judge, read


def main(arguments: Sequence[str] | None = None) -> int:
    """Say `clean`, or each violation with its slice."""
    options = argparse.ArgumentParser(prog="python -m tests.history", description=__doc__)
    options.add_argument("files", nargs="+", type=Path)
    options.add_argument("--only", action="append", choices=list(INVARIANTS))
    given = options.parse_args(arguments)
    lines = read(given.files)
    found = judge(lines, given.only)
    for violation in found:
        sys.stdout.write(f"{violation}\n\n")
    names = " ".join(given.only or INVARIANTS)
    verdict = f"{len(found)} violations" if found else "clean"
    sys.stdout.write(f"{verdict}: {len(lines)} lines, invariants {names}\n")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
