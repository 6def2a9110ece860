"""Learning: one input at a time, one private function for each kind."""

from dataclasses import replace

from gslb.domain.health import Outcome, Track, TrackKey, Verdict
from gslb.domain.messages import (
    Acknowledged,
    Adopted,
    AnswersRead,
    BackendFailed,
    ConfigReplaced,
    ControlChanged,
    EventKind,
    Input,
    LeaseChanged,
    PlanApplied,
    PlanConfirmed,
    ProbeRan,
    ProbeUnanswered,
    ReferenceRan,
    Remembered,
    ResolverAnswered,
    SaveFailed,
    StoreHealth,
)
from gslb.domain.topology import Aspect, Family, ProbeId, ProbeSpec
from gslb.domain.world import Memory, World
from gslb.policy import learn_backends, learn_words, spread
from gslb.policy.judge import judge
from gslb.policy.ledger import Ledger
from gslb.policy.pace import relax, suspect


def learn(world: World, seen: Input, ledger: Ledger) -> World:  # noqa: C901, PLR0912
    """Take one input in: one arm for each member of the union."""
    match seen:
        case ProbeRan():
            return _probe_ran(world, seen, ledger)
        case ProbeUnanswered():
            return _unanswered(world, seen, ledger)
        case ReferenceRan():
            word = (seen.at_s, seen.answered)
            return replace(world, references={**world.references, seen.reference: word})
        case StoreHealth():
            return _store_health(world, seen, ledger)
        case Remembered():
            return learn_backends.remembered(world, seen)
        case LeaseChanged():
            return learn_backends.lease_changed(world, seen, ledger)
        case AnswersRead():
            return learn_backends.answers_read(world, seen, ledger)
        case ResolverAnswered():
            return spread.answered(world, seen, ledger)
        case PlanApplied():
            return learn_backends.plan_applied(world, seen, ledger)
        case BackendFailed():
            return learn_backends.backend_failed(world, seen, ledger)
        case SaveFailed():
            return learn_backends.save_failed(world, seen, ledger)
        case Adopted():
            return learn_backends.adopted(world, seen, ledger)
        case ControlChanged():
            return learn_words.control_changed(world, seen, ledger)
        case PlanConfirmed():
            return learn_words.plan_confirmed(world, seen, ledger)
        case Acknowledged():
            return learn_words.acknowledged(world, seen, ledger)
        case ConfigReplaced():
            return learn_words.config_replaced(world, seen, ledger)


def probe_of(world: World, probe: ProbeId) -> ProbeSpec | None:
    """The probe's configuration; None when a reload has taken it away."""
    return next((p for p in world.topology.probes if p.id == probe), None)


def _probe_ran(world: World, ran: ProbeRan, ledger: Ledger) -> World:
    spec = probe_of(world, ran.probe)
    if spec is None:
        return world
    passed = all(o.outcome is Outcome.PASS for o in ran.observations)
    turned_down = False
    for seen in ran.observations:
        aspect = next((a for a in spec.aspects if a.name == seen.aspect), None)
        if aspect is None:
            continue
        key = TrackKey(seen.site, seen.aspect, seen.vantage)
        before = world.tracks.get(key, Track())
        after = judge(before, aspect, seen, normal=ran.normal)
        world = replace(world, tracks={**world.tracks, key: after})
        world = _first_pass(world, aspect, before, after, ledger)
        turned_down |= before.verdict is not Verdict.DOWN and after.verdict is Verdict.DOWN
        if seen.outcome is Outcome.FAIL:
            why = f"{aspect.name} failed ({seen.detail or seen.cause})"
            world = suspect(world, spec, aspect, seen.begun_s, why, ledger)
    world = relax(world, spec, passed=passed, turned_down=turned_down)
    if ran.facts is not None:
        name = f"{spec.site} {spec.aspects[0].registry}"
        world = replace(world, facts={**world.facts, name: ran.facts})
    return replace(world, latencies=_latencies(world, ran, passed))


def _latencies(world: World, ran: ProbeRan, passed: bool) -> dict[ProbeId, float]:
    """A running 95th percentile of good runs: up by 19 small steps, down by one."""
    latencies = dict(world.latencies)
    if passed:
        usual_s = latencies.get(ran.probe, ran.latency_s)
        step_s = 0.02 * usual_s + 0.000_1
        up = ran.latency_s > usual_s
        latencies[ran.probe] = max(usual_s + step_s * (0.95 if up else -0.05), 0.0)
    return latencies


def _first_pass(world: World, aspect: Aspect, before: Track, after: Track, ledger: Ledger) -> World:
    """That it has ever passed must survive, so that a restart in an outage does not disarm us."""
    if before.has_passed or not after.has_passed:
        return world
    memory = world.memories.get(aspect.site, Memory(site=aspect.site))
    name = f"{aspect.name} {aspect.digest}"
    if name in memory.passed:
        return world
    memory = replace(memory, passed=(*memory.passed, name))
    ledger.keep_memory(memory)
    return replace(world, memories={**world.memories, aspect.site: memory})


def _unanswered(world: World, seen: ProbeUnanswered, ledger: Ledger) -> World:
    spec = probe_of(world, seen.probe)
    if spec is None or not spec.aspects or spec.family is Family.ENDTOEND:
        return world  # endtoend is known to be slow: that suspects nobody (evidence.md 4.3)
    why = f"{spec.id} takes longer than usual"
    return suspect(world, spec, spec.aspects[0], seen.begun_s, why, ledger)


def _store_health(world: World, seen: StoreHealth, ledger: Ledger) -> World:
    if seen.error != world.store_error:
        text = f"the store fails: {seen.error}" if seen.error else "the store takes writes again"
        ledger.say(EventKind.STORE, text)
    return replace(world, store_error=seen.error)
