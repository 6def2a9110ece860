"""What a guard is asked about: a move, and all that it may look at."""

from collections.abc import Mapping
from dataclasses import dataclass

from gslb.domain.control import OwnerKind
from gslb.domain.topology import Service, SiteName
from gslb.domain.world import BackendView, Wish, World
from gslb.policy.evidence import Looks
from gslb.policy.moment import Moment


@dataclass(frozen=True, slots=True, kw_only=True)
class Move:
    """One site in one answer. `site` None: something that nobody configured leaves."""

    site: SiteName | None
    leaving: bool
    wish: Wish | None
    kind: OwnerKind
    """Whose: `auto`, `person` or `alert`."""
    before: Mapping[SiteName, int]
    after: Mapping[SiteName, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """All that a guard may look at."""

    world: World
    looks: Looks
    service: Service
    view: BackendView
    wishes: tuple[Wish, ...]
    moment: Moment
    left_now: tuple[SiteName, ...] = ()
    """Sites whose leaving was let through a moment ago, in the same plan."""
    nobody_able: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class No:
    """A guard's refusal: the sentence and its figures."""

    text: str
    figures: tuple[tuple[str, float], ...] = ()
