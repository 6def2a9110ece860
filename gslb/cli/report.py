"""`gslb report`: how long each change took, stage by stage, from the journal (evidence.md 11)."""

import json
import math
from collections.abc import Iterator, Sequence
from itertools import pairwise
from statistics import median

import click

from gslb.cli.client import Body, Client, Reply
from gslb.cli.control import Length
from gslb.cli.render import Command, Face, clean, some
from gslb.policy.spread import STAGES

HEADS = ("DETECT", "DECIDE", "SAVE", "WRITE", "AGREE", "SEEN")
"""What ends with each stage after the first."""


@click.command(cls=Command)
@click.option("--since", "begin", default="30d", show_default=True, help="`2h` or a time.")
@click.option("--objective", type=Length(), default="30s", help="From first fail to agreed [30s].")
@click.pass_obj
def report(face: Face, begin: str, objective: float) -> None:
    """How long changes took: found, decided, saved, written, agreed on, seen by resolvers."""
    client = Client()
    events = [e for kind in ("answer", "applied", "seen") for e in _journal(client, kind, begin)]
    rows = _changes(sorted(events, key=lambda e: int(e["seq"])))
    stages = {}
    for name in ("total", *STAGES[1:]):
        if took := sorted(row["took"][name] for row in rows if name in row["took"]):
            p95_s = took[math.ceil(0.95 * len(took)) - 1]
            stages[name] = {"median": round(median(took), 3), "p95": p95_s}
    fails = [row["took"]["total"] for row in rows if row["failover"]]
    held = sum(total <= objective for total in fails)
    body: Body = {"since": begin, "objective": objective, "failovers": len(fails), "held": held}
    body |= {"stages": stages, "changes": rows}
    if face.give(Reply(json.dumps(body), body), [row["plan"] for row in rows]):
        return
    lines = [
        (face.clock(row["at"]), *_cells(row["took"]), clean(row["change"]), clean(row["by"]))
        for row in rows
    ]
    for name in ("median", "p95") if len(rows) > 1 else ():
        lines.append((name, *_cells({k: v[name] for k, v in stages.items()}), "", ""))
    if lines:
        face.table(("AT", "TOTAL", *HEADS, "CHANGE", "BY"), lines)
    told = f"{held} of {some(len(fails), 'failover')} within {objective:g} s of the first fail"
    told = told if fails else "no failover among them"
    face.say(f"{some(len(rows), 'change')} since {begin} (times in s); {told}.")


def _journal(client: Client, kind: str, begin: str) -> Iterator[Body]:
    """All events of one type, page by page."""
    after = 0
    while after is not None:
        body = client.get("/v1/events", type=kind, since=begin, after=str(after), limit=500).body
        yield from body["events"]
        after = body["next"]


def _changes(events: Sequence[Body]) -> list[Body]:
    """A row for each plan that was read back; what was decided before, and seen after, is in it."""
    decided, rows = dict[str, list[Body]](), dict[str, Body]()
    done: list[Body] = []
    for event in events:
        plan, figures = str(event.get("plan")), event.get("figures", {})
        if event["type"] == "answer":
            decided.setdefault(plan, []).append(event)
        elif event["type"] == "applied" and "read_back_s" in figures:
            rows[plan] = _row(event, plan, figures, decided.pop(plan, []))
            done.append(rows[plan])
        elif plan in rows:
            rows[plan]["took"] |= _took(figures) | {"total": rows[plan]["took"]["total"]}
            rows[plan] |= {"resolvers": figures["resolvers"], "shown": figures["shown"]}
    return done


def _row(event: Body, plan: str, figures: Body, answers: Sequence[Body]) -> Body:
    moves = {_moves(a): None for a in answers}
    names = [a["service"] for a in answers]
    what = names[0] if len(names) == 1 else some(len(names), "service")
    took = _took(figures) | {"total": round(figures["read_back_s"], 3)}
    return {
        **{"at": event["at"], "plan": plan, "backend": event["backend"], "took": took},
        **{"change": f"{what} {' '.join(moves)}".strip(), "failover": "failover_s" in figures},
        "by": ", ".join(dict.fromkeys(a.get("owner") or a["cause"] for a in answers)),
    }


def _moves(answer: Body) -> str:
    before, after = (answer.get(k, "").split(",") for k in ("before", "after"))
    came, left = ([x for x in a if x and x not in b] for a, b in ((after, before), (before, after)))
    return " ".join([*(f"− {x}" for x in left), *(f"+ {x}" for x in came)])


def _took(figures: Body) -> Body:
    """How long each stage took after the one before it that is known."""
    known = [(name, figures[f"{name}_s"]) for name in STAGES if f"{name}_s" in figures]
    return {name: round(at_s - before_s, 3) for (_, before_s), (name, at_s) in pairwise(known)}


def _cells(took: Body) -> list[str]:
    return [f"{took[n]:.2f}" if n in took else "-" for n in ("total", *STAGES[1:])]
