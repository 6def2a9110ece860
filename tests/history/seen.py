"""What may be served: over `served`, `truth`, `foreign` and `soa`, against what was sent."""

from bisect import bisect_right
from collections.abc import Mapping
from typing import Any

from tests.history.lines import Line
from tests.history.past import Past
from tests.history.written import Found

WHOLE_AFTER_S = 30.0
SOA_S = 60.0


def never_empty(past: Past) -> Found:
    """I1: no answer that is served is empty, unless somebody else made it so."""
    declared: set[str | None] = set()
    for line in past.lines:
        if line["kind"] == "foreign":
            declared.add(line.get("service"))
        if line["kind"] == "served" and line["targets"] == []:
            if not declared & {None, line["service"]}:
                yield f"{line['server']} served no target for {line['service']}", [line]
        elif line["kind"] == "served":
            declared.discard(line["service"])


def nothing_by_itself(past: Past) -> Found:
    """I14: what is served changes by a plan that was saved, or by a declared foreign hand, only.

    Each server goes through the plans in their order; between the records of one plan (a balancer
    is changed server by server) anything between before and after may be seen.
    """
    causes: dict[str, list[Mapping[str, Any]]] = {}
    for line in past.lines:
        begun = {"t": line.get("begun", line["t"]), "line": line}
        for change in line.get("changes") or () if line["kind"] in ("saved", "call") else ():
            causes.setdefault(change["service"], []).append(begun | change)
        if line["kind"] == "foreign":
            for name in [line["service"]] if line.get("service") else past.services:
                causes.setdefault(name, []).append(begun | {"after": line.get("targets")})
    for rows in causes.values():
        rows.sort(key=lambda row: float(row["t"]))
    at: dict[tuple[str, str], tuple[int, Line]] = {}
    for line in past.of("served"):
        if line["targets"] is None:
            continue
        key, rows = (line["server"], line["service"]), causes.get(line["service"], [])
        until = bisect_right([float(row["t"]) for row in rows], float(line["t"]))
        if key not in at:
            at[key] = (0, line)
            continue
        since, before = at[key]
        now = next((n for n in range(since, until) if _explains(rows[n], line["targets"])), None)
        if now is None and set(line["targets"]) != set(before["targets"]):
            text = f"{key[0]} turned {key[1]} from {before['targets']} to {line['targets']}"
            yield f"{text} at {line['t']:.2f} and nobody had sent that", [before, line]
        at[key] = (since if now is None else now, line)


def _explains(cause: Mapping[str, Any], targets: list[str]) -> bool:
    if cause["after"] is None:
        return True
    if "before" not in cause:
        return set(cause["after"]) == set(targets)
    before, after, seen = set(cause["before"]), set(cause["after"]), set(targets)
    between = before & after <= seen <= before | after and bool(seen)
    return seen == after or (between and seen != before)


def _able(past: Past, site: str) -> list[Line]:
    return [line for line in past.of("truth") if line["site"] == site]


def whole_stays(past: Past) -> Found:
    """A site that has been able for long is not driven out but by a word."""
    long_s = float(past.config.get("whole_after_s", WHOLE_AFTER_S))
    for move in past.moves:
        for site in sorted(move.leaving):
            told = [x for x in _able(past, site) if x["t"] <= move.decided_s]
            whole = told and told[-1]["able"] and move.decided_s - told[-1]["t"] >= long_s
            word = past.word_on(site, move.service, move.decided_s, move.call["who"])
            tiers = past.services.get(move.service, {}).get("tiers", {})
            replaced = any(tiers.get(s, 0) < tiers.get(site, 0) for s in move.after)
            if whole and word is None and not replaced and not past.confirmed(move):
                text = f"{site} was able since {told[-1]['t']:.2f} and left {move.service}"
                yield f"{text}, {move.when}", [told[-1], move.call]


def sick_leaves(past: Past) -> Found:
    """A site that is not able is out within its bound, unless a guard's refusal says why not."""
    bound: Any = past.config.get("out_within_s")
    ends_s = max((float(x["t"]) for x in past.lines), default=0.0)
    for dead in past.of("truth") if bound is not None else ():
        site = dead["site"]
        within_s = float(bound.get(site, 1e18) if isinstance(bound, dict) else bound)
        after = [x for x in _able(past, site) if x["t"] > dead["t"]]
        until_s = dead["t"] + float(dead.get("within_s") or within_s)
        over = after[0]["t"] if after else ends_s
        if dead["able"] or over < until_s or _excused(past, dead, until_s):
            continue
        for line in _served_at(past, until_s):
            if site in past.sites(line["service"], line["targets"]):
                text = f"{site} is not able since {dead['t']:.2f} ({dead.get('why')})"
                yield f"{text} and {line['server']} served it at {until_s:.2f}", [dead, line]


def _excused(past: Past, dead: Line, until_s: float) -> bool:
    """A named guard held it, a person keeps it in, automation is off, or no site is able."""
    site = dead["site"]
    refused = past.events("refused")
    if any(e.get("site") in (site, None) and dead["t"] <= e["t"] <= until_s for e in refused):
        return True
    kept = (w for w in past.words if w.line["site"] == site and w.line["action"] == "force-in")
    if any(w.line["t"] <= until_s for w in kept):
        return True
    if any(began <= until_s and ended >= dead["t"] for _, began, ended in past.pauses):
        return True
    sites = {s for service in past.services.values() for s in service["sites"]}
    told = [[x for x in _able(past, s) if x["t"] <= until_s] for s in sites]
    return all(x and not x[-1]["able"] for x in told)


def _served_at(past: Past, at_s: float) -> list[Line]:
    last: dict[tuple[str, str], Line] = {}
    for line in past.of("served"):
        if line["t"] <= at_s:
            last[line["server"], line["service"]] = line
    return [line for line in last.values() if line["targets"]]


def serial_rests(past: Past) -> Found:
    """Twins: where a poller writes the SOA's serial, it changes at most once in 60 s."""
    last: dict[str, list[Line]] = {}
    for line in past.of("soa"):
        changes = last.setdefault(line["server"], [])
        if len(changes) > 1 and line["t"] - changes[-1]["t"] < SOA_S:
            text = f"the serial of {line['server']} changed twice within"
            yield f"{text} {line['t'] - changes[-1]['t']:.1f} s", [*changes[-2:], line]
        changes.append(line)
