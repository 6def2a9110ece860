"""Records that somebody else changed: put right once an hour, then left and told until `ack`."""

from dataclasses import replace

from gslb.domain.health import Alarm, AlarmKind
from gslb.domain.topology import BackendSpec, Drift, ServiceName
from gslb.domain.traffic import Fencing, Plan
from gslb.domain.world import BackendView, World
from gslb.policy.able import HOUR_S
from gslb.policy.fit import same
from gslb.policy.plan import Decided, spec_of


def repairs(view: BackendView, plan: Plan, now_s: float) -> dict[ServiceName, float]:
    """What a plan puts right that was read back as planned once, and when."""
    names = [c.pool.service for c in plan.changes if same(view.verified.get(c.after.name), c.after)]
    return dict.fromkeys(names, now_s)


def rests(view: BackendView, backend: BackendSpec, d: Decided) -> bool:
    """Is a difference an edit by others that is only reported? Where nobody can fence, never."""
    verified = view.verified.get(d.service.name)
    if verified is None or not same(verified, d.wanted):
        return False
    fenced = backend.shape.fencing is Fencing.CAS
    report = d.service.limits.drift is Drift.REPORT
    return report or (fenced and d.service.name in view.edited)


def edited(world: World, view: BackendView, name: ServiceName, now_s: float) -> BackendView:
    """Somebody changed a record: is that left so, until a person says `ack`?"""
    service = next((s for s in world.topology.services if s.name == name), None)
    report = service is not None and service.limits.drift is Drift.REPORT
    if not report and now_s - view.repaired.get(name, -HOUR_S) >= HOUR_S:
        return view
    return replace(view, edited=view.edited | {name})


def alarms(world: World) -> tuple[Alarm, ...]:
    """What was left as others made it and nobody has acknowledged yet."""
    return tuple(
        Alarm(
            kind=AlarmKind.DRIFT,
            text=f"{view.name}: {name} was changed by somebody else, and is left so "
            f"({'changed again within an hour' if name in view.repaired else 'drift: report'}): "
            f"gslb ack {view.name} --reason …",
            service=name,
        )
        for view in world.backends.values()
        for name in sorted(view.edited)
        if spec_of(world, view).shape.fencing is Fencing.CAS
    )
