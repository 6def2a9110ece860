"""For each invariant a history that holds and one that does not; a judge that cannot fail is none.

A history is told in short: `apply(10, "abc>bc")` saves at 10.0, then applies.
"""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from tests.history import INVARIANTS, Line, judge, read
from tests.history.__main__ import main

Told = list[dict[str, Any]]
SITES = {"a": ["10.0.0.1"], "b": ["10.0.0.2"], "c": ["10.0.0.3"]}
CONFIG: dict[str, Any] = {
    "services": {
        "quay": {"sites": SITES, "min_sites": 1, "max_drained": 1, "change_window_s": 30.0}
    },
    "backends": {"dns": {"fenced": True}},
    "out_within_s": 10.0,
}


def line(kind: str, t: float, who: str = "r1", **told: Any) -> Told:
    return [{"t": t, "who": who, "kind": kind, **told}]


def config(**limits: Any) -> Told:
    service = {**CONFIG["services"]["quay"], **limits}
    return line("config", 0, "driver", **{**CONFIG, "services": {"quay": service}})


def start(who: str = "r1", epoch: int = 1, t: float = 0.0, instance: str = "i1") -> Told:
    return line("start", t, who, instance=instance, epoch=epoch, cluster="x")


def targets(sites: str) -> list[str]:
    return [SITES[s][0] for s in sites]


def apply(
    t: float,
    change: str,
    seq: int = 1,
    *,
    who: str = "r1",
    epoch: int = 1,
    outcome: str = "ok",
    saved: bool = True,
    **told: Any,
) -> Told:
    before, after = change.split(">")
    changes = [{"service": "quay", "before": targets(before), "after": targets(after)}]
    told = {"backend": "dns", "epoch": epoch, "seq": seq, "changes": changes, **told}
    call = line("call", t + 0.2, who, op="apply", begun=t + 0.1, outcome=outcome, **told)
    ahead = line("saved", t + 0.05, who, begun=t, **told)
    return ahead + call if saved else call


def look(t: float, who: str = "r1") -> Told:
    told = {"backend": "dns", "op": "read", "epoch": 1, "outcome": "ok"}
    return line("call", t + 0.1, who, begun=t, **told)


def served(t: float, sites: str, server: str = "bind") -> Told:
    return line("served", t, "poller", server=server, service="quay", targets=targets(sites))


def truth(t: float, site: str, able: bool) -> Told:
    return line("truth", t, "driver", site=site, able=able, why=None if able else "500")


def word(
    t: float, site: str, action: str = "drain", owner: str = "person:kim", **told: Any
) -> Told:
    told = {"key": f"{site}|{owner}", "ends": 1000.0, "on": True, **told}
    return line("word", t, site=site, action=action, owner=owner, services=[], **told)


def event(t: float, kind: str, **told: Any) -> Told:
    return line("event", t, type=kind, text=kind, **told)


def soa(*times: float) -> Told:
    return [x for t in times for x in line("soa", t, "poller", server="bind", serial=t)]


