"""The commands that say a person's word: drain, undrain, force-in, pause, resume, live and more.

Each shows what would follow and asks once; what the API then refuses is said with its guard.
"""

import re
import sys
import time
from datetime import UTC, datetime, timedelta
from typing import Any

import click

from gslb.cli.client import FAILED, REFUSED, USAGE, WAITING, Body, Client, Reply, Stop, part
from gslb.cli.render import Command, Face, clean, parse_time

DURATION = re.compile(r"(\d+)(ms|[smhd])")
UNITS_S = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
POLL_S = 0.25


class Length(click.ParamType[float]):
    """`2h`, `1h30m` in seconds; wrong without a unit."""

    name = "duration"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> float:
        """Raises a usage error for what is no duration."""
        if not re.fullmatch(r"(\d+(ms|[smhd]))+", str(value)):
            self.fail(f"{value!r} is no duration: write its unit, as in 90s, 30m, 2h", param, ctx)
        return sum(int(n) * UNITS_S[unit] for n, unit in DURATION.findall(value))


REASON = click.option("--reason", required=True, help="Why; kept with your name.")
YES = click.option("--yes", is_flag=True, help="Ask nothing.")
WAIT = click.option(
    "--wait", type=Length(), is_flag=False, flag_value="30s", help="Until it is read back [30s]."
)


def _word(action: str, about: str) -> click.Command:
    """`drain` and `force-in`: the same options, another action."""

    @click.command(action, cls=Command, help=about)
    @click.argument("site")
    @click.option("--for", "length", type=Length(), help="Ends by itself after (default 4h).")
    @click.option("--until", help="Ends by itself at HH:MM (local) or an RFC 3339 time.")
    @REASON
    @click.option("--service", "services", multiple=True, help="Only this service.")
    @click.option("--skip", multiple=True, help="A guard to skip (gslb help guards).")
    @click.option("--replace", is_flag=True, help="In place of another person's word.")
    @click.option("--dry-run", is_flag=True, help="Show what would follow, and end.")
    @YES
    @WAIT
    @click.pass_obj
    def say(
        face: Face,
        /,
        site: str,
        length: float | None,
        until: str | None,
        yes: bool,
        dry_run: bool,
        wait: float | None,
        services: tuple[str, ...],
        **more: object,
    ) -> None:
        body: Body = {"action": action, **more} | ({"services": services} if services else {})
        body |= {"for": f"{length:.0f}s"} if length else {}
        body |= {"until": _until(until)} if until else {}
        client, path = Client(), f"/v1/sites/{part(site)}/override"
        reply = client.ask("PUT", path, body | {"dry_run": True}, if_match="*")
        if not (dry_run and face.give(reply, [site])):
            _preview(face, reply.body)
        if dry_run:
            return
        _confirm(f"{action.replace('-', ' ').capitalize()} {site}?", yes)
        # What was shown is what is agreed to: somebody else's word in between ends this (exit 10).
        reply = client.ask("PUT", path, body, if_match=f'"{reply.body["version"]}"')
        done = f"{site} is {'out' if action == 'drain' else 'in'}. Undo: gslb undrain {site}"
        _accepted(face, client, reply, done, wait)

    return say


drain = _word("drain", "Take a site out for a while; it ends by itself.")
force_in = _word("force-in", "Put a site in though automation would not; it ends by itself.")


@click.command(cls=Command)
@click.argument("site")
@click.option("--owner", help="Only the word of this owner: person:kim, alert:RULE.")
@click.option("--reason", help="Why.")
@WAIT
@click.pass_obj
def undrain(face: Face, /, site: str, wait: float | None, **query: str | None) -> None:
    """End what people (or --owner) said of a site; automation decides again."""
    client = Client()
    path = f"/v1/sites/{part(site)}/override"
    reply = client.ask("DELETE", path, query=query)
    held = ", ".join(reply.body.get("still_held_by", ()))
    text = f"still held by {held}" if held else "automation decides"
    _accepted(face, client, reply, f"{len(reply.body['released'])} ended; {text}.", wait)


