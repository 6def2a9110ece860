"""What may never happen: one row a rule (evidence.md, section 6). Every way to a backend asks here.

A move is one service at one backend, and one site that enters, leaves, grows or shrinks. Moves are
judged one after the other, each against the answer that those before it have left.
"""

from collections.abc import Callable
from dataclasses import dataclass

from gslb.domain.control import OwnerKind
from gslb.domain.topology import SiteName
from gslb.policy.able import Able, able, losses_of, ramp_share, word_on
from gslb.policy.case import Case, Move, No
from gslb.policy.evidence import fresh_since
from gslb.policy.window import frozen_until

Judge = Callable[[Case, Move], No | None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Guard:
    """One rule, for moves that leave (L) or enter (E) by automation; M: of people and alerts too;
    A: of alerts too; S: a person may skip it by naming it."""

    id: str
    rule: str
    judge: Judge
    on: str

    def applies(self, move: Move) -> bool:
        if ("L" if move.leaving else "E") not in self.on:
            return False
        if move.kind is OwnerKind.AUTO:
            return True
        return "M" in self.on or (move.kind is OwnerKind.ALERT and "A" in self.on)

    @property
    def skippable(self) -> bool:
        return "S" in self.on


def first_no(case: Case, move: Move, *, bold: bool = False) -> tuple[Guard, No] | None:
    """The first guard that refuses. `bold`: those that may be skipped are (a confirmed plan)."""
    for guard in GUARDS:
        if not guard.applies(move):
            continue
        skipped = move.wish is not None and guard.id in move.wish.skip
        if guard.skippable and (bold or skipped):
            continue
        no = guard.judge(case, move)
        if no is not None:
            return guard, no
    return None


def _not_empty(case: Case, move: Move) -> No | None:
    if sum(move.after.values()) > 0:
        return None
    return No(text="nothing would be left in the answer")


def _leader(case: Case, move: Move) -> No | None:
    if case.world.epoch is None:
        return No(text="this replica does not lead")
    if case.moment.reached(case.world.lease_until_s):
        return No(text="the lease has run out by our own clock")
    return None


def _foreign(case: Case, move: Move) -> No | None:
    return No(text=case.view.conflict) if case.view.conflict is not None else None


def _shared_outage(case: Case, move: Move) -> No | None:
    if move.wish is None or move.wish.declined != "shared_outage":
        return None
    return No(text=move.wish.reason)


def _never_healthy(case: Case, move: Move) -> No | None:
    if move.wish is None or move.wish.declined != "never_healthy":
        return None
    return No(text=f"{move.site}: {move.wish.reason}: is the probe configured rightly?")


def _paused(case: Case, move: Move) -> No | None:
    return No(text=case.world.paused) if case.world.paused is not None else None


def _settled(case: Case, move: Move) -> No | None:
    if case.world.settled:
        return None
    return No(text="just started: not every needed aspect has a verdict yet")


def _vantage_blind(case: Case, move: Move) -> No | None:
    return No(text=case.world.blind) if case.world.blind is not None else None


def _stale(case: Case, move: Move) -> No | None:
    """The evidence against the site must be recent."""
    if move.site is None or move.kind is not OwnerKind.AUTO:
        return None
    state = case.world.states.get(move.site)
    losses = losses_of(state, case.service, case.service.needs) if state is not None else ()
    if not losses:
        return None
    blamed = {x.aspect for x in losses}
    for seen in case.looks[move.site]:
        last_s = seen.track.counted_s
        old_s = seen.aspect.stale_after_s * 2
        counts = seen.aspect.name in blamed and last_s is not None
        if counts and not case.moment.reached((last_s or 0.0) + old_s):
            return None
    return No(text=f"{move.site}: the evidence against it is too old")


def _all_down(case: Case, move: Move) -> No | None:
    at_once = move.wish is not None and move.wish.at_once
    if not case.nobody_able or at_once:
        return None
    return No(text="no site is able and none may be: what is served stays (on_all_down: hold)")


def _remaining(case: Case, move: Move) -> tuple[SiteName, ...]:
    """Sites that would be left and are able for this service on fresh evidence, or enter now."""
    entering = {w.site for w in case.wishes if w.stance == "in" and w.brake is None}
    return tuple(
        site
        for site, weight in move.after.items()
        if weight > 0 and _counts(case, move, site, site in entering)
    )


def _counts(case: Case, move: Move, site: SiteName, wished: bool) -> bool:
    wish = next((w for w in case.wishes if w.site == site), None)
    if wish is not None and wish.at_once:
        return True
    if able(case.world, site, case.service) is not Able.YES:
        return (
            wished and set(case.service.accept) != set(case.service.needs) and _accepts(case, site)
        )
    if move.kind is OwnerKind.AUTO and move.wish is not None and move.wish.since_s:
        return fresh_since(case.world, site, case.service, move.wish.since_s, case.looks)
    return True  # a person or an alert: a verdict is fresh by `stale_after`


def _accepts(case: Case, site: SiteName) -> bool:
    return able(case.world, site, case.service, case.service.accept) is Able.YES


def _min_sites(case: Case, move: Move) -> No | None:
    left, wanted = _remaining(case, move), case.service.limits.min_sites
    if len(left) >= wanted:
        return None
    names = f" ({', '.join(left)})" if left else ""
    return No(
        text=(
            f"{len(left)} site{'' if len(left) == 1 else 's'} able on fresh evidence would be left "
            f"for {case.service.name}{names}, {wanted} {'is' if wanted == 1 else 'are'} wanted"
        ),
        figures=(("left", len(left)), ("wanted", wanted)),
    )


def _min_capacity(case: Case, move: Move) -> No | None:
    wanted = case.service.limits.min_capacity_share
    if not wanted:
        return None
    sites = {s.name: s.capacity for s in case.world.topology.sites}
    total = sum(sites[e.site] for e in case.service.endpoints)
    share = sum(sites[x] for x in _remaining(case, move)) / total
    if share >= wanted:
        return None
    return No(
        text=f"{share:.0%} of the capacity would be left, {wanted:.0%} is wanted",
        figures=(("share", share), ("wanted", wanted)),
    )


def _not_sick(case: Case, move: Move) -> No | None:
    if move.site is None or (move.wish is not None and move.wish.at_once):
        return None
    if move.site in move.before:
        return None  # it serves already; its weight alone changes
    state = case.world.states.get(move.site)
    losses = losses_of(state, case.service, case.service.needs) if state is not None else ()
    if not losses or _accepts(case, move.site):
        return None
    return No(text=f"{move.site} is down: {losses[0].reason.text}")


def _max_drained(case: Case, move: Move) -> No | None:
    most = case.service.limits.max_drained
    out = [e.site for e in case.service.endpoints if _is_kept_out(case, move, e.site, e.tier)]
    if len(out) + 1 <= most:
        return None
    names = ", ".join(out) or "none"
    return No(
        text=f"{len(out)} kept out already ({names}), at most {most} may be (max_drained)",
        figures=(("drained", len(out)), ("most", most)),
    )


def _is_kept_out(case: Case, move: Move, site: SiteName, tier: int) -> bool:
    """By automation while not able, or by an alert; standbys are not kept out."""
    if site == move.site or (move.before.get(site) and move.after.get(site)):
        return False
    word = word_on(case.world, site, case.service, case.moment)
    if word is not None:
        return word.owner.kind is OwnerKind.ALERT
    tiers = [e.tier for e in case.service.endpoints if e.site in move.before]
    standby = bool(tiers) and tier > max(tiers)
    return not standby and able(case.world, site, case.service) is Able.NO


def _velocity(case: Case, move: Move) -> No | None:
    window_s = case.service.limits.change_window_s
    for site in case.left_now:
        if site != move.site:
            return No(text=f"{site} leaves in the same plan; one site in {window_s:.0f} s")
    for site, memory in case.world.memories.items():
        if site == move.site or move.after.get(site):
            continue
        for service, at_s, _ in memory.left:
            if service == case.service.name and not case.moment.reached(at_s + window_s):
                ago = case.moment.now_s - at_s
                return No(
                    text=f"{site} left {ago:.0f} s ago and is still out; "
                    f"one site in {window_s:.0f} s (change_window)",
                    figures=(("ago_s", ago), ("window_s", window_s)),
                )
    return None


def _braked(guard: str) -> Judge:
    def judge(case: Case, move: Move) -> No | None:
        wish = move.wish
        if wish is None or wish.at_once or wish.brake is None or wish.brake[0] != guard:
            return None
        return No(text=f"{move.site}: {wish.brake[1]}")

    return judge


def _ramp(case: Case, move: Move) -> No | None:
    """A site that returns grows by steps only."""
    endpoint = None if move.site is None else case.service.endpoint(move.site)
    if endpoint is None or move.site is None or (move.wish is not None and move.wish.at_once):
        return None
    share = ramp_share(case.world, case.service, move.site, case.moment)
    most = max(round(endpoint.weight * share / 100), 1)
    if move.after.get(move.site, 0) <= max(most, move.before.get(move.site, 0)):
        return None
    return No(text=f"{move.site} is at {share} % of its ramp", figures=(("share", share),))


def _window(case: Case, move: Move) -> No | None:
    until = frozen_until(case.world, case.moment)
    if until is None or (move.wish is not None and move.wish.at_once):
        return None
    if move.leaving and until[0] != "all":
        return None
    return No(text=until[1])


GUARDS: tuple[Guard, ...] = (
    Guard(id="not_empty", on="LEM", judge=_not_empty, rule="no answer is empty"),
    Guard(id="leader", on="LEM", judge=_leader, rule="only the leader acts, within its deadline"),
    Guard(
        id="foreign", on="LEM", judge=_foreign, rule="another installation's backend is left alone"
    ),
    Guard(id="shared_outage", on="L", judge=_shared_outage, rule="shared trouble moves nothing"),
    Guard(
        id="never_healthy", on="L", judge=_never_healthy, rule="what never passed decides nothing"
    ),
    Guard(id="all_down", on="LE", judge=_all_down, rule="with nobody able, what is served stays"),
    Guard(id="paused", on="LEA", judge=_paused, rule="a pause stops automation"),
    Guard(id="settled", on="LE", judge=_settled, rule="after a start, evidence comes first"),
    Guard(id="vantage_blind", on="L", judge=_vantage_blind, rule="who is blind takes nobody out"),
    Guard(id="stale", on="L", judge=_stale, rule="old evidence takes nobody out"),
    Guard(id="min_sites", on="LMS", judge=_min_sites, rule="enough able sites are left"),
    Guard(id="min_capacity", on="LMS", judge=_min_capacity, rule="enough capacity is left"),
    Guard(id="not_sick", on="EMS", judge=_not_sick, rule="no sick site enters"),
    Guard(id="max_drained", on="LAS", judge=_max_drained, rule="few are out by automation"),
    Guard(id="velocity", on="LAS", judge=_velocity, rule="one site at a time leaves"),
    Guard(id="hold_down", on="ES", judge=_braked("hold_down"), rule="returns wait for quiet"),
    Guard(id="budget", on="ES", judge=_braked("budget"), rule="so many returns an hour"),
    Guard(id="ramp", on="ES", judge=_ramp, rule="a return grows by steps"),
    Guard(id="ack", on="ES", judge=_braked("ack"), rule="a repeat waits for a person"),
    Guard(id="window", on="LEAS", judge=_window, rule="a window freezes returns, or all"),
)
