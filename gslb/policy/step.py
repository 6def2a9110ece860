"""World + inputs + now -> world, events, orders, and when to look again: the whole core."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from gslb.domain.control import Now
from gslb.domain.messages import Event, Input, Order
from gslb.domain.world import World
from gslb.policy.act import act
from gslb.policy.believe import believe
from gslb.policy.learn import learn
from gslb.policy.ledger import Ledger
from gslb.policy.moment import Moment


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """What follows from one step."""

    world: World
    events: tuple[Event, ...] = ()
    orders: tuple[Order, ...] = ()
    wake_at_s: float | None = None
    """The earliest moment (boot clock) at which an empty step could say anything new."""


def step(world: World, inputs: Sequence[Input], now: Now) -> Step:
    """Learn every input, believe at once, and decide when what a decision rests on has changed."""
    ledger = Ledger(now)
    for seen in inputs:
        world = learn(world, seen, ledger)
    moment = Moment(now.boot_s)
    world, looks = believe(world, moment, ledger)
    due = world.wake_at_s is not None and moment.reached(world.wake_at_s)
    facts = _facts(world)
    if due or facts != world.decided_on or _is_unfinished(world):
        later = Moment(now.boot_s)
        world = act(world, looks, later, ledger)
        world = replace(world, decided_on=_facts(world), wake_at_s=later.wake_at_s)
    times = [t for t in (moment.wake_at_s, world.wake_at_s) if t is not None and t > now.boot_s]
    changed = bool(ledger.events or ledger.orders or inputs)
    world = replace(world, version=world.version + changed)
    return Step(
        world=world,
        events=tuple(ledger.events),
        # Who does not lead believes everything and gives no order.
        orders=ledger.all_orders() if world.epoch is not None else (),
        wake_at_s=min(times, default=None),
    )


def _facts(world: World) -> tuple[object, ...]:
    """All that a decision rests on, apart from the time."""
    return (
        world.topology,
        world.epoch,
        world.mode,
        world.paused,
        world.overrides,
        world.states,
        world.memories,
        world.backends,
        world.blind,
        world.settled,
        world.confirmed,
        world.instance,
    )


def _is_unfinished(world: World) -> bool:
    """Is something wanted that is not so? Then fresh evidence alone may let it go."""
    return bool(world.refusals or world.waiting)
