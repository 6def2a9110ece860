"""`python -m tests.real [--long] [pytest's arguments]`: each real server under its contracts, as
one table. The tests' own output goes to stderr."""

import contextlib
import sys

import pytest

from tests.real.table import Table

TESTS = (
    "tests/backends/test_rfc2136.py",
    "tests/backends/test_haproxy.py",
    "tests/real",
    "tests/e2e/test_balancer.py",
    "tests/e2e/test_prometheus.py",
)


def main(arguments: list[str]) -> int:
    table = Table()
    with contextlib.redirect_stdout(sys.stderr):
        # All that there is, so that what does not run is in the table too.
        pytest.main([*TESTS, "--long", "--collect-only", "-qq"], plugins=[table.census])
        code = pytest.main([*TESTS, "-n", "2", "-q", *arguments], plugins=[table])
    sys.stdout.write(table.text())
    return int(code)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
