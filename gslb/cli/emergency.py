"""`gslb emergency drain`: break-glass, without API and store, for a person who knows why."""

import asyncio
import sys
from pathlib import Path

import click

from gslb.cli.client import CHANGED, FAILED, REFUSED, USAGE, Stop
from gslb.cli.commands import unknown
from gslb.cli.control import REASON
from gslb.cli.local import CONFIG, DEFAULT_PATH
from gslb.cli.render import Command, Face, Group, clean
from gslb.config.load import Configuration, load
from gslb.domain.errors import BackendError, BackendFenced
from gslb.domain.topology import BackendName, SiteName
from gslb.domain.traffic import Fencing
from gslb.policy.learn_backends import say_answer


@click.group(cls=Group)
def emergency() -> None:
    """When neither the controller nor its store can be had."""


@emergency.command(cls=Command)
@click.argument("site")
@click.option("--backend", help="Only there (default: at every backend).")
@REASON
@click.option("--yes", metavar="SITE", help="The site's name once more, instead of typing it.")
@click.option("--config", default=DEFAULT_PATH, envvar="GSLB_CONFIG", type=CONFIG,
              show_default=True)  # fmt: skip
@click.pass_obj
def drain(
    face: Face, site: str, backend: str | None, reason: str, yes: str | None, config: Path
) -> int:
    """Take a site out straight at the backends; not the last one. The controller then stops there
    until a person says `gslb adopt`."""
    from gslb.wiring import KINDS

    configuration = load(config, KINDS)
    names = [s.name for s in configuration.topology.sites]
    if site not in names:
        raise unknown("site", site, names)
    if backend is not None and backend not in configuration.backends:
        raise unknown("backend", backend, configuration.backends)
    only = None if backend is None else BackendName(backend)
    return asyncio.run(_drain(face, configuration, SiteName(site), only, reason, yes))


async def _drain(
    face: Face,
    configuration: Configuration,
    site: SiteName,
    only: BackendName | None,
    reason: str,
    yes: str | None,
) -> int:
    from gslb.wiring.emergency import carry_out, drafts

    code, done = 0, list[BackendName]()
    async with drafts(configuration, site, only) as found:
        for draft in found:
            for change in draft.plan.changes if draft.plan else ():
                face.talk(clean(f"{draft.name}  {change.after.name}"))
                face.talk(clean(f"  now    {say_answer(change.before)}"))
                face.talk(clean(f"  then   {say_answer(change.after)}"))
            if draft.error:
                code = FAILED
                face.talk(clean(f"✗ {draft.name} cannot be read and is left out: {draft.error}"))
        for draft in found:
            if draft.refused:
                guard, text = draft.refused
                raise Stop(REFUSED, clean(f"✗ refused by {guard}: {text}. Nothing was changed."))
        todo = [d for d in found if d.plan and d.plan.changes]
        if not todo:
            face.say(f"{site} is in no answer that could be read: nothing to do.")
            return code
        _type(site, yes)
        _hold(face, configuration, [d.name for d in todo])
        for draft in todo:
            try:
                late = await carry_out(draft, reason)
            except BackendFenced as error:
                face.talk(clean(f"✗ {draft.name} was changed meanwhile: {error}. Look again."))
                code = code or CHANGED
                continue
            except BackendError as error:
                face.talk(clean(f"✗ {draft.name}: {error}: it may or may not be written"))
                code = FAILED
                continue
            done.append(draft.name)
            code = FAILED if late else code
            told = f"written; not read back: {late}" if late else "written and read back"
            face.say(clean(f"{'✗' if late else '✓'} {draft.name}: {told}"))
    _back(face, configuration, site, done)
    return code


def _type(site: str, yes: str | None) -> None:
    if yes is None and not sys.stdin.isatty():
        raise Stop(USAGE, f"✗ Nobody can be asked here: repeat with --yes {site}.")
    typed = click.prompt("Type the site's name to take it out", err=True) if yes is None else yes
    if typed.strip() != site:
        raise Stop(USAGE, f"✗ {typed.strip()!r} is not {site}. Nothing was changed.")


def _unfenced(configuration: Configuration, names: list[BackendName]) -> list[BackendName]:
    specs = configuration.topology.backends
    return [b.name for b in specs if b.name in names and b.shape.fencing is Fencing.TIME]


def _hold(face: Face, configuration: Configuration, names: list[BackendName]) -> None:
    """Nothing fences these: a controller would put the site back, unless it is paused."""
    names, pause = _unfenced(configuration, names), configuration.store.parent / "pause"
    if names:
        try:
            pause.touch()
        except OSError as error:
            face.talk(f"! {', '.join(names)} cannot be fenced, and {pause} not be made: {error}.")
            face.talk("  Stop the controller, wherever it runs, or it puts the site back.")


def _back(
    face: Face, configuration: Configuration, site: SiteName, done: list[BackendName]
) -> None:
    """What the controller says now, and how to come back."""
    loose = _unfenced(configuration, done)
    fenced = [name for name in done if name not in loose]
    pause = configuration.store.parent / "pause"
    face.say()
    for name in fenced:
        face.say(f"The controller, once it reads {name}, says that it is in conflict: it belongs")
        face.say("  to another instance, `emergency`. It writes nothing there until `adopt`.")
    if loose and pause.exists():
        face.say(f"{', '.join(loose)} cannot be fenced, so all automation is off: {pause}")
    if done:
        face.say("To come back, once the controller runs:")
        face.say(f"  gslb drain {site} --for 4h --reason …   keeps it out, whatever its probes say")
    for name in fenced:
        face.say(f"  gslb adopt {name} --reason …")
    if loose:
        face.say(f"  rm {pause}")
    if done:
        face.say(f"  gslb undrain {site}   lets it in again, when it is up")
