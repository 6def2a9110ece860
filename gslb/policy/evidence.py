"""What diagnosis works with: every aspect with its verdict, and a few questions about it."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

from gslb.domain.health import CauseClass, Loss, Reason, Track, TrackKey, Verdict
from gslb.domain.topology import Ability, Aspect, Role, Scope, Service, SiteName
from gslb.domain.world import World
from gslb.policy.judge import effective, is_local
from gslb.policy.moment import Moment
from gslb.policy.quorum import Vote, quorum

STORE_DECIDES = ("store.write", "store.read")
NO_TRACK = Track()
NEVER = float("inf")


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """One aspect of one site: its verdict by quorum and our own track."""

    aspect: Aspect
    verdict: Verdict
    track: Track

    @property
    def down(self) -> bool:
        return self.verdict is Verdict.DOWN

    @property
    def silent(self) -> bool:
        """Down, and nothing but silence was seen: the way there may be what is broken."""
        return self.down and not is_local(self.track)

    @property
    def unanswered(self) -> bool:
        """Its last results are no answers at all: silence, or we could not even try."""
        if self.track.fails:
            return all(c.kind is CauseClass.PATH for c in self.track.causes[-self.track.fails :])
        blind_s, counted_s = self.track.blind_s, self.track.counted_s or 0.0
        return blind_s is not None and blind_s > counted_s and self.track.blind_cause == "local"


Looks = Mapping[SiteName, tuple[Look, ...]]


def look(world: World, moment: Moment) -> Looks:
    """Every aspect that is not ignored, by site."""
    found: dict[SiteName, list[Look]] = {site.name: [] for site in world.topology.sites}
    for aspect in world.topology.aspects:
        if aspect.role is not Role.IGNORE:
            found[aspect.site].append(_look(world, aspect, moment))
    return {site: tuple(looks) for site, looks in found.items()}


def unseen(looks: Looks) -> Looks:
    """The same to a blind vantage: it knows nothing."""
    return {
        site: tuple(replace(x, verdict=Verdict.UNKNOWN) for x in found)
        for site, found in looks.items()
    }


def _look(world: World, aspect: Aspect, moment: Moment) -> Look:
    ours = NO_TRACK
    if len(world.topology.vantages) == 1:  # nobody to agree with, and most have but one
        key = TrackKey(aspect.site, aspect.name, world.topology.vantage)
        ours = world.tracks.get(key, NO_TRACK)
        return Look(aspect=aspect, verdict=effective(ours, aspect, moment), track=ours)
    votes: dict[str, Vote] = {}
    for vantage in world.topology.vantages:
        track = world.tracks.get(TrackKey(aspect.site, aspect.name, vantage))
        if track is None:
            continue
        if vantage == world.topology.vantage:
            ours = track
        votes[vantage] = Vote(verdict=effective(track, aspect, moment), local=is_local(track))
    verdict = quorum(votes, world.topology.vantages, aspect.site)  # type: ignore[arg-type]  # NewType keys
    return Look(aspect=aspect, verdict=verdict, track=ours)


def is_needed(seen: Look, looks: tuple[Look, ...]) -> bool:
    """Must this aspect have a verdict, or else its site's state is unknown (evidence.md 4.5)?"""
    aspect = seen.aspect
    if aspect.role is not Role.DECIDES or aspect.scope is Scope.SHARED:
        return False
    if aspect.base in STORE_DECIDES:
        return seen.verdict is not Verdict.UNKNOWN or not _named(looks, "quay.storage")
    if aspect.base == "quay.storage":
        stores = [x for base in STORE_DECIDES for x in _named(looks, base)]
        return not stores or any(x.verdict is Verdict.UNKNOWN for x in stores)
    return True


def needed(looks: tuple[Look, ...]) -> tuple[Look, ...]:
    """All needed aspects of a site."""
    return tuple(x for x in looks if is_needed(x, looks))


def concerns(aspect_service: str | None, service: Service) -> bool:
    """Does an aspect (of the site as a whole, or of one service there) count for `service`?"""
    return aspect_service in (None, service.name, service.probe_as)


def takes_from(takes: tuple[Ability, ...], needs: tuple[Ability, ...]) -> bool:
    """Is one of the abilities that are needed among those taken away?"""
    return any(ability in needs for ability in takes)


def _named(looks: tuple[Look, ...], base: str) -> tuple[Look, ...]:
    return tuple(x for x in looks if x.aspect.base == base and x.aspect.role is Role.DECIDES)


def stores(looks: tuple[Look, ...]) -> tuple[Look, ...]:
    """The aspects of the site's own store that decide."""
    return tuple(x for base in STORE_DECIDES for x in _named(looks, base))


def fresh_since(
    world: World, site: SiteName, service: Service, since_s: float, looks: Looks
) -> bool:
    """Did each needed aspect pass in a look begun at or after `since_s` (evidence.md 3)?"""
    relevant = [x for x in needed(looks[site]) if concerns(x.aspect.service, service)]
    return bool(relevant) and all(_passed_since(x, since_s) for x in relevant)


def _passed_since(seen: Look, since_s: float) -> bool:
    track = seen.track
    if seen.verdict is not Verdict.UP or track.fails:
        return False
    if track.pass_begun_s is not None and track.pass_begun_s >= since_s:
        return True
    slow = seen.aspect.base == "quay.storage" and track.blind_cause == "slow"
    return slow and track.blind_s is not None and track.blind_s >= since_s


def loss(seen: Look, text: str, starts_s: float, dwell_s: float) -> Loss:
    """What a site loses by an aspect that is down; it may move traffic when the dwell is over.

    The dwell is time covered by fails: when passes have come since, only a fail after its end
    completes it.
    """
    aspect, track = seen.aspect, seen.track
    ends_s = max(starts_s, track.covered_since_s or 0.0) + dwell_s
    if not track.fails and (track.last_fail_s or 0.0) < ends_s:
        ends_s = NEVER
    return Loss(
        takes=aspect.takes,
        service=aspect.service,
        aspect=aspect.name,
        reason=Reason(
            aspect=aspect.name,
            cause=track.causes[-1] if track.causes else None,
            text=text,
            since_s=track.since_s,
        ),
        first_fail_s=track.since_s if track.first_fail_s is None else track.first_fail_s,
        moves_at_s=ends_s,
        never_passed=not track.has_passed,
    )


def words(seen: Look) -> str:
    """What was last seen: `store.write: put: timeout after 1.0 s`."""
    share = " (by share of failed intervals)" if seen.track.by_share else ""
    return f"{seen.aspect.name}: {seen.track.detail or 'fails'}{share}"
