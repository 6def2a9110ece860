"""What backends serve, in words: the last steps of every explanation."""

from gslb.domain.control import Now
from gslb.domain.topology import BackendName, Service
from gslb.domain.words import Explanation, Section
from gslb.domain.world import BackendView, World
from gslb.policy.fit import same
from gslb.policy.learn_backends import say_answer
from gslb.policy.plan import spec_of
from gslb.policy.summary import length
from gslb.policy.told import ago


def plan_section(world: World, services: list[Service]) -> Section:
    """What is served and should not be, and what waits for a person."""
    lines: list[str] = []
    for service in services:
        for name in service.via:
            view = world.backends.get(name)
            wanted = None if view is None else view.wanted.get(service.name)
            if view is None or view.served is None or wanted is None:
                continue
            served = view.served.get(service.name)
            if not same(served, wanted):
                live = world.live(service.name, name)
                would = "" if live else " (observe: it would be, nothing is written)"
                if live and service.name in view.edited:
                    would = f" (changed by others, left so: gslb ack {name} --reason …)"
                lines.append(
                    f"{name}: {service.name} {say_answer(served)} → {say_answer(wanted)}{would}"
                )
    for name, plan in world.waiting.items():
        lines.append(f"{name}: {plan.digest} waits: gslb confirm {plan.digest} --reason …")
    if not lines:
        return Section(title="plan", lines=("nothing to change",), outcome="none")
    return Section(title="plan", lines=tuple(lines), outcome="waiting")


def applied_section(world: World, now: Now, service: Service | None = None) -> Section:
    """What each backend has of it, as read back."""
    lines: list[str] = []
    bad = False
    for name, view in world.backends.items():
        if service is not None and name not in service.via:
            continue
        lines.append(f"{name}: {_backend_words(view, now)}")
        bad |= view.error is not None or view.conflict is not None
        lines += [f"{name}: {why}" for behind in view.behind.values() for why in behind]
    return Section(
        title="applied", lines=tuple(lines) or ("no backend",), outcome="failed" if bad else "ok"
    )


def _backend_words(view: BackendView, now: Now) -> str:
    if view.conflict is not None:
        return f"conflict: {view.conflict}"
    if view.error is not None:
        return f"does not answer: {view.error}"
    if view.served is None:
        return "not read yet"
    pending = [s for s, a in view.wanted.items() if not same(view.served.get(s), a)]
    read = f"read {ago(now.boot_s - (view.read_at_s or now.boot_s))}"
    if view.sent is not None:
        return f"written {ago(now.boot_s - view.sent_at_s)}, not read back everywhere yet; {read}"
    return f"not as planned ({', '.join(pending)}); {read}" if pending else f"as planned, {read}"


def explain_backend(world: World, name: BackendName, now: Now) -> Explanation:
    """What a backend serves, and whether that is as planned. Raises KeyError."""
    view = world.backends[name]
    spec = spec_of(world, view)
    read = "never read" if view.read_at_s is None else f"read {ago(now.boot_s - view.read_at_s)}"
    served = tuple(
        f"{service}: {say_answer(answer)}" for service, answer in (view.served or {}).items()
    )
    fence = f"fencing: {spec.shape.fencing}; generation {view.generation or 'none'}"
    lines = (fence, f"conflict: {view.conflict}" if view.conflict else "no conflict")
    services = [s for s in world.topology.services if name in s.via]
    pending = sum(not same((view.served or {}).get(s), answer) for s, answer in view.wanted.items())
    word = "as planned" if not pending and not view.error else f"{pending} answers not as planned"
    word = "in conflict" if view.conflict is not None else word
    return Explanation(
        kind="backend",
        name=name,
        headline=(f"{name} ({spec.kind}) is {word}, {read}.",),
        sections=(
            Section(title="serves", lines=served or ("nothing is known",)),
            Section(title="fence", lines=lines, outcome="failed" if view.conflict else "ok"),
            plan_section(world, services),
            applied_section(world, now),
        ),
        next=f"read again within {length(spec.resync_s)}",
        you_can=(f"gslb adopt {name} --reason …",) if view.conflict else ("gslb status",),
    )
