"""`gslb`: the command line. Exit codes, words and options: interface.md, section 3."""

import sys
from collections.abc import Sequence

import click

from gslb import __version__
from gslb.cli import commands, control, emergency, local, plan
from gslb.cli.client import INTERRUPTED, Client, Stop
from gslb.cli.render import Face, Group
from gslb.cli.report import report
from gslb.domain.errors import ConfigError, GslbError
from gslb.policy.guard import GUARDS

EXIT_CODES = """\
  0  done, or all as wanted          6  refused by a guard, its id is on stderr
  1  failed                          7  stopped waiting, the operation goes on
  2  usage or configuration wrong    8  not allowed
  3  status: something needs you     9  the API was not reached
  4  status: cannot tell            10  changed meanwhile
  5  changes pending               130  interrupted"""
ENVIRONMENT = """\
  GSLB_URL         http(s)://HOST:PORT or unix:PATH (default: unix:/run/gslb/api.sock if readable,
                   else http://127.0.0.1:8080)
  GSLB_TOKEN_FILE  a file with the token; GSLB_TOKEN: the token itself (for CI)
  GSLB_CACERT      whom to trust over https; GSLB_CERT, GSLB_KEY: our own certificate
  GSLB_CONFIG      the configuration of run, check and emergency (default: /etc/gslb/gslb.yml)
  GSLB_OUTPUT      table, json, yaml or name
  GSLB_ACCESSIBLE  1: one fact a line, no columns, no redraws; NO_COLOR: no colours"""
GUARDS_HEAD = """\
A guard refuses a move that could do harm. Those with * may be skipped by a person who names them:
--skip GUARD --reason WHY (scope override)."""


@click.group(cls=Group, context_settings={"help_option_names": ["-h", "--help"]})
def cli() -> None:
    """Keeps a geo-replicated registry reachable: watches sites, moves traffic, says why."""


@cli.command("help")
@click.argument("topic", type=click.Choice(["exit-codes", "environment", "guards"]))
@click.pass_obj
def explain_topic(face: Face, topic: str) -> None:
    """What exit codes, environment variables and guards mean."""
    guards = [f"  {g.id + ' *' * g.skippable:<16} {g.rule}" for g in GUARDS]
    told = {"exit-codes": EXIT_CODES, "environment": ENVIRONMENT}
    face.say(told.get(topic) or "\n".join((GUARDS_HEAD, *guards)))


@cli.command()
@click.pass_obj
def version(face: Face) -> None:
    """Our version, and the server's if it is reached."""
    python = ".".join(map(str, sys.version_info[:3]))
    face.say(f"gslb {__version__} · Python {python} · API v1 · {Client().url}")


@cli.command()
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def completion(shell: str) -> None:
    """Print the completion script of a shell: gslb completion bash > FILE."""
    from click.shell_completion import get_completion_class

    kind = get_completion_class(shell)
    assert kind is not None
    click.echo(kind(cli, {}, "gslb", "_GSLB_COMPLETE").source())


for each in (
    *commands.COMMANDS,
    *control.COMMANDS,
    *plan.COMMANDS,
    *local.COMMANDS,
    emergency.emergency,
    report,
):
    cli.add_command(each)


def main(arguments: Sequence[str] | None = None) -> None:
    """The entry of `gslb` and `python -m gslb`; ends the process with an exit code."""
    sys.exit(run(arguments))


def run(arguments: Sequence[str] | None = None) -> int:
    """One command; gives its exit code."""
    try:
        code = cli.main(arguments, "gslb", standalone_mode=False, obj=Face())
        return code if isinstance(code, int) else 0
    except Stop as stop:
        Face().talk(str(stop))
        return stop.code
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except (click.Abort, KeyboardInterrupt):
        Face().talk("interrupted")
        return INTERRUPTED
    except BrokenPipeError:
        sys.stdout = None  # nobody reads: no second error at the end
        return 1
    except ConfigError as error:
        Face().talk("\n".join(error.problems))
        return 2
    except GslbError as error:
        Face().talk(f"✗ {error}")
        return 1
