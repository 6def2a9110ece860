"""What may be sent to a backend: safety.md section 4 as amended, over `saved`, `call` and words."""

from collections.abc import Iterator

from tests.history.lines import Line
from tests.history.past import Move, Past

Found = Iterator[tuple[str, list[Line]]]
"""A sentence, and the lines that it rests on."""


def not_empty(past: Past) -> Found:
    """I1: no written answer is empty, or has fewer than min_sites where it had more."""
    for call in past.applies():
        for change in call.get("changes") or ():
            if not change["after"]:
                yield f"an empty answer for {change['service']} at {call['begun']:.2f}", [call]
    for move in past.moves:
        least = past.services.get(move.service, {}).get("min_sites", 1)
        few = len(move.after) < min(least, len(move.before)) and move.leaving
        if few and not past.skipped(move, "min_sites"):
            names = ", ".join(sorted(move.after)) or "none"
            yield f"{names} left for {move.service}, {least} are wanted, {move.when}", [move.call]


def max_drained(past: Past) -> Found:
    """I3: so many sites are out by automation or alerts, and no more."""
    for move in past.moves:
        limits = past.services.get(move.service, {})
        for site in sorted(move.leaving):
            if not limits.get("plain", True) or _free(past, move, site, "max_drained"):
                continue
            out, lines = _kept_out(past, move, site)
            if len(out) + 1 > limits.get("max_drained", 1):
                text = f"{site} left {move.service} while {', '.join(out)} were out, {move.when}"
                yield text, [*lines, move.call]


def _free(past: Past, move: Move, site: str, guard: str) -> bool:
    return past.by_people(move, site) or past.skipped(move, guard)


def _kept_out(past: Past, move: Move, leaving: str) -> tuple[list[str], list[Line]]:
    down: dict[str, Line] = {}
    for event in past.events("site"):
        if event["who"] == move.call["who"] and event["t"] <= move.decided_s:
            down[event["site"]] = event
    out, lines = list[str](), list[Line]()
    service = past.services.get(move.service, {})
    tiers = service.get("tiers", {})
    top = max((tiers.get(s, 0) for s in move.before), default=0)
    for site in sorted(service.get("sites", {})):
        if site == leaving or site in move.after or tiers.get(site, 0) > top:
            continue
        word = past.word_on(site, move.service, move.decided_s, move.call["who"])
        if word is not None:
            if not word.by_person and word.line["action"] == "drain":
                out, lines = [*out, site], [*lines, word.line]
        elif down.get(site, {}).get("after") == "down":
            out, lines = [*out, site], [*lines, down[site]]
    return out, lines


def velocity(past: Past) -> Found:
    """I4: no second site leaves a service within change_window while the other is still out."""
    left: dict[tuple[str, str], Move] = {}
    for move in past.moves:
        window_s = past.services.get(move.service, {}).get("change_window_s", 30.0)
        by_us = [x for x in sorted(move.leaving) if not _free(past, move, x, "velocity")]
        if len(by_us) > 1:
            yield f"{' and '.join(by_us)} left {move.service} together, {move.when}", [move.call]
        for site in by_us:
            for (service, other), before in left.items():
                ago_s = move.decided_s - before.decided_s
                still_out = other not in move.after and other not in move.before
                if service == move.service and other != site and still_out and ago_s < window_s:
                    text = f"{site} left {service} {ago_s:.2f} s after {other}, {move.when}"
                    yield text, [before.call, move.call]
        if move.call["outcome"] == "ok":
            left |= {(move.service, x): move for x in move.leaving}
            for site in move.entering:
                left.pop((move.service, site), None)


def epochs(past: Past) -> Found:
    """I8, I9: what one backend accepts of one instance never goes back: (epoch, seq) only grows."""
    best: dict[tuple[str, str], Line] = {}
    # A backend that keeps no number (a balancer: nothing to compare with) gives none either.
    accepted = [c for c in past.applies() if c["outcome"] == "ok" and c.get("seq") is not None]
    for call in sorted(accepted, key=past.done):
        key = (call["backend"], past.instance(call["who"]))
        before = best.get(key)
        if before is None or _number(before) < _number(call):
            best[key] = call
        elif past.done(before) <= call["begun"]:
            text = f"{key[0]} took {_number(call)} at {call['begun']:.2f}"
            yield f"{text} after {_number(before)}", [before, call]


