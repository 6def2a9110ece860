"""What would be, and one look at a site: `gslb plan` and `gslb probe`."""

import statistics
from typing import Any

import click

from gslb.cli.client import CANNOT_TELL, FAILED, PENDING, USAGE, Body, Client, Stop
from gslb.cli.render import Command, Face, clean, some

FATES = {
    "goes": "written at once",
    "would": "only shown: the mode is observe",
    "waits": "waits for a person: gslb confirm {digest} --reason …",
    "rests": "left as others made it: gslb ack {backend} --reason …",
}
LOOK_S = 90.0


@click.command(cls=Command)
@click.option("--if", "ifs", multiple=True, metavar="SITE=down", help="As if a site were down.")
@click.option("--drained", multiple=True, metavar="SITE", help="As if a site were drained.")
@click.option("--exit-code", is_flag=True, help="End with 5 while something wanted is not served.")
@click.pass_obj
def plan(face: Face, ifs: tuple[str, ...], drained: tuple[str, ...], exit_code: bool) -> int:
    """What is wanted and not served, or would be if: with each guard's verdict. Writes nothing."""
    body: Body = {"overrides": dict.fromkeys(drained, "drain"), "assume": {}}
    for text in ifs:
        site, equals, state = text.partition("=")
        if not equals or state != "down":
            raise Stop(USAGE, f"✗ --if {text}: write it as SITE=down")
        body["assume"][site] = state
    asked = ifs or drained
    reply = Client().ask("POST", "/v1/plan", body) if asked else Client().get("/v1/plan")
    if not face.give(reply, []):
        _show(face, reply.body)
    return PENDING if exit_code and reply.body["pending"] else 0


def _show(face: Face, body: Body) -> None:
    face.say(clean(body["text"]))
    for change in body["changes"]:
        where = (change["service"], change["backend"])
        face.say()
        face.say(clean("{1}  {0}".format(*where)))
        face.say(clean(f"  now    {_answer(change['before'])}"))
        face.say(clean(f"  then   {_answer(change['after'])}"))
        mine = [g for g in body["guards"] if (g["service"], g["backend"]) == where]
        for verdict in ("pass", "skipped"):
            ids = dict.fromkeys(g["id"] for g in mine if g["verdict"] == verdict)
            if ids:
                _wrapped(face, f"  {verdict:<6}", " ".join(ids))
        face.say(clean(f"  it     {FATES[change['fate']].format(**change)}"))
    for guard in body["guards"]:
        if guard["verdict"] == "refuse":
            face.say()
            face.say(clean(f"refused by {guard['id']}: {guard['text']}"))
            _wrapped(face, "  →", guard["next"])
    for number, note in enumerate(body["notes"]):
        face.say() if not number else None
        face.say(clean(f"· {note}"))


def _wrapped(face: Face, head: str, text: str) -> None:
    """Under its own beginning, where the terminal is narrow."""
    width, line = face.width, head
    for word in clean(text).split(" "):
        if len(line) + 1 + len(word) > width:
            face.say(line)
            line = " " * len(head)
        line += f" {word}"
    face.say(line)


def _answer(targets: list[Body] | None) -> str:
    if not targets:
        return "nothing"
    weighted = len({t["weight"] for t in targets}) > 1
    named = [f"{t['value']} ({t['site']})" if t["site"] else t["value"] for t in targets]
    return ", ".join(
        f"{name} ×{t['weight']}" if weighted else name
        for name, t in zip(named, targets, strict=True)
    )


@click.command(cls=Command)
@click.argument("site")
@click.argument("aspect", required=False)
@click.option("--n", "number", default=1, show_default=True, type=click.IntRange(1, 100))
@click.option("-v", "--verbose", is_flag=True, help="Every aspect that was seen.")
@click.pass_obj
def probe(face: Face, site: str, aspect: str | None, number: int, verbose: bool) -> int:
    """Look at a site once by what is configured for it; changes no state (exit 1: fails)."""
    took: dict[str, list[tuple[str, float]]] = {}
    for _ in range(number):
        body = {"site": site, "aspect": aspect}
        reply = Client().ask("POST", "/v1/probe", body, timeout_s=LOOK_S)
        results: list[Any] = reply.body["results"]
        for row in results:
            took.setdefault(row["probe"], []).append((row["outcome"], row["took_s"]))
        if not face.give(reply, [row["probe"] for row in results]):
            for row in results:
                _look(face, row, reply.body["vantage"], verbose)
    if face.output == "table":
        for name, runs in took.items() if number > 1 else ():
            _summary(face, name, runs)
        face.talk("No state was changed.")
    outcomes = {outcome for runs in took.values() for outcome, _ in runs}
    return FAILED if "fail" in outcomes else CANNOT_TELL if "blind" in outcomes else 0


def _look(face: Face, row: Body, vantage: str, verbose: bool) -> None:
    steps = " · ".join(f"{s['step']} {_ms(s['took_s'])}" for s in row["steps"])
    bad = [f for f in row["findings"] if f["outcome"] != "pass"]
    why = "; ".join(dict.fromkeys(f"{f['aspect']}: {f['cause']} {f['detail']}" for f in bad))
    told = f"{row['outcome']} in {_ms(row['took_s'])}, seen from {vantage}"
    line = clean(f"{row['probe']:<18} {told}   {steps}").rstrip()
    face.say(line if len(line) <= face.width else clean(f"{row['probe']:<18} {told}"))
    if len(line) > face.width:
        _wrapped(face, " ", steps)
    for f in row["findings"] if verbose else ():
        cause = f"  {f['cause']}: {f['detail']}" if f["cause"] else ""
        face.say(clean(f"  {f['aspect']:<16} {f['outcome']:<5} {_ms(f['latency_s'])}{cause}"))
    if bad and not verbose:
        _wrapped(face, "  ", why)


def _summary(face: Face, name: str, runs: list[tuple[str, float]]) -> None:
    outcomes, times = [o for o, _ in runs], sorted(s for _, s in runs)
    counts = ", ".join(f"{outcomes.count(o)} {o}" for o in dict.fromkeys(outcomes))
    middle = _ms(statistics.median(times))
    told = f"least {_ms(times[0])}, median {middle}, most {_ms(times[-1])}"
    face.say(f"{name}: {some(len(runs), 'run')}: {counts}; {told}")


def _ms(seconds: float) -> str:
    return f"{seconds * 1000:.0f} ms" if seconds < 10 else f"{seconds:.1f} s"


COMMANDS = (plan, probe)
