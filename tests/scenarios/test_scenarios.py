"""Whole stories in the operator's words, lived through the real `step`.

Above `----` of each file stands what happens, below it what followed: `pytest --rewrite` tells it
anew. The words:

    topology KEY VALUE …        before anything: tier, min_sites, weights, mode, served, timing …
    fail SITE.ASPECT CAUSE …    from now on (`store` is store.write and store.read; `*` every site)
    blind SITE.ASPECT CAUSE …   from now on, and it proves nothing
    pass SITE.ASPECT            mended
    quay SITE VERSION [readonly]
    wait 5 s
    PERSON drains SITE for 2 h [skipping GUARD]   PERSON forces in SITE for 2 h
    PERSON releases SITE        alert NAME drains SITE for 4 h     alert NAME ends on SITE
    PERSON pauses [for 5 min]   PERSON resumes
    PERSON confirms | acks SITE | adopts dns | says live | says observe
    dns serves SITE …           somebody else edits the records
    dns holds CLUSTER INSTANCE EPOCH SEQ          somebody else's generation stands there
    dns fails | ignores | works
    restart | loses the lease | leads again
"""

import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from gslb.domain.control import Mode, Owner, OwnerKind
from gslb.domain.health import Cause, RegistryFacts
from gslb.domain.messages import Acknowledged, Adopted, PlanConfirmed
from gslb.domain.topology import Endpoint, OnAllDown, SiteName, Topology
from gslb.domain.traffic import Generation
from tests.policy import build
from tests.policy.build import DNS, Life, answer, topology

FOLDER = Path(__file__).parent
RULE = "----\n"
SITES = ("eu", "us", "ap")
UNTOLD = {"suspect", "written"}
UNIT_S = {"s": 1, "min": 60, "h": 3600}


def seconds(number: str, unit: str) -> float:
    return float(number) * UNIT_S[unit]


# ── what was given before anything happened ─────────────────────────────────────────────────────


def _tier(topo: Topology, site: str, tier: str) -> Topology:
    (service,) = topo.services
    ends = (
        Endpoint(site=e.site, tier=int(tier)) if e.site == site else e for e in service.endpoints
    )
    return build.with_service(topo, endpoints=tuple(ends))


def _timing(topo: Topology, key: str, number: str, unit: str = "s") -> Topology:
    return build.with_timing(topo, **{key: seconds(number, unit)})


def _ramp(topo: Topology, *shares: str) -> Topology:
    return build.with_timing(topo, ramp=tuple(int(s) for s in shares))


GIVEN: dict[str, Callable[..., Topology]] = {
    "tier": _tier,
    "timing": _timing,
    "ramp": _ramp,
    "min_sites": lambda topo, n: build.with_limits(topo, min_sites=int(n)),
    "max_drained": lambda topo, n: build.with_limits(topo, max_drained=int(n)),
    "on_all_down": lambda topo, what: build.with_limits(topo, on_all_down=OnAllDown(what)),
    "weights": lambda topo: build.with_backend(topo, weights=True, weight_max=256),
    "file_mode": lambda topo, mode: replace(topo, mode=None if mode == "none" else mode),
    "accept": lambda topo, *what: build.with_service(topo, accept=what),
}


# ── what happens ────────────────────────────────────────────────────────────────────────────────


def _fail(life: Life, site: str, aspect: str, cause: str, detail: str) -> None:
    for name in SITES if site == "*" else (site,):
        life.break_(name, aspect, Cause(cause), detail.strip())


def _blind(life: Life, site: str, aspect: str, cause: str, detail: str) -> None:
    for name in SITES if site == "*" else (site,):
        life.break_(name, aspect, Cause(cause), detail.strip(), blind=True)


def _pass(life: Life, site: str, aspect: str) -> None:
    for name in SITES if site == "*" else (site,):
        life.mend(name, aspect)


def _quay(life: Life, site: str, version: str, readonly: str | None) -> None:
    for name in SITES if site == "*" else (site,):
        life.facts[name] = RegistryFacts(version=version, readonly=readonly is not None)


def _drain(life: Life, who: str, site: str, number: str, unit: str, skip: str | None) -> None:
    life.say("drain", site, f"person:{who}", seconds(number, unit), (skip,) if skip else ())


def _confirm(life: Life, who: str) -> None:
    plan = life.world.waiting[DNS]
    owner = Owner(OwnerKind.PERSON, who)
    life.tell(PlanConfirmed(digest=plan.digest, owner=owner, reason="seen"))


def _serves(life: Life, sites: str) -> None:
    life.held = answer(life.topo, **dict.fromkeys(sites.split(), 1)) if sites.split() else None


def _mode(life: Life, who: str, mode: str) -> None:
    life.mode = Mode(mode)
    life.control()


def _holds(life: Life, cluster: str, instance: str, epoch: str, seq: str) -> None:
    life.generation = Generation(cluster, instance, int(epoch), int(seq))


