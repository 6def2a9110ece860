"""Silence is not yet the site's trouble: it may be our way to it (evidence.md 4.2).

`at_store` and `at_front` give from when the dwell runs, or why nothing may be concluded.
"""

from gslb.domain.topology import SiteName
from gslb.domain.world import World
from gslb.policy.evidence import Look, Looks
from gslb.policy.moment import Moment

FIRST_VERSION_WITH_OWN_STORE = (3, 18)


def at_store(world: World, looks: Looks, seen: Look, moment: Moment) -> tuple[float, str | None]:
    """A store that is silent for us."""
    site, first_s = seen.aspect.site, _first(seen)
    if not _reaches_another(looks, site, first_s, ("store.", "quay.front")):
        return 0.0, f"{seen.aspect.name}: silent, and no other site was reached since: is it us?"
    said = [x for x in looks[site] if x.aspect.base == "quay.storage"]
    # What Quay says after the drain is shown and changes nothing before `rise` and `quiet`.
    if not said or (site in world.memories and world.memories[site].left):
        return seen.track.since_s, None
    ends_s = seen.track.since_s
    for quay in said:
        disputed, word_s = _quay_contradicts(world, site, quay, first_s, moment)
        if disputed:
            return 0.0, (
                f"our path to its store: {seen.aspect.name} is silent for us "
                f"({seen.track.detail}), while Quay there says storage: true"
            )
        ends_s = max(ends_s, word_s)
    if not moment.reached(ends_s):
        return ends_s, f"{seen.aspect.name}: silent; waiting for what Quay there says of it"
    return ends_s, None


def at_front(world: World, looks: Looks, seen: Look, moment: Moment) -> tuple[float, str | None]:
    """A front (or a generic target) that is silent for us."""
    first_s = _first(seen)
    if not _reaches_another(looks, seen.aspect.site, first_s, (seen.aspect.base,)):
        return 0.0, f"{seen.aspect.name}: silent, and no other site's answered since: is it us?"
    if world.topology.references and not any(
        ok and at_s >= first_s for at_s, ok in world.references.values()
    ):
        return 0.0, f"{seen.aspect.name}: silent, and no reference answered since: is it us?"
    return seen.track.since_s, None


def _first(seen: Look) -> float:
    track = seen.track
    return track.since_s if track.first_fail_s is None else track.first_fail_s


def _reaches_another(looks: Looks, site: SiteName, since_s: float, bases: tuple[str, ...]) -> bool:
    return any(
        (x.track.pass_begun_s or 0.0) >= since_s
        for other, all_of_it in looks.items()
        if other != site
        for x in all_of_it
        if x.aspect.base.startswith(bases)
    )


def _quay_contradicts(
    world: World, site: SiteName, quay: Look, first_s: float, moment: Moment
) -> tuple[bool, float]:
    """Does Quay at the site say that the store works? If not: from when the dwell may run."""
    track = quay.track
    waited_s = first_s + world.topology.site(site).timing.corroborate_s
    answered_s = max(
        (t for t in (track.last_fail_s, track.blind_s) if t is not None and t >= first_s),
        default=waited_s,
    )
    word_s = min(answered_s, waited_s)
    says_true = track.pass_begun_s is not None and track.pass_begun_s >= first_s
    if not says_true or not _is_believed(world, quay):
        return False, word_s
    assert track.last_pass_s is not None
    if track.fails:
        return False, max(word_s, track.failing_since_s)
    silent_s = track.last_pass_s + quay.aspect.stale_after_s
    if moment.reached(silent_s):
        return False, max(word_s, silent_s)
    return True, word_s


def _is_believed(world: World, quay: Look) -> bool:
    """A read-only registry says true without looking, an old one may look at another store."""
    facts = world.facts.get(f"{quay.aspect.site} {quay.aspect.registry}")
    if facts is not None and facts.readonly:
        return False
    preferred = world.topology.site(quay.aspect.site).store_preferred is True
    version = _version(facts.version) if facts is not None and facts.version else (0,)
    return preferred or version >= FIRST_VERSION_WITH_OWN_STORE


def _version(text: str) -> tuple[int, ...]:
    numbers = []
    for part in text.removeprefix("v").split("."):
        if not part.isdigit():
            break
        numbers.append(int(part))
    return tuple(numbers) or (0,)