def _number(call: Line) -> tuple[int, int]:
    return int(call["epoch"]), int(call.get("seq") or 0)


def saved_first(past: Past) -> Found:
    """I10: every apply was saved before, in the same epoch."""
    for call in past.applies():
        saved = past.saved_for.get(id(call))
        if saved is None or saved["t"] > call["begun"]:
            text = f"epoch {call['epoch']} seq {call.get('seq')} sent to {call['backend']}"
            yield f"{text} at {call['begun']:.2f} by {call['who']} and not saved", [call]


def read_after_doubt(past: Past) -> Found:
    """I11: after an apply that failed or is unknown, a read comes before the next apply."""
    doubt: dict[tuple[str, str], Line] = {}
    for call in past.calls:
        key = (call["who"], call["backend"])
        bad = doubt.get(key)
        if call["op"] == "read" and call["outcome"] == "ok":
            if bad is not None and call["begun"] >= bad["t"]:
                del doubt[key]
        elif call["op"] == "apply":
            if bad is not None and call["begun"] >= bad["t"]:
                text = f"applied to {key[1]} at {call['begun']:.2f} by {key[0]} with no read"
                yield f"{text} after the failure at {bad['t']:.2f}", [bad, call]
            if call["outcome"] != "ok":
                doubt[key] = call


def within_lease(past: Past) -> Found:
    """I12: no apply is begun after the end of the lease."""
    for call in past.applies():
        if call.get("lease") is not None and call["begun"] >= call["lease"]:
            text = f"applied to {call['backend']} at {call['begun']:.2f} by {call['who']}"
            yield f"{text}, the lease ended at {call['lease']:.2f}", [call]


def one_installation(past: Past) -> Found:
    """I16: nobody writes where another instance wrote last, unless a person said adopt."""
    last: dict[str, Line] = {}
    for call in sorted(past.applies(), key=past.done):
        if call["outcome"] != "ok":
            continue
        before = last.get(call["backend"])
        last[call["backend"]] = call
        if before is None or past.instance(before["who"]) == past.instance(call["who"]):
            continue
        adopted = [e for e in past.events("adopt") if e.get("backend") == call["backend"]]
        if not any(e["who"] == call["who"] and e["t"] <= call["begun"] for e in adopted):
            text = f"{call['who']} wrote to {call['backend']} at {call['begun']:.2f}"
            yield f"{text}, where {before['who']} of another instance wrote", [before, call]


def words_hold(past: Past) -> Found:
    """I17: a person's override is not undone before its end."""
    for move in past.moves:
        for sites, undone in ((move.entering, "drain"), (move.leaving, "force-in")):
            for site in sorted(sites):
                word = past.word_on(site, move.service, move.decided_s, move.call["who"])
                if word is not None and word.by_person and word.line["action"] == undone:
                    text = f"{site} moved against {word.line['owner']}'s {undone}, {move.when}"
                    yield text, [word.line, move.call]
    for event in past.events("override"):
        if event.get("after") != "ended":
            continue
        for word in past.words:
            same = (word.line["who"], word.line["site"], word.line["owner"])
            early_s = float(word.line.get("ends") or 0) - event["t"]
            ended_it = 0 <= word.gone_s - event["t"] < 1
            if same == (event["who"], event["site"], event["owner"]) and ended_it and early_s > 0.5:
                text = f"{word.line['owner']}'s {word.line['action']} of {event['site']}"
                yield f"{text} ended {early_s:.1f} s too early", [word.line, event]


def pause_holds(past: Past) -> Found:
    """I18: while paused nothing moves but what people say."""
    for move in past.moves:
        if not past.paused(move.call["who"], move.decided_s):
            continue
        ours = [s for s in sorted(move.leaving | move.entering) if not _person_spoke(past, move, s)]
        if ours:
            yield (
                f"{', '.join(ours)} moved in {move.service} while paused, {move.when}",
                [move.call],
            )


def _person_spoke(past: Past, move: Move, site: str) -> bool:
    """Of this site, now or before (an undrain in a pause is carried out)."""
    said = (w for w in past.words if w.by_person and w.line["t"] <= move.decided_s)
    return past.confirmed(move) or any(w.line["site"] == site for w in said)
