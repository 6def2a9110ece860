"""Learning what backends hold, and what became of orders."""

from collections.abc import Mapping
from dataclasses import replace

from gslb.domain.messages import (
    Adopted,
    AnswersRead,
    BackendFailed,
    EventKind,
    LeaseChanged,
    PlanApplied,
    Remembered,
    SaveFailed,
)
from gslb.domain.topology import BackendName, ServiceName
from gslb.domain.traffic import Answer
from gslb.domain.world import BackendView, Memory, World
from gslb.policy import drift, spread
from gslb.policy.fit import same
from gslb.policy.ledger import Ledger

REST_MAX_S = 60.0


def view_of(world: World, name: BackendName) -> BackendView:
    """What we know of a backend; nothing, if it was not met yet."""
    return world.backends.get(name, BackendView(name=name))


def put(world: World, view: BackendView) -> World:
    """The world with this view of a backend."""
    return replace(world, backends={**world.backends, view.name: view})


def remembered(world: World, seen: Remembered) -> World:
    """What survived a restart, or what the leader before us kept."""
    views = {}
    for spec in world.topology.backends:
        names = frozenset(seen.adopted.get(spec.name, ()))
        views[spec.name] = replace(
            view_of(world, spec.name),
            adopted=names,
            had_generation=bool(names),
            conflict=seen.conflicts.get(spec.name),
        )
    kept = {m.site: _merged(world.memories.get(m.site), m) for m in seen.memories}
    return replace(
        world,
        instance=seen.instance,
        memories={**world.memories, **kept},
        backends=views,
        incidents=seen.incidents,
    )


def _merged(own: Memory | None, kept: Memory) -> Memory:
    """What we saw ourselves is timed by our own clock; what was done, the leader knows."""
    if own is None:
        return kept
    failed = [t for t in (own.failed_at_s, kept.failed_at_s) if t is not None]
    return replace(
        kept,
        fell_at_s=kept.fell_at_s if own.fell_at_s is None else own.fell_at_s,
        failed_at_s=max(failed, default=None),
        passed=tuple(dict.fromkeys((*kept.passed, *own.passed))),
        incident=kept.incident or own.incident,
    )


def lease_changed(world: World, seen: LeaseChanged, ledger: Ledger) -> World:
    """A new term forgets what was known of the backends: another may have written since."""
    if seen.epoch == world.epoch:
        return replace(world, lease_until_s=seen.until_s)
    text = "this replica no longer leads" if seen.epoch is None else f"term {seen.epoch} begins"
    ledger.say(EventKind.TERM, text)
    views = {
        name: replace(v, known=False, busy=False, sent=None, seq=0, rest_until_s=0.0)
        for name, v in world.backends.items()
    }
    return replace(world, epoch=seen.epoch, lease_until_s=seen.until_s, backends=views)


def answers_read(world: World, seen: AnswersRead, ledger: Ledger) -> World:
    """Only a read-back closes a change."""
    view = view_of(world, seen.backend)
    if seen.epoch != world.epoch:
        return world  # an answer to a question of an old term
    now_s = ledger.now.boot_s
    reading = seen.reading
    if view.error is not None:
        ledger.say(EventKind.BACKEND, f"{view.name} answers again", backend=view.name)
    since = {
        name: view.served_since_s.get(name, now_s)
        if view.served is not None and same(view.served.get(name), answer)
        else now_s
        for name, answer in reading.answers.items()
    }
    view = replace(
        _say_drift(world, view, reading.answers, ledger),
        known=True,
        busy=False,
        served=dict(reading.answers),
        served_since_s=since,
        generation=reading.generation,
        behind=dict(reading.behind),
        read_at_s=now_s,
        error=None,
        down_since_s=None,
        fails=0 if view.sent is None else view.fails,
    )
    if view.adopting and reading.generation is not None:
        # What is left there then is above all that a twin of ours, with our instance, ever wrote.
        seq = max(view.seq, reading.generation.seq)
        view = replace(view, adopting=False, takeover=reading.generation, seq=seq)
    if reading.foreign_generation is not None and view.conflict is None:
        what = f"something that is no generation stands there: {reading.foreign_generation!r}"
        view = in_conflict(view, what, ledger)
    return _closed(world, view, ledger)


def plan_applied(world: World, seen: PlanApplied, ledger: Ledger) -> World:
    """Written is not done: it is read back next."""
    view = view_of(world, seen.plan.backend)
    if seen.plan.epoch != world.epoch:
        return world
    if seen.plan.changes:
        text = f"{view.name}: {seen.plan.digest} is written, not read back yet"
        ledger.say(EventKind.WRITTEN, text, backend=view.name, plan=seen.plan.digest)
    stages = (*view.stages, ("saved", seen.begun_s), ("written", ledger.now.boot_s))
    view = replace(view, had_generation=True, takeover=None, stages=stages)
    return put(world, replace(view, busy=False, known=False))