@click.command(cls=Command)
@click.option("--for", "length", type=Length(), help="Ends by itself after.")
@REASON
@click.pass_obj
def pause(face: Face, length: float | None, reason: str) -> None:
    """Turn all automation off; probes go on, and people's words are carried out."""
    body: Body = {"reason": reason} | ({"for": f"{length:.0f}s"} if length else {})
    reply = Client().ask("PUT", "/v1/pause", body)
    _done(face, reply, "Automation is off. Nothing moves by itself. Undo: gslb resume")


@click.command(cls=Command)
@click.pass_obj
def resume(face: Face) -> None:
    """Turn automation on again."""
    _done(face, Client().ask("DELETE", "/v1/pause"), "Automation is on.")


@click.command(cls=Command)
@YES
@click.pass_obj
def live(face: Face, yes: bool) -> None:
    """Carry plans out from now on; shows first what would change at this instant."""
    client = Client()
    _preview(face, client.ask("PUT", "/v1/mode", {"mode": "live", "dry_run": True}).body)
    _confirm("Go live?", yes)
    reply = client.ask("PUT", "/v1/mode", {"mode": "live", "adopt": True})
    _done(face, reply, "live: plans are carried out. Undo: gslb observe")


@click.command(cls=Command)
@click.pass_obj
def observe(face: Face) -> None:
    """Only watch, and show what would be done."""
    reply = Client().ask("PUT", "/v1/mode", {"mode": "observe"})
    _done(face, reply, "observe: nothing is written any more.")


@click.command(cls=Command)
@click.argument("plan")
@REASON
@YES
@click.pass_obj
def confirm(face: Face, plan: str, reason: str, yes: bool) -> None:
    """Let one plan go that waits for a person, by its digest."""
    client = Client()
    waiting = client.get("/v1/overview").body["waiting"]
    for change in next((w["changes"] for w in waiting if w["digest"] == plan), ()):
        face.talk(_change(change))
    _confirm(f"Let {plan} go?", yes)
    reply = client.ask("POST", f"/v1/plans/{part(plan)}/confirm", {"reason": reason})
    _done(face, reply, f"{plan} may go.")


@click.command(cls=Command)
@click.argument("name", metavar="INCIDENT|SITE|BACKEND")
@REASON
@click.pass_obj
def ack(face: Face, name: str, reason: str) -> None:
    """End the block of a site that fell again and again, or what others changed at a backend."""
    reply = Client().ask("POST", f"/v1/incidents/{part(name)}/ack", {"reason": reason})
    _done(face, reply, f"{name} is acknowledged; automation may put it right.")


@click.command(cls=Command)
@click.argument("backend")
@REASON
@YES
@click.pass_obj
def adopt(face: Face, backend: str, reason: str, yes: bool) -> None:
    """Take a backend over from whoever wrote to it before us."""
    _confirm(f"Take {backend} over?", yes)
    reply = Client().ask("POST", f"/v1/backends/{part(backend)}/adopt", {"reason": reason})
    _done(face, reply, f"{backend} is ours.")


@click.command(cls=Command)
@click.option("--remove", multiple=True, metavar="SITE", help="A served site that is to go.")
@click.option("--loosen", is_flag=True, help="Let limits get looser.")
@click.option("--dry-run", is_flag=True, help="Show the differences, and end.")
@click.pass_obj
def reload(face: Face, remove: tuple[str, ...], loosen: bool, dry_run: bool) -> None:
    """Read the configuration again; refused whole if it is wrong."""
    query = {"dry_run": int(dry_run) or None}
    body = {"remove": list(remove), "loosen": loosen}
    reply = Client().ask("POST", "/v1/config/reload", body, query)
    for line in reply.body.get("diff", ()) if face.output == "table" else ():
        face.say(clean(line))
    _done(face, reply, "Nothing was changed." if dry_run else "The configuration is in force.")


def _preview(face: Face, body: Body) -> None:
    """Say what would follow, to stderr; a guard that refuses ends the command."""
    preview: Body = body.get("preview") or {}
    changes, guards = preview.get("changes", []), preview.get("guards", [])
    face.talk("Preview" if changes else "Preview: nothing would change in what is served.")
    for line in (*map(_change, changes), *preview.get("notes", ())):
        face.talk(clean(f"  {line}"))
    doubts = [g for g in guards if g["verdict"] != "pass"]
    for guard in doubts:
        face.talk(clean(f"  {guard['verdict']} {guard['id']}: {guard['text']}"))
    ends = f"   Ends by itself at {face.when(body['ends_at'])}." if body.get("ends_at") else ""
    face.talk(f"Guards: {len(guards) - len(doubts)} of {len(guards)} pass.{ends}")
    for guard in doubts:
        if guard["verdict"] == "refuse":
            hint = f" Or repeat with --skip {guard['id']}." if guard["skippable"] else ""
            raise Stop(REFUSED, clean(f"✗ refused by {guard['id']}: {guard['text']}{hint}"))


