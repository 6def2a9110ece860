"""A history taken apart: calls with the plans saved for them, words, pauses, sites in and out."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from tests.history.lines import Line

GRACE_S = 2.0
"""So long may a word that a driver (and no replica) wrote be under way."""


@dataclass(frozen=True)
class Move:
    """What one change of one applied plan does to the sites of a service."""

    call: Line
    decided_s: float
    service: str
    before: frozenset[str]
    after: frozenset[str]

    @property
    def leaving(self) -> frozenset[str]:
        return self.before - self.after

    @property
    def entering(self) -> frozenset[str]:
        return self.after - self.before

    @property
    def when(self) -> str:
        return f"at {self.call['begun']:.2f} by {self.call['who']} to {self.call['backend']}"


@dataclass(frozen=True)
class Word:
    """An override while it was in force, as one writer saw it."""

    line: Line
    gone_s: float

    def covers(self, service: str) -> bool:
        return not self.line.get("services") or service in self.line["services"]

    @property
    def by_person(self) -> bool:
        return str(self.line["owner"]).startswith("person")


@dataclass
class Past:
    """What the invariants ask for."""

    lines: Sequence[Line]
    services: dict[str, Any] = field(default_factory=dict)
    config: dict[str, Any] = field(default_factory=dict)
    calls: list[Line] = field(default_factory=list)
    """By when they were begun."""
    saved_for: dict[int, Line] = field(default_factory=dict)
    """By id() of an apply."""
    moves: list[Move] = field(default_factory=list)
    words: list[Word] = field(default_factory=list)
    pauses: list[tuple[str, float, float]] = field(default_factory=list)
    replicas: dict[str, Line] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for line in self.lines:
            if line["kind"] == "config":
                self.services |= line.get("services", {})
                self.config |= line
            elif line["kind"] == "start":
                self.replicas.setdefault(line["who"], line)
        calls = [x for x in self.lines if x["kind"] == "call"]
        self.calls = sorted(calls, key=lambda x: float(x["begun"]))
        self._match_saves()
        self._read_words()
        self._read_pauses()
        for call in self.applies():
            saved = self.saved_for.get(id(call), call)
            for change in call.get("changes") or ():
                sites = [self.sites(change["service"], change[k]) for k in ("before", "after")]
                self.moves.append(Move(call, saved["begun"], change["service"], *sites))

    def of(self, kind: str) -> Iterator[Line]:
        return (line for line in self.lines if line["kind"] == kind)

    def events(self, *types: str) -> Iterator[Line]:
        return (line for line in self.of("event") if line["type"] in types)

    def applies(self) -> list[Line]:
        return [x for x in self.calls if x["op"] == "apply"]

    def sites(self, service: str, targets: Sequence[str] | None) -> frozenset[str]:
        """The configured sites that these targets stand for."""
        known = self.services.get(service, {}).get("sites", {})
        return frozenset(s for s, values in known.items() if set(values) & set(targets or ()))

    def instance(self, who: str) -> str:
        return str(self.replicas.get(who, {}).get("instance", ""))

    def done(self, call: Line) -> float:
        return float(call["t"])

    def word_on(self, site: str, service: str, at_s: float, who: str) -> Word | None:
        """The word in force, as `who` knew it: the newest of persons', else an alert's drain."""
        known = [w for w in self.words if self._knows(w, who, at_s)]
        here = [w for w in known if w.line["site"] == site and w.covers(service)]
        persons = [w for w in here if w.by_person]
        alerts = sorted(here, key=lambda w: w.line["action"] == "drain")
        return (persons or alerts)[-1] if here else None

    def _knows(self, word: Word, who: str, at_s: float) -> bool:
        said, theirs = float(word.line["t"]), word.line["who"]
        if theirs != who and theirs in self.replicas:
            return False
        lag_s = 0.0 if theirs == who else GRACE_S
        # Who learns a word decides by it in the same step: the same moment, in virtual time.
        return said + lag_s <= at_s < min(word.gone_s, float(word.line.get("ends") or 1e18)) - lag_s

    def by_people(self, move: Move, site: str) -> bool:
        """Does a person's word (or a confirmation) move this site?"""
        word = self.word_on(site, move.service, move.decided_s, move.call["who"])
        return (word is not None and word.by_person) or self.confirmed(move)

    def confirmed(self, move: Move) -> bool:
        return any(0 <= move.decided_s - e["t"] <= 900 for e in self.events("confirm", "mode"))

    def skipped(self, move: Move, guard: str) -> bool:
        words = [w for w in self.words if guard in (w.line.get("skip") or ())]
        return self.confirmed(move) or any(w.covers(move.service) for w in words)

    def _match_saves(self) -> None:
        last: dict[tuple[str, str], Line] = {}
        for line in self.lines:
            key = (line["who"], line.get("backend", ""))
            if line["kind"] == "saved":
                last[key] = line
            elif line["kind"] == "call" and line["op"] == "apply":
                saved = last.pop(key, None)
                if saved and all(saved.get(k) == line.get(k) for k in ("epoch", "seq")):
                    self.saved_for[id(line)] = saved

    def _read_words(self) -> None:
        open_: dict[tuple[str, str], Line] = {}
        for line in self.of("word"):
            key = (line["who"], line.get("key") or f"{line['site']}|{line['owner']}")
            before = open_.pop(key, None)
            if before is not None:
                self.words.append(Word(before, float(line["t"])))
            if line.get("on", True):
                open_[key] = line
        self.words += [Word(line, float("inf")) for line in open_.values()]
        # By the order in which the store took them: two may be learned at once, or late.
        self.words.sort(key=lambda w: (int(w.line.get("version") or 0), float(w.line["t"])))

    def _read_pauses(self) -> None:
        since: dict[str, float] = {}
        for line in self.of("pause"):
            began = since.pop(line["who"], None)
            if began is not None:
                self.pauses.append((line["who"], began, float(line["t"])))
            if line["on"]:
                since[line["who"]] = float(line["t"])
        self.pauses += [(who, began, float("inf")) for who, began in since.items()]

    def paused(self, who: str, at_s: float) -> bool:
        """Did `who` know of a pause then?"""
        for writer, began, ended in self.pauses:
            lag_s = 0.0 if writer == who else GRACE_S
            mine = writer == who or writer not in self.replicas
            if mine and began + lag_s < at_s < ended - lag_s:
                return True
        return False