GOOD: list[tuple[str, str, Told]] = [
    ("I1", "one of three leaves", apply(10, "abc>bc") + served(9, "abc") + served(11, "bc")),
    ("I1", "a person skips min_sites", word(1, "b", skip=["min_sites"])
     + config(min_sites=2) + apply(10, "ab>a")),
    ("I1", "somebody else empties it", line("foreign", 5, service="quay") + served(6, "")),
    ("I3", "the other is out by hand", word(1, "a") + apply(10, "bc>c")),
    ("I3", "the other is up again", event(1, "site", site="a", after="down")
     + event(5, "site", site="a", after="up") + apply(10, "bc>c")),
    ("I4", "after the window", apply(10, "abc>bc") + apply(41, "bc>c", 2)),
    ("I4", "the other is back", apply(10, "abc>bc") + apply(20, "bc>abc", 2)
     + apply(25, "abc>ac", 3)),
    ("I4", "a person's", apply(10, "abc>bc") + word(12, "b") + apply(20, "bc>c", 2)),
    ("I8", "epochs and numbers rise", apply(10, ">abc") + apply(12, "abc>bc", 2)
     + start("r2", 2, 20) + apply(21, "bc>abc", 1, who="r2", epoch=2)),
    ("I8", "the old one is fenced", apply(10, "abc>bc", epoch=2, who="r2")
     + apply(20, "bc>abc", outcome="fenced")),
    ("I8", "calls that overlap may be taken in either order",
     apply(10, "abc>bc", epoch=2, who="r2") + apply(9.95, "abc>bc")),
    ("I10", "saved", apply(10, "abc>bc")),
    ("I11", "read after a failure", apply(10, "abc>bc", outcome="failed") + look(11)
     + apply(12, "abc>bc", 2)),
    ("I12", "within the lease", apply(10, "abc>bc", lease=12.0)),
    ("I14", "as sent, on two servers, one late", served(1, "abc") + served(1, "abc", "nsd")
     + apply(10, "abc>bc") + served(10.2, "bc") + apply(20, "bc>abc", 2) + served(20.2, "abc")
     + served(21, "bc", "nsd") + served(22, "abc", "nsd")),
    ("I14", "a foreign hand, declared", served(1, "abc")
     + line("foreign", 5, service="quay", targets=targets("a")) + served(5.1, "a")),
    ("I14", "a balancer changes server by server", served(1, "ab") + apply(10, "ab>c")
     + served(10.1, "abc") + served(10.12, "bc") + served(10.2, "c")),
    ("I14", "a server that falls silent changes nothing",
     served(1, "abc") + line("served", 5, service="quay", server="bind", targets=None)
     + served(9, "abc")),
    ("I16", "adopted", apply(10, "abc>bc") + start("r2", 1, 11, "i2")
     + line("event", 12, "r2", type="adopt", text="", backend="dns")
     + apply(13, "bc>abc", who="r2")),
    ("I17", "another site moves", word(1, "a") + apply(10, "bc>c")),
    ("I17", "it comes back once it is released", word(1, "a") + apply(2, "abc>bc")
     + word(50, "a", on=False) + event(50, "override", site="a", after="released",
     owner="person:kim") + apply(51, "bc>abc", 2)),
    ("I17", "two words are learned at once, and the newer is the other",
     word(1, "a", version=5, ends=900.0) + word(1, "a", "force-in", "person:lee", version=6)
     + word(700, "a", "force-in", "person:lee", on=False) + apply(10, "bc>abc")),
    ("I17", "it ends at its end", word(1, "a") + word(1000, "a", on=False)
     + event(1000, "override", site="a", after="ended", owner="person:kim")),
    ("I18", "after resume", line("pause", 1, on=True) + line("pause", 9, on=False)
     + apply(10, "abc>bc")),
    ("I18", "a person's word in a pause", line("pause", 1, on=True) + word(5, "a")
     + apply(10, "abc>bc")),
    ("WHOLE", "it was just mended", truth(1, "a", False) + truth(9, "a", True)
     + apply(10, "abc>bc")),
    ("WHOLE", "drained by hand", truth(1, "a", True) + word(50, "a") + apply(60, "abc>bc")),
    ("SICK", "out in time", served(1, "abc") + truth(20, "a", False) + served(29, "bc")
     + served(90, "bc")),
    ("SICK", "a guard is named", served(1, "abc") + truth(20, "a", False)
     + event(25, "refused", site="a", guard="velocity") + served(90, "abc")),
    ("SICK", "mended within the bound", served(1, "abc") + truth(20, "a", False)
     + truth(25, "a", True) + served(90, "abc")),
    ("SICK", "nobody is able", served(1, "abc") + truth(20, "a", False) + truth(21, "b", False)
     + truth(21, "c", False) + served(90, "abc")),
    ("SOA", "a minute apart", soa(1, 10, 71)),
]  # fmt: skip
BAD: list[tuple[str, str, int, Told]] = [
    ("I1", "an empty answer is written", 1, apply(10, "a>")),
    ("I1", "too few are left", 3, config(min_sites=2) + apply(10, "ab>a")),
    ("I1", "an empty answer is served", 1, served(9, "abc") + served(11, "")),
    ("I3", "a second one is taken out", 4, event(1, "site", site="a", after="down")
     + apply(10, "bc>c")),
    ("I3", "an alert holds the other", 4, word(1, "a", owner="alert:ceph") + apply(10, "bc>c")),
    ("I4", "a second within the window", 5, apply(10, "abc>bc") + apply(20, "bc>c", 2)),
    ("I4", "two in one plan", 2, apply(10, "abc>c")),
    ("I8", "an older term after a newer", 4, start("r2") + apply(20, "bc>abc")
     + apply(10, "abc>bc", epoch=2, who="r2")),
    ("I8", "the same number twice", 2, apply(10, "abc>bc") + apply(20, "bc>abc")),
    ("I10", "not saved", 1, apply(10, "abc>bc", saved=False)),
    ("I10", "saved in another term", 1, line("saved", 1, backend="dns", begun=1, epoch=7, seq=1)
     + apply(10, "abc>bc", saved=False)),
    ("I11", "not read after a failure", 2, apply(10, "abc>bc", outcome="failed") + look(5)
     + apply(12, "abc>bc", 2)),
    ("I12", "after the lease", 1, apply(10, "abc>bc", lease=9.0)),
    ("I14", "while nobody runs", 2, served(1, "abc") + apply(10, "abc>bc") + served(10.2, "bc")
     + served(99, "abc")),
    ("I14", "before it was sent", 2, served(1, "abc") + served(9, "bc") + apply(10, "abc>bc")),
    ("I16", "another's backend", 4, apply(10, "abc>bc") + start("r2", 1, 11, "i2")
     + apply(13, "bc>abc", who="r2")),
    ("I17", "returned in spite of the word", 3, word(1, "a") + apply(2, "abc>bc")
     + apply(40, "bc>abc", 2)),
    ("I17", "ended too early", 3, word(1, "a") + word(500, "a", on=False)
     + event(500, "override", site="a", after="ended", owner="person:kim")),
    ("I18", "automation in a pause", 3, line("pause", 1, on=True) + apply(10, "abc>bc")),
    ("WHOLE", "able for long", 3, truth(1, "a", True) + apply(50, "abc>bc")),
    ("SICK", "still served", 4, served(1, "abc") + truth(20, "a", False) + served(90, "bc")),
    ("SOA", "twice in a minute", 3, soa(1, 10, 30)),
]  # fmt: skip