def backend_failed(world: World, seen: BackendFailed, ledger: Ledger) -> World:
    """A timeout may have worked: what is served is unknown, so it is read before the next plan."""
    view = view_of(world, seen.backend)
    if seen.epoch != world.epoch:
        return world
    now_s = ledger.now.boot_s
    if seen.fenced:
        text = f"{view.name} holds something else than the plan expected: {seen.error}"
        ledger.say(EventKind.FENCED, text, backend=view.name)
    elif view.error is None:
        ledger.say(EventKind.BACKEND, f"{view.name}: {seen.error}", backend=view.name)
    rest_s = min(2.0**view.fails, REST_MAX_S)
    if seen.fenced and seen.plan is not None and seen.plan.leaves is not None:
        view = replace(view, seq=seen.plan.leaves.seq - 1)  # Nothing of it was written.
    view = replace(
        view,
        known=False,
        busy=False,
        fails=view.fails + 1,
        rest_until_s=now_s if seen.fenced and view.fails == 0 else now_s + rest_s,
        error=view.error if seen.fenced else seen.error,
        down_since_s=view.down_since_s if seen.fenced else (view.down_since_s or now_s),
    )
    return put(world, view)


def save_failed(world: World, seen: SaveFailed, ledger: Ledger) -> World:
    """It was not sent. On a conflict the newer words arrive as inputs of their own."""
    view = view_of(world, seen.plan.backend)
    if seen.plan.epoch != world.epoch:
        return world
    ledger.say(EventKind.STORE, f"{view.name}: the plan was not kept: {seen.error}")
    rest_s = 0.0 if seen.conflict else 1.0
    rest_until_s = ledger.now.boot_s + rest_s
    return put(world, replace(view, busy=False, sent=None, rest_until_s=rest_until_s))


def adopted(world: World, seen: Adopted, ledger: Ledger) -> World:
    """Take over by compare-and-swap from whoever wrote the generation that stands there now."""
    view = view_of(world, seen.backend)
    text = f"{seen.owner} adopts {view.name}: {seen.reason}"
    ledger.say(EventKind.ADOPT, text, backend=view.name, owner=seen.owner)
    ledger.keep_conflict(view.name, None)
    # From what stands there at the next look: what was seen last may be half a minute old.
    view = replace(view, conflict=None, adopting=True, known=False, rest_until_s=0.0)
    return put(world, view)


def in_conflict(view: BackendView, what: str, ledger: Ledger) -> BackendView:
    """Nobody out-bids anybody: a conflict is kept and ends only by `adopt`."""
    text = f"{view.name}: {what}; nothing is written there until `gslb adopt {view.name}`"
    ledger.say(EventKind.CONFLICT, text, backend=view.name)
    ledger.keep_conflict(view.name, what)
    return replace(view, conflict=what, sent=None)


def _say_drift(
    world: World, view: BackendView, answers: Mapping[ServiceName, Answer | None], ledger: Ledger
) -> BackendView:
    before = view.served
    for name, verified in view.verified.items():
        if view.sent is None and name in answers and not same(answers[name], verified):
            if before is not None and same(before.get(name), answers[name]):
                continue  # said already
            now = say_answer(answers[name])
            text = f"{view.name}: {name} was changed by somebody else to {now}"
            ledger.say(EventKind.DRIFT, text, backend=view.name, service=name)
            view = drift.edited(world, view, name, ledger.now.boot_s)
    return view


def _closed(world: World, view: BackendView, ledger: Ledger) -> World:
    """Is what was sent served now, by every server?"""
    sent = view.sent
    if sent is None or view.served is None:
        return put(world, view)
    now = ledger.now.boot_s
    landed = [c for c in sent.changes if same(view.served.get(c.pool.service), c.after)]
    if len(landed) < len(sent.changes):
        text = f"{view.name}: {sent.digest} is not what is served; it is planned again"
        ledger.say(EventKind.BACKEND, text, backend=view.name)
        rest_s = min(2.0**view.fails - 1, REST_MAX_S)
        view = replace(view, sent=None, fails=view.fails + 1, rest_until_s=now + rest_s)
        return put(world, view)
    names = [c.pool.service for c in sent.changes]
    if any(view.behind.get(name) for name in names):
        return put(world, view)
    verified = {**view.verified, **{c.pool.service: c.after for c in sent.changes}}
    if sent.changes:
        took = now - view.sent_at_s
        stages = (*view.stages, ("read_back", now))
        figures = (("applied_s", took), *spread.figures(stages))
        text = f"{view.name}: {', '.join(names)} as planned, read back after {took:.1f} s"
        about = {"backend": view.name, "plan": sent.digest}
        ledger.say(EventKind.APPLIED, text, figures=figures, **about)
        world = spread.begin(world, sent, stages, ledger)
    return put(world, replace(view, sent=None, verified=verified, fails=0, stages=()))


def say_answer(answer: Answer | None) -> str:
    """An answer in words: `127.0.0.11 (eu), 127.0.0.12 (us)`."""
    if answer is None:
        return "nothing"
    weighted = len({t.weight for t in answer.targets}) > 1
    return ", ".join(
        f"{t.value}{f' ({t.site})' if t.site else ''}{f' ×{t.weight}' if weighted else ''}"
        for t in answer.targets
    )
