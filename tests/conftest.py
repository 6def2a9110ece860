"""The options that the project's tests know."""

import asyncio

import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    options = parser.getgroup("gslb")
    options.addoption("--long", action="store_true", help="run what takes long, too")
    options.addoption(
        "--rewrite", action="store_true", help="write scenarios/*.txt anew, as they now come out"
    )
    options.addoption(
        "--seed", type=int, metavar="N", help="live one day of the simulation again, by its seed"
    )


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if config.getoption("--long"):
        return
    long = [test for test in items if "long" in test.keywords]
    if long:
        config.hook.pytest_deselected(items=long)
        items[:] = [test for test in items if test not in long]


def pytest_sessionstart() -> None:
    # looptime asks for the loop even in tests without one, and would leave open what is made then.
    asyncio.set_event_loop(None)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """What tests measured beside something else in the same run (`record_property("figure")`)."""
    for report in terminalreporter.getreports("passed"):
        for name, said in report.user_properties:
            if name == "figure" and report.when == "call":
                terminalreporter.write_line(f"{report.nodeid.split('::')[-1]}: {said}")
