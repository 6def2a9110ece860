"""The commands that need no API: check and run; and the demo with its switchboard."""

import json
import os
import re
import sys
from pathlib import Path
from typing import Any

import click

from gslb.cli.client import FAILED, USAGE, Client, part
from gslb.cli.render import Command, Face, Group, clean, some
from gslb.domain.errors import ConfigError

CONFIG = click.Path(path_type=Path)
DEFAULT_PATH = Path("/etc/gslb/gslb.yml")
FORMS = click.Choice(["concise", "full", "json", "github"])
PLACE = re.compile(
    r"(?P<file>.*?):(?P<line>\d+):(?P<column>\d+): (?P<severity>error|warning)"
    r"\[(?P<code>\w+)\] (?P<text>.*)",
    re.DOTALL,
)


@click.command(cls=Command)
@click.argument("files", nargs=-1, type=CONFIG, metavar="[FILE]...")
@click.option("--offline", is_flag=True, help="The file only; ask no server.")
@click.option("--format", "form", default="full", show_default=True, type=FORMS)
@click.option("--defaults", is_flag=True, help="Print every value in force, and whence it comes.")
@click.option("--strict", is_flag=True, help="Warnings count as errors.")
@click.pass_obj
def check(
    face: Face, files: tuple[Path, ...], offline: bool, form: str, defaults: bool, strict: bool
) -> int:
    """Is the configuration right, and (live) is everything in it reachable? Changes nothing."""
    from gslb.config.load import load
    from gslb.wiring import KINDS, probe_everything

    found, live = list[str](), list[str]()
    chosen = files or (Path(os.environ.get("GSLB_CONFIG") or DEFAULT_PATH),)
    for path in chosen:
        try:
            configuration = load(path, KINDS)
        except ConfigError as error:
            found += error.problems
            continue
        found += configuration.warnings
        if defaults:
            for key, (value, whence) in configuration.origins.items():
                face.say(f"{key}: {value}   # {whence}")
        live += [] if offline else probe_everything(configuration)
    # Warnings first, so that errors are last on the screen.
    found.sort(key=lambda line: _parts(line)["severity"] == "error")
    form = "json" if face.output == "json" else form
    _show(face, found, live, form)
    errors = sum(1 for line in found if _parts(line)["severity"] == "error")
    failed = any(line.startswith("✗") for line in live)
    bad = errors or (strict and found)
    if form != "json":
        word = f"{some(errors, 'error')}, {some(len(found) - errors, 'warning')}"
        after = "Nothing was changed." if bad else f"Next: gslb run --config {chosen[0]}"
        face.talk(f"{'✗' if bad or failed else '✓'} {word}. {after}")
    return USAGE if bad else FAILED if failed else 0


def _parts(line: str) -> dict[str, Any]:
    """A finding taken apart: file, line, column, severity, code, text."""
    found = PLACE.match(line)
    if not found:
        return {"severity": "error", "text": line}
    return found.groupdict() | {key: int(found[key]) for key in ("line", "column")}


def _show(face: Face, found: list[str], live: list[str], form: str) -> None:
    if form == "json":
        told = {"findings": [_parts(line) for line in found], "live": live}
        face.say(json.dumps(told, ensure_ascii=False))
        return
    secret = {(p["file"], p["line"]) for p in map(_parts, found) if p.get("code") == "E040"}
    for line in found:
        parts = _parts(line)
        if form == "github" and "code" in parts:
            at = "file={file},line={line},col={column}".format(**parts)
            face.say("::{severity} {at},title={code}::{text}".format(at=at, **parts))
            continue
        face.say(clean(line))
        if form == "full" and "code" in parts and (parts["file"], parts["line"]) not in secret:
            _source(face, Path(parts["file"]), parts["line"], parts["column"])
    for line in live:
        face.say(clean(f"live: {line}"))


def _source(face: Face, file: Path, number: int, column: int) -> None:
    try:
        text = file.read_text().splitlines()[number - 1]
    except (OSError, UnicodeDecodeError, IndexError):
        return
    margin = " " * len(str(number))
    face.say(clean(f"{number} | {text}"))
    face.say(f"{margin} | {' ' * (column - 1)}^")


@click.command(cls=Command)
@click.option("--config", default=DEFAULT_PATH, envvar="GSLB_CONFIG", type=CONFIG,
              show_default=True)  # fmt: skip
@click.option("--history", type=CONFIG, help="Append each decision and call to this file.")
def run(config: Path, history: Path | None) -> None:
    """Watch, decide and act, until a signal ends it."""
    from gslb.wiring import run_forever

    run_forever(config, history)


@click.group(cls=Group, invoke_without_command=True)
@click.option("--port", type=click.IntRange(1, 65535), help="Of the API (default: a free one).")
@click.option("--version", default="3.18.0", show_default=True, help="Which Quay to imitate.")
@click.option("--preference", type=click.Choice(["own", "listed"]), default="own",
              help="Which stores a Quay lists: its own, or all.")  # fmt: skip
@click.option("--readonly", is_flag=True, help="The registries are read-only.")
@click.pass_context
def demo(context: click.Context, /, port: int | None, **town: Any) -> int:
    """Three imitation sites, a nameserver and the real controller, on loopback only."""
    if context.invoked_subcommand:
        return 0
    from gslb.demo.run import run_demo

    return run_demo(port, out=click.echo, interactive=sys.stdin.isatty(), **town)


@demo.command("break", cls=Command)
@click.argument("site")
@click.argument("part_name", metavar="PART")
@click.argument("fault")
@click.pass_obj
def break_part(face: Face, site: str, part_name: str, fault: str) -> None:
    """Break a part of the running demo (GSLB_URL: the address that it printed)."""
    path = f"/demo/faults/{part(site)}/{part(part_name)}"
    Client().ask("PUT", path, {"fault": fault})
    face.say(f"{site} {part_name}: {fault}")


@demo.command(cls=Command)
@click.argument("site")
@click.argument("part_name", metavar="[PART]", required=False)
@click.pass_obj
def mend(face: Face, site: str, part_name: str | None) -> None:
    """Mend a part of a site, or all of it."""
    path = f"/demo/faults/{part(site)}" + (f"/{part(part_name)}" if part_name else "")
    Client().ask("DELETE", path)
    face.say(f"{site} {part_name or 'as a whole'}: mended")


COMMANDS = (check, run, demo)
