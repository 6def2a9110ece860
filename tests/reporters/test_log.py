"""One line an event, and no line can be forged by what comes from outside."""

import io
import logging

import pytest

from gslb.domain.control import Owner, OwnerKind
from gslb.domain.messages import Event, EventKind
from gslb.domain.topology import SiteName
from gslb.reporters.log import Log, TextLines, escape
from tests.api.fake_operator import a_world

NOW_S = 1_800_000_000.25


def written(formatter: logging.Formatter, *events: Event) -> str:
    logger, out = logging.Logger("gslb"), io.StringIO()  # one of its own
    stream = logging.StreamHandler(out)
    stream.setFormatter(formatter)
    logger.addHandler(stream)
    Log(logger).report(a_world(), events)
    return out.getvalue()


def refused(text: str = "eu stays in: 1 site would be left, 2 are wanted") -> Event:
    return Event(
        kind=EventKind.REFUSED,
        text=text,
        boot_s=100.0,
        wall_s=NOW_S,
        site=SiteName("eu"),
        guard="min_sites",
        owner=Owner(OwnerKind.PERSON, "kim"),
        figures=(("left", 1.0),),
    )


def test_an_event_is_one_line_of_text_with_its_fields() -> None:
    assert written(TextLines(), refused()) == (
        "2027-01-15T08:00:00.250Z WARNING refused eu stays in: 1 site would be left, 2 are wanted"
        " [site=eu owner=person:kim guard=min_sites left=1.0]\n"
    )


@pytest.mark.parametrize("evil", ["\n2027 INFO all is well", "\x1b[2J", "\r", "\u2028", "\x9b1m"])
def test_text_from_outside_forges_no_line_and_moves_no_cursor(evil: str) -> None:
    line = written(TextLines(), refused(f"detail: {evil} end"))
    assert line.count("\n") == 1
    assert line.endswith("\n")
    assert not [c for c in line[:-1] if not c.isprintable()]


def test_what_is_no_event_is_written_too_with_its_traceback_on_one_line() -> None:
    record = logging.LogRecord("gslb.wire", logging.ERROR, __file__, 1, "odd %s", ("thing",), None)
    record.created = NOW_S
    assert TextLines().format(record) == "2027-01-15T08:00:00.250Z ERROR gslb.wire odd thing"
    try:
        raise ValueError("first\nsecond")
    except ValueError as error:
        record.exc_info = (type(error), error, error.__traceback__)
    text = TextLines().format(record)
    assert "first\\nsecond" in text
    assert "\n" not in text
    assert "ValueError" in text


def test_printable_text_stays_as_it_is() -> None:
    assert escape("eu → us, 50 % ✓ “quoted”") == "eu → us, 50 % ✓ “quoted”"
