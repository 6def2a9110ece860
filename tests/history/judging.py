"""The invariants by their ids, and the shortest slice of a history that shows a violation."""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain

from tests.history import seen, written
from tests.history.lines import Line, merged
from tests.history.past import Past
from tests.history.written import Found

Invariant = Callable[[Past], Found]
INVARIANTS: Mapping[str, tuple[Invariant, ...]] = {
    "I1": (written.not_empty, seen.never_empty),
    "I3": (written.max_drained,),
    "I4": (written.velocity,),
    "I8": (written.epochs,),
    "I10": (written.saved_first,),
    "I11": (written.read_after_doubt,),
    "I12": (written.within_lease,),
    "I14": (seen.nothing_by_itself,),
    "I16": (written.one_installation,),
    "I17": (written.words_hold,),
    "I18": (written.pause_holds,),
    "WHOLE": (seen.whole_stays,),
    "SICK": (seen.sick_leaves,),
    "SOA": (seen.serial_rests,),
}
"""I8 has I9 in it."""
SHORTENED_MAX = 3
TRIES_MAX = 400


@dataclass(frozen=True)
class Violation:
    """One invariant that did not hold, in a sentence, with the lines that show it."""

    invariant: str
    text: str
    lines: Sequence[Line] = field(repr=False)

    def __str__(self) -> str:
        told = "\n".join(f"  {say(line)}" for line in self.lines)
        return f"{self.invariant}: {self.text}\n{told}"


def say(line: Line) -> str:
    """A line for people: time, writer, kind, and what is not empty of the rest."""
    rest = {k: v for k, v in line.items() if k not in ("t", "who", "kind") and v not in (None, [])}
    fields = " ".join(f"{k}={v}" for k, v in rest.items())
    return f"{line['t']:12.3f} {line['who']:10} {line['kind']:7} {fields}"


def judge(lines: Iterable[Line], rules: Collection[str] | None = None) -> list[Violation]:
    """All violations, in the order of INVARIANTS; the first few of each with the shortest slice."""
    sorted_: Sequence[Line] = merged(lines)
    past = Past(sorted_)
    found: list[Violation] = []
    for name, checks in INVARIANTS.items():
        if rules is not None and name not in rules:
            continue
        rows = chain.from_iterable(((check, *row) for row in check(past)) for check in checks)
        for number, (check, text, rests_on) in enumerate(rows):
            shown: Sequence[Line] = rests_on
            if number < SHORTENED_MAX:
                shown = shortest(sorted_, check, text, rests_on)
            found.append(Violation(name, text, shown))
    return found


def shortest(
    lines: Sequence[Line], check: Invariant, text: str, rests_on: Sequence[Line]
) -> Sequence[Line]:
    """Fewer and fewer lines, while the same sentence is still found (delta debugging)."""
    tries = 0

    def holds(part: Sequence[Line]) -> bool:
        nonlocal tries
        tries += 1
        return any(said == text for said, _ in check(Past(part)))

    kept: Sequence[Line] = list(lines)
    about = {x[k] for x in rests_on for k in ("site", "service", "backend") if x.get(k)}
    about |= {c["service"] for x in rests_on for c in x.get("changes") or ()}
    needed = {id(x) for x in rests_on}
    for part in (
        [x for x in kept if id(x) in needed or x["kind"] in ("config", "start")],
        [x for x in kept if id(x) in needed or x["kind"] != "event" or x.get("site") in about],
    ):
        if holds(part):
            kept = part
            break
    size = max(len(kept) // 2, 1)
    while tries < TRIES_MAX:
        at, before = 0, len(kept)
        while at < len(kept) and tries < TRIES_MAX:
            part = [*kept[:at], *kept[at + size :]]
            if holds(part):
                kept = part
            else:
                at += size
        if size == 1 and len(kept) == before:
            break
        size = max(size // 2, 1)
    return kept
