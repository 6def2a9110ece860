"""One line an event in the log of the process, as text or as JSON."""

import json
import logging
import re
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from gslb.domain.messages import Event, EventKind
from gslb.domain.world import World

WARNINGS = frozenset(
    {
        *(EventKind.SHARED, EventKind.ALARM, EventKind.REFUSED, EventKind.DRIFT, EventKind.STORE),
        *(EventKind.CONFLICT, EventKind.BACKEND, EventKind.FENCED, EventKind.CLOCK),
    }
)
FIELDS = (
    *("site", "service", "backend", "incident", "owner", "guard", "before", "after", "cause"),
)


class Log:
    """A Reporter: hands each event to the logger `gslb`, which never waits long for a line."""

    def __init__(self, logger: logging.Logger | None = None) -> None:
        self._logger = logger or logging.getLogger("gslb")

    def report(self, world: World, events: Sequence[Event]) -> None:
        """Write one line an event."""
        for event in events:
            level = logging.WARNING if event.kind in WARNINGS else logging.INFO
            self._logger.log(level, "%s", event.text, extra={"event": event})


class TextLines(logging.Formatter):
    """`2026-11-24T13:02:29.100Z WARNING refused eu stays in: ... [site=eu guard=min_sites]`."""

    def format(self, record: logging.LogRecord) -> str:
        """One record as one line."""
        told = _told(record)
        kind, text = told.pop("type"), told.pop("text")
        rest = " ".join(f"{key}={value}" for key, value in told.items())
        line = f"{_time(record)} {record.levelname} {kind} {text}" + (f" [{rest}]" if rest else "")
        return escape(line if not record.exc_info else line + " " + _trace(self, record))


class JsonLines(logging.Formatter):
    """One object a line; what an event says beside its text has a field each."""

    def format(self, record: logging.LogRecord) -> str:
        """One record as one line (json escapes control characters itself)."""
        head = {"time": _time(record), "level": record.levelname.lower()}
        trace = {"trace": _trace(self, record)} if record.exc_info else {}
        return json.dumps(head | _told(record) | trace)


def escape(text: str) -> str:
    """Make control characters visible: text from outside must not forge a line or move a cursor."""
    return re.sub(
        r"[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]",
        lambda found: found.group().encode("unicode_escape").decode(),
        text,
    )


def _told(record: logging.LogRecord) -> dict[str, Any]:
    event = getattr(record, "event", None)
    if not isinstance(event, Event):
        return {"type": record.name, "text": record.getMessage()}
    fields = {name: getattr(event, name) for name in FIELDS}
    said = {name: str(value) for name, value in fields.items() if value is not None}
    return {"type": str(event.kind), "text": event.text} | said | dict(event.figures)


def _time(record: logging.LogRecord) -> str:
    event = getattr(record, "event", None)
    wall_s = event.wall_s if isinstance(event, Event) else record.created
    told = datetime.fromtimestamp(wall_s, UTC).isoformat(timespec="milliseconds")
    return told.replace("+00:00", "Z")


def _trace(formatter: logging.Formatter, record: logging.LogRecord) -> str:
    return formatter.formatException(record.exc_info) if record.exc_info else ""
