"""A service and the states of its sites give what should be served (evidence.md, section 5)."""

from collections.abc import Collection
from dataclasses import dataclass, replace

from gslb.domain.control import Action, Override, Owner, OwnerKind
from gslb.domain.health import SiteVerdict
from gslb.domain.topology import Ability, Endpoint, OnAllDown, Role, Service, SiteName
from gslb.domain.world import Wish, World
from gslb.policy.able import Able, able, brake, losses_of, ramp_share, word_on
from gslb.policy.evidence import Looks, concerns, needed
from gslb.policy.moment import Moment

AUTO = Owner(OwnerKind.AUTO)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Place:
    """One endpoint and what speaks for and against it."""

    endpoint: Endpoint
    served: bool
    able: Able
    moved: bool
    """Not able, and the dwell is over."""
    word: Override | None
    wish: Wish

    @property
    def drained(self) -> bool:
        """Does somebody's word keep it out?"""
        return self.word is not None and self.word.action is Action.DRAIN

    @property
    def serves(self) -> bool:
        """It serves, or may begin to."""
        return self.wish.stance in ("in", "keep") and self.wish.brake is None


def steer(
    world: World,
    looks: Looks,
    service: Service,
    served: Collection[SiteName],
    moment: Moment,
) -> tuple[Wish, ...]:
    """One wish for each endpoint, in the file's order. `served`: the sites in the answer now."""
    needs = _needs(world, service)
    places = [
        _place(world, looks, service, e, e.site in served, needs, moment) for e in service.endpoints
    ]
    # No served site is able, and none may be: what is whole enters at once (last resort).
    if not any(p.serves and (p.able is not Able.NO) for p in places):
        rescued = _last_resort(world, looks, service, places)
        if rescued is not None:
            return rescued
        if service.limits.on_all_down is OnAllDown.ALL:
            return tuple(_all_in(p) for p in places)
        return tuple(p.wish for p in places)
    return _tiers(service, places)


def no_site_able(wishes: tuple[Wish, ...]) -> bool:
    """Is there nobody that could serve well: neither able nor a last resort?

    A site that is down and waits for the end of its dwell is kept for now, but serves nobody well.
    """
    waiting = [w for w in wishes if w.stance == "keep" and w.owner == AUTO]
    return not any(
        w.stance in ("in", "keep") and w.brake is None and w not in waiting for w in wishes
    )


def _needs(world: World, service: Service) -> tuple[Ability, ...]:
    """What is asked of a site: `needs`, or `accept` when no site has that."""
    if set(service.accept) == set(service.needs):
        return service.needs
    if any(able(world, e.site, service) is not Able.NO for e in service.endpoints):
        return service.needs
    if any(able(world, e.site, service, service.accept) is Able.YES for e in service.endpoints):
        return service.accept
    return service.needs


def _place(
    world: World,
    looks: Looks,
    service: Service,
    endpoint: Endpoint,
    served: bool,
    needs: tuple[Ability, ...],
    moment: Moment,
) -> _Place:
    site = endpoint.site
    can = able(world, site, service, needs)
    state = world.states.get(site)
    losses = losses_of(state, service, needs) if state is not None else ()
    counted = [x for x in losses if not x.never_passed]
    # All that have a timer are asked, so that each is waited for.
    moved = any([moment.reached(x.moves_at_s) for x in counted])
    word = word_on(world, site, service, moment)
    base = Wish(site=site, stance="keep", weight=_weight(world, service, endpoint, moment))
    if word is not None:
        wish = _by_word(base, word)
    elif can is Able.NO:
        why = counted[0].reason.text if counted else "it lacks an ability that is needed"
        first_s = min((x.first_fail_s for x in counted), default=0.0)
        out = moved or not counted or not served
        wish = replace(
            base,
            stance="out" if out else "keep",
            owner=AUTO,
            reason=why if out else f"{why}; not yet for long enough to move traffic",
            since_s=first_s,
        )
    elif can is Able.UNKNOWN:
        wish = _unknown(base, bool(losses), served)
    else:
        wish = _able(world, looks, service, base, served, moment)
    return _Place(endpoint=endpoint, served=served, able=can, moved=moved, word=word, wish=wish)


def _by_word(base: Wish, word: Override) -> Wish:
    stance = "out" if word.action is Action.DRAIN else "in"
    return replace(
        base,
        stance=stance,
        owner=word.owner,
        reason=f"{word.action} by {word.owner}: {word.reason}",
        until_s=word.ends_at_s,
        skip=word.skip,
        at_once=False,
    )


