"""What is told to people: the same values for console, command line, API and notifications."""

from dataclasses import dataclass
from enum import StrEnum

from gslb.domain.control import Owner
from gslb.domain.topology import BackendName, ServiceName, SiteName
from gslb.domain.traffic import Answer


@dataclass(frozen=True, slots=True, kw_only=True)
class Section:
    """One of the steps of an explanation: evidence, verdict, guards, plan, applied, next."""

    title: str
    lines: tuple[str, ...]
    outcome: str = "ok"
    """`ok`, `refused`, `failed`, `waiting` or `none`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Explanation:
    """Why something is as it is, like a colleague's answer."""

    kind: str
    name: str
    headline: tuple[str, ...]
    sections: tuple[Section, ...]
    next: str
    you_can: tuple[str, ...]
    incident: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """A sentence that somebody should read, worst first."""

    severity: str
    """`page`, `warn` or `note`."""
    text: str
    hint: str = ""
    site: SiteName | None = None
    service: ServiceName | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Traffic:
    """What is served of a site, and who said so."""

    site: SiteName
    state: str
    """`in`, `out`, `part`, or `unknown` when no backend could be read."""
    share: float
    """Of all answers that could name it, 0..1, by weight."""
    owner: Owner | None
    """Who holds it out: a person, an alert, or auto."""
    owners: tuple[Owner, ...]
    """Everybody who would hold it out, the one in force first."""
    until_wall_s: float | None
    """When that ends by itself; None: open (automation: when it has healed)."""
    since_s: float | None
    because: str
    next: str
    """What comes next: `back after 20 passes (3/20) + 5 min quiet`."""


class Fate(StrEnum):
    """What becomes of a change that is wanted."""

    GOES = "goes"
    WOULD = "would"
    """Observe: it is only shown."""
    WAITS = "waits"
    """For a person's confirm."""
    RESTS = "rests"
    """An edit by others that is only reported."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GuardWord:
    """A guard's word on a move: pass or refuse, with its figures."""

    guard: str
    verdict: str
    """`pass`, `refuse` or `skipped`."""
    text: str
    service: ServiceName | None = None
    backend: BackendName | None = None
    figures: tuple[tuple[str, float], ...] = ()
    skippable: bool = False
    site: SiteName | None = None
    next: str = ""
    """What becomes of a refused move, and the way on."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PreviewChange:
    """One answer before and after."""

    service: ServiceName
    backend: BackendName
    before: Answer | None
    after: Answer
    fate: Fate = Fate.GOES
    digest: str | None = None
    """What a person would confirm, when it waits."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Preview:
    """What would follow from a word: made by the function that makes the plan."""

    changes: tuple[PreviewChange, ...]
    guards: tuple[GuardWord, ...]
    notes: tuple[str, ...] = ()

    @property
    def refused(self) -> GuardWord | None:
        """The first guard that refuses, or None."""
        return next((g for g in self.guards if g.verdict == "refuse"), None)
