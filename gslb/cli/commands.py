"""The commands that look: status, explain, events."""

import difflib
import json
import sys
import time
from collections.abc import Callable, Iterable

import click

from gslb.cli.client import CANNOT_TELL, NEEDS_YOU, USAGE, Body, Client, Reply, Stop, part
from gslb.cli.render import Command, Face, clean, event_line, fit, since, some

FOLD_ABOVE = 6
RETRY_S = 1.0


@click.command(cls=Command)
@click.argument("sites", nargs=-1)
@click.option("-w", "--watch", is_flag=True, help="Stay, and show each change.")
@click.option("--problems", is_flag=True, help="Only what is not up and in.")
@click.option("--site", "more", multiple=True, help="Only this site.")
@click.option("--service", help="One service: which sites serve it.")
@click.option("--all", "whole", is_flag=True, help="Fold nothing.")
@click.pass_obj
def status(
    face: Face,
    sites: tuple[str, ...],
    watch: bool,
    problems: bool,
    more: tuple[str, ...],
    service: str | None,
    whole: bool,
) -> int:
    """What is believed of the sites, what is served, and what needs you (exit 3, 4: see help)."""
    client, wanted = Client(), (*sites, *more)

    def once() -> int:
        if service:
            return _status_service(face, client, service)
        return _status(face, client, wanted, only_problems=problems, whole=whole)

    code = once()
    while watch:
        _watch(face, client, once)
        face.talk("the live feed was cut; asking again")
        time.sleep(RETRY_S)
    return code


def _watch(face: Face, client: Client, once: Callable[[], int]) -> None:
    """Until the feed ends: on a terminal the same screen anew, else a line a change."""
    screen = sys.stdout.isatty() and not face.plain and face.output == "table"
    for kind, event in client.feed():
        if screen:
            click.echo("\x1b[2J\x1b[H", nl=False)
            once()
            face.say("\nlive; the last events (Ctrl-C ends):")
            for last in client.get("/v1/events", limit=5).body["events"]:
                face.say(fit(event_line(face, last), face.width))
        elif kind == "change":
            face.say(event_line(face, event))


def _status(
    face: Face, client: Client, wanted: tuple[str, ...], *, only_problems: bool, whole: bool
) -> int:
    reply = client.get("/v1/overview")
    body, rows = reply.body, reply.body["sites"]
    if wanted:
        names = [row["name"] for row in rows]
        for name in wanted:
            if name not in names:
                raise unknown("site", name, names)
        rows = [row for row in rows if row["name"] in wanted]
        reply = client.get(f"/v1/sites/{part(wanted[0])}") if len(wanted) == 1 else reply
        if len(wanted) > 1:
            reply = Reply(json.dumps({"sites": rows}), {"sites": rows})
    said = [p for p in body["problems"] if not wanted or p.get("site") in (None, *wanted)]
    if not face.give(reply, [row["name"] for row in rows]):
        _head(face, body, said)
        fine = [row for row in rows if row["state"] == "up" and row["traffic"] == "in"]
        folded = only_problems or (len(rows) > FOLD_ABOVE and not whole)
        shown = [row for row in rows if row not in fine] if folded else rows
        if shown:
            _sites(face, shown, body["sites"])
        if folded and fine:
            face.say(f"{len(fine)} sites up and in")
        _foot(face, body)
    if body.get("leader") is None or body.get("store_error") or body.get("blind"):
        return CANNOT_TELL
    return NEEDS_YOU if any(p["severity"] in ("page", "warn") for p in said) else 0


def _head(face: Face, body: Body, problems: list[Body]) -> None:
    mode = "static" if body.get("store_error") else "paused" if body["paused"] else body["mode"]
    leader = f"leader {body['leader']} (epoch {body['epoch']})" if body["leader"] else "no leader"
    config = f"config {str(body['config'])[:6]}"
    as_of = f"as of {since(body['as_of'])} ago"
    face.say(fit(" · ".join((body["cluster"], mode, leader, config, as_of)), face.width))
    face.say()
    for problem in problems:
        mark = "!" if problem["severity"] != "note" else "·"
        hint = f"   {problem['hint']}" if problem.get("hint") else ""
        face.say(clean(f"{mark} {problem['text']}{hint}"))
    if problems:
        face.say()


def _sites(face: Face, rows: list[Body], every: list[Body]) -> None:
    inside = sum(1 for row in every if row["traffic"] == "in")
    face.table(
        ("SITE", "STATE", "TRAFFIC", "BECAUSE", "SINCE", "NEXT"),
        [
            (
                *(row["name"], face.mark(row["state"]), _traffic(face, row, inside)),
                *(clean(row["because"]), since(row["since"]), clean(row["next"])),
            )
            for row in rows
        ],
    )