def _unknown(base: Wish, never_passed: bool, served: bool) -> Wish:
    if never_passed and served:
        return replace(
            base,
            stance="in",
            reason="a probe that has never passed decides nothing",
            declined="never_healthy",
        )
    if served:
        return replace(base, reason="unknown: it keeps what it has")
    return replace(base, stance="out", owner=AUTO, reason="unknown: it keeps being out")


def _able(
    world: World, looks: Looks, service: Service, base: Wish, served: bool, moment: Moment
) -> Wish:
    # Redis may fail everywhere: nobody would move for it, so there is nothing to refuse.
    decide = {x.aspect.name for x in looks[base.site] if x.aspect.role is Role.DECIDES}
    shared = [reason for reason in world.states[base.site].shared if reason.aspect in decide]
    if served:
        if shared:
            return replace(base, stance="in", reason=shared[0].text, declined="shared_outage")
        return replace(base, stance="in", reason="up")
    held = brake(world, looks, service, base.site, moment)
    return replace(
        base,
        stance="in",
        owner=None if held is None else AUTO,
        reason="up" if held is None else f"up, and held back by {held[0]}: {held[1]}",
        brake=held,
    )


def _weight(world: World, service: Service, endpoint: Endpoint, moment: Moment) -> int:
    """Configured weight × degraded × ramp, at least 1."""
    weight = endpoint.weight * ramp_share(world, service, endpoint.site, moment) / 100
    state = world.states.get(endpoint.site)
    if state is not None and state.verdict is SiteVerdict.DEGRADED:
        weight = weight * service.degraded_weight / 100
    return max(round(weight), 1)


def _tiers(service: Service, places: list[_Place]) -> tuple[Wish, ...]:
    """All that may serve of the lowest tiers that muster `min_sites`; the others stand by."""
    mustered, last = 0, max(p.endpoint.tier for p in places)
    for tier in sorted({p.endpoint.tier for p in places}):
        # A dead site within its dwell, or kept by a guard, musters nothing.
        mustered += sum(
            p.serves and p.able is not Able.NO for p in places if p.endpoint.tier == tier
        )
        if mustered >= service.limits.min_sites:
            last = tier
            break
    return tuple(p.wish if p.endpoint.tier <= last else _standby(p) for p in places)


def _standby(place: _Place) -> Wish:
    wish = place.wish
    if wish.stance == "out":
        return wish
    if place.endpoint.trickle and place.able is Able.YES:
        return replace(
            wish, weight=place.endpoint.trickle, reason="standby, kept warm by a trickle"
        )
    tier = place.endpoint.tier
    return replace(wish, stance="standby", owner=None, reason=f"standby in tier {tier}", brake=None)


def _last_resort(
    world: World, looks: Looks, service: Service, places: list[_Place]
) -> tuple[Wish, ...] | None:
    """What is up (failing that, what has `fall` passes in a row everywhere) enters at once."""
    # What an alert would drain now is kept by `min_sites`, which says so; it needs no rescue.
    open_to = [p for p in places if not _drained_by_person(p) and not (p.served and p.drained)]
    chosen = [p for p in open_to if p.able is Able.YES]
    if not chosen:
        chosen = [p for p in open_to if _recovering(looks, service, p.endpoint.site)]
    if not chosen:
        return None
    tier = min(p.endpoint.tier for p in chosen)
    names = {p.endpoint.site for p in chosen if p.endpoint.tier == tier}
    return tuple(_rescue(p) if p.endpoint.site in names else p.wish for p in places)


def _rescue(place: _Place) -> Wish:
    return replace(
        place.wish,
        stance="in",
        owner=None,
        weight=place.endpoint.weight,
        reason="last resort: no served site is able, and this one is",
        brake=None,
        at_once=True,
    )


def _all_in(place: _Place) -> Wish:
    if _drained_by_person(place):
        return place.wish
    return replace(
        place.wish, stance="in", owner=None, at_once=True, brake=None, reason="on_all_down: all"
    )


def _drained_by_person(place: _Place) -> bool:
    word = place.word
    return place.drained and word is not None and word.owner.kind is not OwnerKind.ALERT


def _recovering(looks: Looks, service: Service, site: SiteName) -> bool:
    """Has every needed aspect `fall` passes in a row, though `rise` is not reached yet?"""
    relevant = [x for x in needed(looks[site]) if concerns(x.aspect.service, service)]
    return bool(relevant) and all(
        x.track.passes >= x.aspect.fall and not x.track.fails for x in relevant
    )
