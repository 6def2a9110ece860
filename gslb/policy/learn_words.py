"""Learning what people and alerts say, and a new configuration."""

from dataclasses import replace
from typing import TypeVar

from gslb.domain.control import Override, Pause
from gslb.domain.health import TrackKey
from gslb.domain.messages import (
    Acknowledged,
    ConfigReplaced,
    ControlChanged,
    EventKind,
    PlanConfirmed,
)
from gslb.domain.topology import AspectName, SiteName
from gslb.domain.world import BackendView, World
from gslb.policy.ledger import Ledger

GRACE_S = 60.0
CONFIRMED_S = 900.0
Word = TypeVar("Word", Override, Pause)


def control_changed(world: World, seen: ControlChanged, ledger: Ledger) -> World:
    """The words as the store has them, whole. An end is turned into boot time once."""
    before = {o.key: o for o in world.overrides}
    after = tuple(_with_end(world, o, before.get(o.key), ledger) for o in seen.overrides)
    for o in after:
        if o.key not in before or before[o.key].version != o.version:
            ends = _duration(o.ends_at_s - ledger.now.boot_s)
            text = f"{o.owner} says {o.action} {o.site} for {ends}: {o.reason}"
            ledger.say(EventKind.OVERRIDE, text, site=o.site, owner=o.owner, after=str(o.action))
    for gone in before.values():
        if gone.key in {o.key for o in after}:
            continue
        text = f"{gone.owner}'s {gone.action} of {gone.site} was released"
        ledger.say(EventKind.OVERRIDE, text, site=gone.site, owner=gone.owner, after="released")
    _say_pause(world, seen, ledger)
    if seen.mode != world.mode:
        ledger.say(EventKind.MODE, f"mode {world.mode} → {seen.mode}", after=str(seen.mode))
    pause = None if seen.pause is None else _with_end(world, seen.pause, world.pause, ledger)
    return replace(
        world,
        revision=seen.revision,
        overrides=after,
        pause=pause,
        mode=seen.mode,
        pause_file=seen.pause_file,
        pause_unreadable=seen.pause_unreadable,
    )


def plan_confirmed(world: World, seen: PlanConfirmed, ledger: Ledger) -> World:
    """Let one refused plan go, by its digest, for at most 15 minutes."""
    text = f"{seen.owner} confirms {seen.digest}: {seen.reason}"
    ledger.say(EventKind.CONFIRM, text, owner=seen.owner)
    until_s = ledger.now.boot_s + CONFIRMED_S
    return replace(world, confirmed={**world.confirmed, seen.digest: until_s})


def acknowledged(world: World, seen: Acknowledged, ledger: Ledger) -> World:
    """End the block after a second automatic drain, or let a foreign edit be put right again."""
    view = world.backends.get(seen.backend) if seen.backend is not None else None
    if view is not None:
        text = f"{seen.owner} acknowledges {view.name}: {seen.reason}"
        ledger.say(EventKind.ACK, text, backend=view.name, owner=seen.owner)
        view = replace(view, edited=frozenset(), repaired={})
        return replace(world, backends={**world.backends, view.name: view})
    memory = world.memories.get(seen.site) if seen.site is not None else None
    if memory is None:
        return world
    text = f"{seen.owner} acknowledges {seen.site}: {seen.reason}"
    ledger.say(EventKind.ACK, text, site=memory.site, owner=seen.owner, incident=memory.incident)
    memory = replace(memory, needs_ack=False, drains=memory.drains[-1:])
    ledger.keep_memory(memory)
    return replace(world, memories={**world.memories, memory.site: memory})


def config_replaced(world: World, seen: ConfigReplaced, ledger: Ledger) -> World:
    """Tracks survive by (site, aspect, digest of the probe's settings)."""
    new = {(a.site, a.name): a.digest for a in seen.topology.aspects}
    old = {(a.site, a.name): a.digest for a in world.topology.aspects}
    kept = {k for k in new if old.get(k) == new[k]}
    sites = {s.name for s in seen.topology.sites}
    views = {
        b.name: replace(world.backends.get(b.name, BackendView(name=b.name)), known=False)
        for b in seen.topology.backends
    }
    text = f"configuration {seen.topology.digest} by {seen.owner}"
    changes = f": {'; '.join(seen.summary)}" if seen.summary else ""
    ledger.say(EventKind.CONFIG, text + changes, owner=seen.owner)
    return replace(
        world,
        topology=seen.topology,
        tracks={k: t for k, t in world.tracks.items() if _track_stays(k, kept)},
        suspicions={s: x for s, x in world.suspicions.items() if s in sites},
        states={s: x for s, x in world.states.items() if s in sites},
        backends=views,
        asks={},
    )


def _track_stays(key: TrackKey, kept: set[tuple[SiteName, AspectName]]) -> bool:
    return (key.site, key.aspect) in kept


def _with_end(world: World, word: Word, before: Word | None, ledger: Ledger) -> Word:
    """With its end on the boot clock, once. One from the store has only its wall time, which may
    be wrong after a start: nothing of it ends within the first 60 s."""
    if before is not None and before.ends_wall_s == word.ends_wall_s:
        return replace(word, ends_at_s=before.ends_at_s)
    if word.ends_wall_s is None or word.ends_at_s != float("inf"):
        return word
    now = ledger.now
    ends_s = now.boot_s + max(word.ends_wall_s - now.wall_s, 0.0)
    just_started = now.boot_s - world.started_s < GRACE_S
    return replace(
        word, ends_at_s=max(ends_s, world.started_s + GRACE_S) if just_started else ends_s
    )


def _say_pause(world: World, seen: ControlChanged, ledger: Ledger) -> None:
    after = replace(
        world, pause=seen.pause, pause_file=seen.pause_file, pause_unreadable=seen.pause_unreadable
    )
    if world.paused == after.paused:
        return
    owner = seen.pause.owner if seen.pause is not None else None
    if after.paused is not None:
        ledger.say(
            EventKind.PAUSE, f"automation is off: {after.paused}", owner=owner, after="paused"
        )
    else:
        ledger.say(EventKind.PAUSE, "automation is on again", after="resumed")


def _duration(seconds: float) -> str:
    if seconds >= 3600:
        return f"{seconds / 3600:.3g} h"
    return f"{seconds / 60:.3g} min" if seconds >= 60 else f"{seconds:.0f} s"