def _change(change: Body) -> str:
    before, after = ({_target(t) for t in change[k] or ()} for k in ("before", "after"))
    moves = [f"- {t}" for t in sorted(before - after)] + [f"+ {t}" for t in sorted(after - before)]
    at = f" at {change['backend']}" if change.get("backend") else ""
    return f"{change['service']}{at}   {'  '.join(moves)}"


def _target(target: Body) -> str:
    site = f" ({target['site']})" if target.get("site") else ""
    weight = f" weight {target['weight']}" if target["weight"] != 1 else ""
    return f"{target['value']}{site}{weight}"


def _confirm(question: str, yes: bool) -> None:
    if yes:
        return
    if not sys.stdin.isatty():
        raise Stop(USAGE, f"✗ {question} Nobody can be asked here: repeat with --yes.")
    if not click.confirm(question, err=True):
        raise Stop(FAILED, "Nothing was changed.")


def _done(face: Face, reply: Reply, text: str) -> None:
    if not face.give(reply, []):
        face.say(f"{click.style('✓', fg='green')} {text}")


def _accepted(face: Face, client: Client, reply: Reply, text: str, limit_s: float | None) -> None:
    """Say what was accepted; with a limit, stay until backends and resolvers show it."""
    made = str(reply.body["operation"])
    if not reply.body["effective"]:
        _done(face, reply, "kept, but nothing moves: the mode is observe (gslb live)")
        return
    if limit_s is None:
        _done(face, reply, f"{made} accepted; gslb status -w shows it. When done: {text}")
        return
    begun, told = time.monotonic(), dict[str, str]()
    try:
        while True:
            body = client.get(f"/v1/operations/{part(made)}").body
            waits = _progress(face, body, told, time.monotonic() - begun)
            if body["done"] and not waits:
                break
            if time.monotonic() - begun > limit_s:
                follow = f"Follow: gslb status -w; id {made}."
                raise Stop(WAITING, f"… still running: {waits or 'not begun'}. {follow}")
            time.sleep(POLL_S)
        _progress(face, body, told, time.monotonic() - begun)
    except KeyboardInterrupt:
        face.talk(f"{made} goes on")
        raise
    _done(face, Reply(reply.text, body), text)


def _progress(face: Face, body: Body, told: dict[str, str], took_s: float) -> str:
    """Say what is new; gives what is still open."""
    rows = [
        (r["backend"], r["state"].replace("_", " "), r["text"], r["state"] != "read_back")
        for r in body["backends"]
    ]
    for seen in body.get("seen", ()):
        rows.append(("seen", seen["text"].partition(";")[0], seen["text"], seen["waiting"]))
    for number, (name, state, text, _) in enumerate(rows):
        if told.get(f"{name} {number}") != state:
            told[f"{name} {number}"] = state
            line = f"  {name:<10} {state if name == 'seen' else f'{state} {text}'}"
            face.talk(clean(f"{line:<60} {took_s:5.1f} s"))
    waits = [t if n == "seen" else f"{n} {state} {t}".strip() for n, state, t, w in rows if w]
    return clean("; ".join(waits))


def _until(text: str) -> str:
    """`16:10` (the next one, local) or an RFC 3339 time, as the API wants it."""
    moment = parse_time(text)
    if re.fullmatch(r"([01]\d|2[0-3]):[0-5]\d", text):
        now = datetime.now(UTC).astimezone()
        moment = now.replace(hour=int(text[:2]), minute=int(text[3:]), second=0, microsecond=0)
        moment += timedelta(days=1) if moment <= now else timedelta()
    if moment is None or moment.tzinfo is None:
        raise Stop(USAGE, f"✗ --until {text}: neither HH:MM nor a time with its zone")
    return moment.isoformat()


COMMANDS = (*(drain, undrain, force_in, pause, resume, live, observe, confirm, ack, adopt, reload),)
