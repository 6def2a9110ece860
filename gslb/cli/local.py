"""The commands that need no API: check and run; and the demo with its switchboard."""

import re
import sys
from pathlib import Path
from typing import Any

import click

from gslb.cli.client import Client, part
from gslb.cli.render import Command, Face, Group

CONFIG = click.Path(path_type=Path)
PLACE = re.compile(r"^(?P<file>.*?):(?P<line>\d+):(?P<col>\d+): (?P<kind>error|warning)")


@click.command(cls=Command)
@click.argument("files", nargs=-1, type=CONFIG)
@click.option("--offline", is_flag=True, help="The file only; ask no server.")
@click.option("--format", "form", default="full", show_default=True,
              type=click.Choice(["concise", "full", "json", "github"]))  # fmt: skip
@click.option("--defaults", is_flag=True, help="Print every value in force.")
@click.option("--strict", is_flag=True, help="Warnings count as errors.")
@click.pass_obj
def check(
    face: Face, files: tuple[Path, ...], offline: bool, form: str, defaults: bool, strict: bool
) -> int:
    """Is the configuration right, and (live) is everything in it reachable? Changes nothing."""
    raise NotImplementedError


@click.command(cls=Command)
@click.option("--config", default="/etc/gslb/gslb.yml", envvar="GSLB_CONFIG", type=CONFIG,
              show_default=True)  # fmt: skip
def run(config: Path) -> None:
    """Watch, decide and act, until a signal ends it."""
    from gslb.wiring import run_forever

    run_forever(config)


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
    Client().ask(
        "DELETE", f"/demo/faults/{part(site)}" + f"/{part(part_name or '')}" * bool(part_name)
    )
    face.say(f"{site} {part_name or 'as a whole'}: mended")


COMMANDS = (check, run, demo)