def whole(told: Told) -> Told:
    """With a configuration and a term, unless the history has its own."""
    return (config() if not any(x["kind"] == "config" for x in told) else []) + start() + told


@pytest.mark.parametrize(("rule", "told"), [(r, t) for r, _, t in GOOD], ids=[g[1] for g in GOOD])
def test_a_history_that_holds_is_clean(rule: str, told: Told) -> None:
    assert [str(v) for v in judge(whole(told), {rule})] == []


@pytest.mark.parametrize(
    ("rule", "size", "told"), [(r, n, t) for r, _, n, t in BAD], ids=[b[1] for b in BAD]
)
def test_a_violation_is_found_and_shown_in_as_few_lines_as_can_be(
    rule: str, size: int, told: Told
) -> None:
    noise = [x for t in range(0, 90, 3) for x in event(t + 0.5, "probe", site="c") + look(t - 200)]
    found = judge(whole(told) + noise, {rule})
    assert found
    assert {v.invariant for v in found} == {rule}
    assert len(found[0].lines) <= size, str(found[0])


def test_every_invariant_has_a_history_of_each_kind() -> None:
    assert {rule for rule, *_ in GOOD} == set(INVARIANTS)
    assert {rule for rule, *_ in BAD} == set(INVARIANTS)


def files(folder: Path, told: Sequence[Line]) -> list[str]:
    """The same history in two files, as two writers would leave it; the last line is cut off."""
    found = []
    for number in (0, 1):
        path = folder / f"{number}.jsonl"
        rows = [json.dumps(x) for x in told[number::2]]
        path.write_text("\n".join(rows) + '\n{"t": 5, "kin')
        found.append(str(path))
    return found


@pytest.mark.parametrize(("told", "code"), [(GOOD[0][2], 0), (BAD[0][3], 1)])
def test_files_are_merged_and_judged_by_the_command(
    told: Told, code: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    named = files(tmp_path, whole(told))
    assert read([Path(n) for n in named]) == sorted(whole(told), key=lambda x: float(x["t"]))
    assert main([*named, "--only", "I1", "--only", "I14"]) == code
    said = capsys.readouterr().out
    assert ("clean: 6 lines" in said) is (code == 0)
    assert ("I1: an empty answer for quay at 10.10" in said) is (code == 1)