LOOK = r"(\S+?)\.(\S+)"
FOR = r"for (\d+) (s|min|h)"
HAPPENS: list[tuple[str, Callable[..., None]]] = [
    (rf"fail {LOOK} (\w+)(.*)", _fail),
    (rf"blind {LOOK} (\w+)(.*)", _blind),
    (rf"pass {LOOK}", _pass),
    (r"quay (\S+) (\S+)( readonly)?", _quay),
    (r"wait (\S+) (s|min|h)", lambda life, n, unit: life.wait(seconds(n, unit))),
    (r"dns serves ?(.*)", _serves),
    (r"dns holds (\S+) (\S+) (\d+) (\d+)", _holds),
    (r"dns (fails|ignores|works)", lambda life, how: setattr(life, "backend_fault", how)),
    (r"restart", lambda life: life.restart()),
    (r"loses the lease", lambda life: life.lead(None)),
    (r"leads again", lambda life: life.lead(life.epoch + 1)),
    (
        rf"alert (\S+) drains (\S+) {FOR}",
        lambda life, a, s, n, u: life.say("drain", s, f"alert:{a}", seconds(n, u)),
    ),
    (r"alert (\S+) ends on (\S+)", lambda life, a, s: life.release(s, f"alert:{a}")),
    (rf"(\w+) drains (\S+) {FOR}(?: skipping (\w+))?", _drain),
    (
        rf"(\w+) forces in (\S+) {FOR}",
        lambda life, w, s, n, u: life.say("force-in", s, f"person:{w}", seconds(n, u)),
    ),
    (r"(\w+) releases (\S+)", lambda life, w, s: life.release(s, f"person:{w}")),
    (rf"(\w+) pauses {FOR}", lambda life, w, n, u: life.set_pause(seconds(n, u))),
    (r"(\w+) pauses", lambda life, w: life.set_pause()),
    (r"(\w+) resumes", lambda life, w: life.set_pause(on=False)),
    (r"(\w+) confirms", _confirm),
    (
        r"(\w+) acks (\S+)",
        lambda life, w, s: (
            life.tell(
                Acknowledged(site=SiteName(s), owner=Owner(OwnerKind.PERSON, w), reason="seen")
            )
            and None
        ),
    ),
    (
        r"(\w+) adopts dns",
        lambda life, w: (
            life.tell(Adopted(backend=DNS, owner=Owner(OwnerKind.PERSON, w), reason="ours now"))
            and None
        ),
    ),
    (r"(\w+) says (live|observe)", _mode),
]


def live(story: str) -> str:
    """What followed: the commands, what was concluded, and what was served, with the time."""
    lines = [line for line in story.splitlines() if line and not line.startswith("#")]
    topo, begins = topology(), {"served": "eu us ap", "settle": "20 s"}
    for line in [x for x in lines if x.startswith("topology ")]:
        key, *words = line.split()[1:]
        if key in begins:
            begins[key] = " ".join(words)
        else:
            topo = GIVEN[key](topo, *words)
    life = Life(
        topo,
        served=begins["served"].split(),
        settle_s=0,
        mode=Mode.OBSERVE if topo.mode is None else Mode.LIVE,
    )
    life.wait(seconds(*begins["settle"].split()))
    told = _Told(life)
    if begins["settle"] == "0 s":
        told.heard = 0
    for line in (x for x in lines if not x.startswith("topology ")):
        told.command(line)
        _happen(life, line, told)
    return told.text()


def _happen(life: Life, line: str, told: "_Told") -> None:
    for pattern, act in HAPPENS:
        found = re.fullmatch(pattern, line)
        if found is None:
            continue
        if act.__name__ == "<lambda>" and line.startswith("wait "):
            for _ in range(round(seconds(*found.groups()) / build.TENTH)):
                life.wait(build.TENTH)
                told.listen()
            return
        act(life, *found.groups())
        told.listen()
        return
    raise ValueError(f"a word that nobody knows: {line!r}")


class _Told:
    """The story as it came out."""

    def __init__(self, life: Life) -> None:
        self.life, self.heard, self.begun = life, len(life.events), life.tenth
        self.served = ""
        self.lines: list[str] = []
        self.listen()

    def command(self, line: str) -> None:
        if not line.startswith("wait "):
            self.lines.append(f"{self._at()} > {line}")

    def listen(self) -> None:
        for event in self.life.events[self.heard :]:
            if event.kind not in UNTOLD:
                self.lines.append(f"{self._at()}   {event.kind}: {event.text}")
        self.heard = len(self.life.events)
        held = self.life.held
        weighted = held is not None and len({t.weight for t in held.targets}) > 1
        now = " ".join(
            f"{s}×{held.weight(s)}" if weighted else s for s in (held.sites if held else ())
        )
        if now != self.served:
            self.served = now
            self.lines.append(f"{self._at()} = {now or 'nothing'}")

    def _at(self) -> str:
        return f"{(self.life.tenth - self.begun) / 10:7.1f}"

    def text(self) -> str:
        # What a digest is does not belong to the story.
        return re.sub(r"p-[0-9a-f]{12}", "p-…", "\n".join(self.lines)) + "\n"


@pytest.mark.parametrize("path", sorted(FOLDER.glob("*.txt")), ids=lambda path: path.stem)
def test_the_story_comes_out_as_it_is_told(path: Path, request: pytest.FixtureRequest) -> None:
    story, _, told = path.read_text().partition(RULE)
    came = live(story)
    if request.config.getoption("--rewrite"):
        path.write_text(story + RULE + came)
        return
    assert came == told


def test_a_story_with_a_word_that_nobody_knows_is_refused() -> None:
    with pytest.raises(ValueError, match="a word that nobody knows: 'eu burns'"):
        live("eu burns")
