"""How soon a sick site must be out: the limit of safety, by the configuration in force."""

from dataclasses import dataclass
from pathlib import Path

from gslb.config.load import load
from gslb.domain.topology import Aspect, Family
from gslb.wiring.parts import KINDS

SHARE_INTERVALS = 10


@dataclass(frozen=True, kw_only=True)
class Sight:
    """The probe that can see a fault, and how the fault shows in it."""

    aspect: str
    silent: bool = False
    """There is no answer: only the longer dwell may move traffic."""
    share: bool = False
    """Some runs pass: only the share in the window turns it down."""
    answer_s: float = 0.0
    """How long the end-to-end check takes to say so."""


def seen_by(config: Path, site: str, sight: Sight) -> Aspect:
    """The aspect in the configuration."""
    aspects = load(config, KINDS).topology.aspects
    return next(a for a in aspects if a.site == site and a.base == sight.aspect)


def bound_s(config: Path, site: str, sight: Sight) -> float:
    """2 × (pace + fall × confirm + deadline + dwell), as issue 4 says it."""
    aspect = seen_by(config, site, sight)
    if sight.share:
        seen_s = SHARE_INTERVALS * aspect.interval_s
    elif aspect.family is Family.ENDTOEND:
        seen_s = aspect.fall * (aspect.pace_s + sight.answer_s)
    else:
        seen_s = aspect.pace_s + aspect.fall * aspect.confirm_s
    dwell_s = aspect.dwell_path_s if sight.silent else aspect.dwell_local_s
    return 2 * (seen_s + aspect.deadline_s + dwell_s)
