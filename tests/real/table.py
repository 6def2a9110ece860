"""The table of real servers, contract tests and versions: what ran, and what did not and why."""

import re
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, field

import pytest

from tests.real import ceph, rclone

PROGRAMS = {
    "BIND": ("named", "-V"),
    "Knot": ("knotd", "--version"),
    "PowerDNS": ("pdns_server", "--version"),
    "NSD": ("nsd", "-v"),
    "HAProxy": ("haproxy", "-v"),
    "rclone": (),
    "Ceph RGW": (),
    "Prometheus": ("prometheus", "--version"),
    "Alertmanager": ("prometheus-alertmanager", "--version"),
}
WHOSE = (
    (r"TestBind|\[bind|a_secondary|test_rfc2136\.py::test_(?!mistakes)", ("BIND",)),
    (r"TestKnot|\[knot", ("Knot",)),
    (r"TestPowerDns|\[powerdns|a_powerdns_zone", ("PowerDNS",)),
    (r"a_secondary", ("NSD",)),
    (r"test_haproxy\.py::(?!test_it_says)|\[haproxy|test_balancer\.py", ("HAProxy",)),
    (r"TestRclone", ("rclone",)),
    (r"TestRgw", ("Ceph RGW",)),
    (r"test_prometheus\.py", ("Prometheus", "Alertmanager")),
)
"""Whose a test is, by its id."""
RANK = ("", "passed", "not run", "skipped", "FAILED")
NAME_MAX = 88


def servers(test: str) -> Iterator[str]:
    for pattern, names in WHOSE:
        if re.search(pattern, test):
            yield from names


def row(test: str) -> str:
    """What is tried, in words, and the fault that is tried with it; without the server's name."""
    found = re.match(r".*::test_(\w+)(?:\[(.*)\])?$", test, re.S)
    assert found, test
    fault = re.sub(r"^(bind|knot|powerdns|haproxy)-?", "", found[2] or "")
    words = found[1].replace("_", " ")
    if fault:
        fault = f" [{fault[:24]}]"
    return (
        words if len(words + fault) <= NAME_MAX else words[: NAME_MAX - len(fault) - 1] + "…"
    ) + fault


def version(server: str) -> str:
    """As the program itself says it."""
    try:
        if server == "Ceph RGW":
            return ceph.version()
        if server == "rclone":
            return rclone.version()
        program, option = PROGRAMS[server]
        path = shutil.which(program) or shutil.which(program, path="/usr/sbin:/sbin")
        if path is None:
            return "missing"
        said = subprocess.run([path, option], capture_output=True, text=True, check=False)
    except (pytest.skip.Exception, pytest.fail.Exception):
        return "missing"
    found = re.search(r"\d+\.\d[\w.]*", said.stdout + said.stderr)
    return found[0] if found else "unknown"


class Census:
    """Every test there is."""

    def __init__(self) -> None:
        self.tests: list[str] = []

    def pytest_collection_finish(self, session: pytest.Session) -> None:
        self.tests = [item.nodeid for item in session.items]


@dataclass
class Table:
    """A plugin that takes in what became of each test."""

    census: Census = field(default_factory=Census)
    results: dict[str, str] = field(default_factory=dict)
    reasons: dict[str, str] = field(default_factory=dict)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.failed:
            result = "FAILED"
        elif report.skipped:
            result = "skipped"
            self.reasons[report.nodeid] = str(report.longrepr)
        else:
            result = "passed" if report.when == "call" else ""
        before = self.results.get(report.nodeid, "")
        self.results[report.nodeid] = max(before, result, key=RANK.index)

    def cells(self) -> dict[str, dict[str, str]]:
        """By row and server; of several tests in one cell, the worst result."""
        cells: dict[str, dict[str, str]] = {}
        for test in self.census.tests:
            for server in servers(test):
                line = cells.setdefault(row(test), {})
                result = self.results.get(test) or "not run"
                line[server] = max(line.get(server, ""), result, key=RANK.index)
        return cells

    def text(self) -> str:
        """One column a server, its version below its name; below, what the words mean."""
        cells = self.cells()
        wide = max(map(len, cells), default=0)
        widths = {name: max(len(name), 8) for name in PROGRAMS}
        lines = [" " * wide, " " * wide]
        for name, width in widths.items():
            lines[0] += f"  {name:{width}}"
            lines[1] += f"  {version(name)[:width]:{width}}"
        for what, line in cells.items():
            said = "".join(f"  {line.get(name, '·'):{width}}" for name, width in widths.items())
            lines.append(f"{what:{wide}}{said}")
        each = [result for line in cells.values() for result in line.values()]
        sums = ", ".join(f"{each.count(word)} {word}" for word in RANK[1:] if word in each)
        lines += [
            "",
            f"{sums}. ·: not this server's.",
            "not run: takes long (--long), or was not chosen by the arguments.",
        ]
        for test, reason in self.reasons.items():
            lines.append(f"skipped: {test}: {reason}")
        return "\n".join(line.rstrip() for line in lines) + "\n"
