"""One line an event in the log of the process."""

import logging
import re
from collections.abc import Sequence
from datetime import UTC, datetime

from gslb.domain.messages import Event, EventKind
from gslb.domain.world import World

WARNINGS = frozenset(
    {
        *(EventKind.SHARED, EventKind.ALARM, EventKind.REFUSED, EventKind.DRIFT, EventKind.STORE),
        *(EventKind.CONFLICT, EventKind.BACKEND, EventKind.FENCED, EventKind.CLOCK),
    }
)
FIELDS = ["site", "service", "backend", "incident", "owner", "guard", "before", "after", "cause"]


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
        event = getattr(record, "event", None)
        wall_s, told, rest = record.created, f"{record.name} {record.getMessage()}", ""
        if isinstance(event, Event):
            wall_s, told = event.wall_s, f"{event.kind} {event.text}"
            fields = {name: getattr(event, name) for name in FIELDS} | dict(event.figures)
            rest = " ".join(f"{key}={value}" for key, value in fields.items() if value is not None)
        time = datetime.fromtimestamp(wall_s, UTC).isoformat(timespec="milliseconds")
        line = f"{time.replace('+00:00', 'Z')} {record.levelname} {told}"
        trace = f" {self.formatException(record.exc_info)}" if record.exc_info else ""
        return escape(line + (f" [{rest}]" if rest else "") + trace)


def escape(text: str) -> str:
    """Make control characters visible: text from outside must not forge a line or move a cursor."""
    return re.sub(
        r"[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]",
        lambda found: found.group().encode("unicode_escape").decode(),
        text,
    )
