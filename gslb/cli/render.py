"""What the API says, as text: states as symbol and word, tables that never wrap, times in words."""

import json
import os
import shutil
import sys
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import click
import yaml
from rich.cells import cell_len, set_cell_size

from gslb.cli.client import Body, Reply
from gslb.policy.summary import length

MARKS = {
    **{"up": ("✓", "green"), "down": ("✗", "red"), "degraded": ("△", "yellow")},
    "unknown": ("?", "bright_black"),
}
ASCII = str.maketrans({"→": "->", "−": "-", "·": "-", "…": "...", "✓": "+", "✗": "x", "△": "^"})


@dataclass
class Face:
    """How this command talks: form, plainness, clock, colour."""

    output: str = "table"
    plain: bool = False
    utc: bool = False
    color: str = "auto"

    @property
    def width(self) -> int:
        """Columns of the terminal; what goes to a pipe is not cut."""
        known = sys.stdout.isatty() or "COLUMNS" in os.environ
        return shutil.get_terminal_size((80, 24)).columns if known else 1000

    def say(self, text: str = "") -> None:
        """A line of data, to stdout."""
        click.echo(_fitting(text, sys.stdout), color=self._colours())

    def tell(self, head: str, text: str, indent: int = 12) -> None:
        """A line of data after its head, which goes on below itself where it is too long."""
        lines = textwrap.TextWrapper(self.width, f"{head:<{indent}}", " " * indent)
        lines.break_long_words = lines.break_on_hyphens = False
        self.say(lines.fill(text))

    def talk(self, text: str) -> None:
        """A line for the person, to stderr."""
        click.echo(_fitting(text, sys.stderr), err=True, color=self._colours())

    def give(self, reply: Reply, names: Sequence[str]) -> bool:
        """Print it in the form that was asked for; False: a table is wanted."""
        if self.output == "json":
            click.echo(reply.text)
        elif self.output == "yaml":
            click.echo(yaml.safe_dump(reply.body, sort_keys=False, allow_unicode=True), nl=False)
        elif self.output == "name":
            click.echo("".join(f"{name}\n" for name in names), nl=False)
        return self.output != "table"

    def mark(self, state: str) -> str:
        """`✓ up`: symbol and word, in colour where there is some."""
        symbol, colour = MARKS.get(state, MARKS["unknown"])
        return click.style(f"{symbol} {state}", fg=colour)

    def table(self, head: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
        """Below 100 and 80 columns the last ones go; plain: one fact a line."""
        if self.plain:
            for row in rows:
                for name, cell in zip(head[1:], row[1:], strict=True):
                    if cell:
                        self.say(f"{click.unstyle(row[0])} {name.lower()}: {click.unstyle(cell)}")
            return
        columns = len(head) - (self.width < 100) - (self.width < 80)
        cells = [list(row[:columns]) for row in (head, *rows)]
        sizes = [max(cell_len(click.unstyle(row[i])) for row in cells) for i in range(columns)]
        for row in cells:
            line = "  ".join(_fill(cell, size) for cell, size in zip(row, sizes, strict=True))
            self.say(fit(line.rstrip(), self.width))

    def clock(self, iso: object, form: str = "%H:%M:%S") -> str:
        """`14:02:29`, of local time or UTC; with the date when it is not of today."""
        moment = parse_time(iso)
        if moment is None:
            return ""
        local = moment.astimezone(UTC if self.utc else None)
        same_day = local.date() == datetime.now(local.tzinfo).date()
        return local.strftime(form if same_day else f"%Y-%m-%d {form}")

    def when(self, iso: object) -> str:
        """`14:02:29 CET (6 min ago)`."""
        moment = parse_time(iso)
        if moment is None:
            return ""
        zone = moment.astimezone(UTC if self.utc else None).strftime("%Z")
        away_s = (moment - datetime.now(UTC)).total_seconds()
        told = f"in {span(away_s)}" if away_s > 0 else f"{span(away_s)} ago"
        return f"{self.clock(iso)} {zone} ({told})"

    def _colours(self) -> bool | None:
        if self.color == "always":
            return True
        bare = "NO_COLOR" in os.environ or os.environ.get("TERM") == "dumb" or self.plain
        return False if bare or self.color == "never" else None


def _keep(context: click.Context, option: click.Parameter, value: Any) -> None:
    if value and option.name:
        setattr(context.ensure_object(Face), option.name, value)


def _common() -> list[click.Parameter]:
    forms, colours = click.Choice(["table", "json", "yaml", "name"]), ["auto", "always", "never"]
    keep: dict[str, Any] = {"expose_value": False, "callback": _keep}
    accessible = "One fact a line; no columns, colours or redraws."
    return [
        click.Option(["-o", "--output"], type=forms, envvar="GSLB_OUTPUT", help="Form.", **keep),
        click.Option(["--plain"], is_flag=True, envvar="GSLB_ACCESSIBLE", help=accessible, **keep),
        click.Option(["--utc"], is_flag=True, help="Times in UTC.", **keep),
        click.Option(["--color"], type=click.Choice(colours), help="Colours (auto).", **keep),
    ]


class Command(click.Command):
    """A command that takes the common options too, so that they may stand anywhere."""

    def __init__(self, *args: Any, **more: Any) -> None:
        super().__init__(*args, **more)
        self.params += _common()


class Group(Command, click.Group):
    """A group of such commands."""

    command_class = Command


def parse_time(value: object) -> datetime | None:
    """An RFC 3339 time, or None where there is none."""
    try:
        return datetime.fromisoformat(str(value))
    except ValueError:
        return None


def span(seconds: float) -> str:
    """`6 min`, `3 h`, `12 d`: as the API's sentences say it, without its sign."""
    return length(abs(seconds))


def some(count: int, noun: str) -> str:
    """`1 site`, `2 sites`."""
    return f"{count} {noun}{'' if count == 1 else 's'}"


def since(iso: object) -> str:
    """How long ago, or nothing."""
    moment = parse_time(iso)
    return span((datetime.now(UTC) - moment).total_seconds()) if moment else ""


def fit(text: str, width: int) -> str:
    """Cut what does not fit, and say so by `…`."""
    if cell_len(click.unstyle(text)) <= width:
        return text
    return set_cell_size(click.unstyle(text), width - 1) + "…"


def event_line(face: Face, event: Body) -> str:
    """`14:02:29 site      fra up → down because store.write (own)      i-192`."""
    if face.output == "json":
        return json.dumps(event, ensure_ascii=False)
    incident = f"  {event['incident']}" if event.get("incident") else ""
    return clean(f"{face.clock(event['at'])} {event['type']:<9} {event['text']}{incident}")


def clean(value: Any) -> str:
    """Text from outside, without what could move the cursor."""
    return "".join(c if c.isprintable() else " " for c in str(value))


def _fill(cell: str, size: int) -> str:
    return cell + " " * (size - cell_len(click.unstyle(cell)))


def _fitting(text: str, stream: Any) -> str:
    utf8 = "utf" in (getattr(stream, "encoding", "") or "").lower()
    return text if utf8 else text.translate(ASCII)