def _traffic(face: Face, row: Body, inside: int) -> str:
    share, word = row["share"], f"{row['traffic']:<5} "
    if row["traffic"] == "out":
        ends = f" until {face.clock(row['until'], '%H:%M')}" if row.get("until") else ""
        return f"{word}{row['owner'] or ''}{ends}"
    if row["traffic"] == "unknown" or not share:
        return word.strip()
    even = row["traffic"] == "in" and inside and abs(share - 1 / inside) < 0.005
    return word + (f"1 of {inside}" if even else f"{share:.0%}".replace("%", " %"))


def _foot(face: Face, body: Body) -> None:
    counted, backends = body["services"], body["backends"]
    words = {"as_wanted": "as wanted", "last_site": "on the last site"}
    states = ("as_wanted", "reduced", "last_site", "unknown")
    told = [f"{counted[k]} {words.get(k, k)}" for k in states if counted.get(k)]
    told += [f"{n} without {site}" for site, n in counted.get("without", {}).items()]
    face.say()
    face.say(f"{some(counted['total'], 'service')}: {' · '.join(told)}.")
    served = [
        f"{b['name']} {b['state'].replace('_', ' ')}"
        + (f" (read {since(b['read_at'])} ago)" if b["read_at"] else "")
        for b in backends
    ]
    face.say(clean(f"{some(len(backends), 'backend')}: {', '.join(served)}."))
    for row in body.get("seen", ()):
        face.say(clean(f"{row['backend']}: {row['text']}."))


def _status_service(face: Face, client: Client, name: str) -> int:
    reply = client.get(f"/v1/services/{part(name)}")
    body = reply.body
    if not face.give(reply, [name]):
        face.say(f"{name}: {body['state'].replace('_', ' ')}, in: {' '.join(body['in']) or '-'}")
        rows = [(e["site"], e["traffic"], str(e["weight"]), str(e["tier"])) for e in body["sites"]]
        face.table(("SITE", "TRAFFIC", "WEIGHT", "TIER"), rows)
    return {"as_wanted": 0, "unknown": CANNOT_TELL}.get(body["state"], NEEDS_YOU)


@click.command(cls=Command)
@click.argument("name")
@click.pass_obj
def explain(face: Face, name: str) -> None:
    """Why a site, service, backend or open incident is as it is, and what comes next."""
    client = Client()
    kind, name = _named(client, name)
    reply = client.get(f"/v1/explain/{kind}/{part(name)}")
    if face.give(reply, [name]):
        return
    body = reply.body
    for line in body["headline"]:
        face.tell("", clean(line), 0)
    for number, section in enumerate(body["sections"], 1):
        face.say() if number == 1 else None
        head = f"{number} {section['title']}"
        for line in section["lines"] or ["-"]:
            face.tell(head, clean(line))
            head = ""
    if body["next"]:
        face.tell("next", clean(body["next"]))
    if body["you_can"]:
        face.tell("you can", clean("   ".join(body["you_can"])))


def _named(client: Client, name: str) -> tuple[str, str]:
    """What kind of thing `name` is; an incident that is going on is told of its site."""
    body = client.get("/v1/overview").body
    for kind in ("site", "backend"):
        for row in body[f"{kind}s"]:
            if name in (row["name"], row.get("incident")):
                return kind, row["name"]
    services = client.get("/v1/services", limit=500).body["services"]
    known = [row["name"] for row in (*body["sites"], *body["backends"], *services)]
    if name not in known and len(services) < 500:
        raise unknown("site, service or backend", name, known)
    return "service", name


def unknown(kind: str, name: str, known: Iterable[str]) -> Stop:
    """A name that is not configured, with the nearest one that is."""
    near = difflib.get_close_matches(name, list(known), 1, 0.5)
    guess = f"; did you mean `{near[0]}`?" if near else f". There are: {', '.join(known)}"
    return Stop(USAGE, f"✗ no {kind} is called `{name}`{guess}")


@click.command(cls=Command)
@click.option("-f", "--follow", is_flag=True, help="Stay, and print what comes.")
@click.option("--since", "begin", help="From `2h` ago or an RFC 3339 time on.")
@click.option("--site")
@click.option("--service")
@click.option("--type", "kind", help="site, answer, refused, override ...")
@click.option("--incident", help="i-192")
@click.option("-n", "number", default=20, show_default=True, help="At most so many.")
@click.pass_obj
def events(
    face: Face, /, follow: bool, begin: str | None, number: int, **match: str | None
) -> None:
    """What was concluded and done, a line an event; -o json: JSON lines."""
    client, match["type"] = Client(), match.pop("kind")
    for event in client.get("/v1/events", limit=number, since=begin, **match).body["events"]:
        face.say(event_line(face, event))
    if follow:
        for kind, event in client.feed():
            if kind == "gap":
                face.talk("some events are missing here: we read too slowly")
            elif kind != "snapshot" and all(v in (None, event.get(k)) for k, v in match.items()):
                face.say(event_line(face, event))


COMMANDS = (status, explain, events)
