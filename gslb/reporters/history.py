"""The history: a JSON line for each decision, saved plan and call, to be judged by others."""

import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import fields
from math import inf
from pathlib import Path
from typing import Any

from gslb.domain.errors import BackendFenced
from gslb.domain.messages import Apply, Event, Read
from gslb.domain.traffic import Change
from gslb.domain.world import World
from gslb.ports import Clock

BYTES_MAX = 1 << 30
Write = Callable[[dict[str, Any]], None]


class History:
    """A Reporter, and an observer of calls. `write` gets a line; it never waits nor raises."""

    def __init__(self, write: Write, who: str, clock: Clock) -> None:
        self._write, self._who, self._clock = write, who, clock
        self._world: World | None = None

    def report(self, world: World, events: Sequence[Event]) -> None:
        """Write what was concluded, and what people's words and the term are now."""
        now_s, was, self._world = self._clock.now().boot_s, self._world, world
        if world.epoch is not None and (was is None or was.epoch != world.epoch):
            who = {"instance": world.instance, "cluster": world.topology.cluster}
            self._line("start", now_s, epoch=world.epoch, **who)
        if (was.paused if was else None) != world.paused:
            self._line("pause", now_s, on=world.paused is not None)
        old, new = ({o.key: o for o in w.overrides} if w else {} for w in (was, world))
        for key, o in {**old, **new}.items():
            if old.get(key) != new.get(key):
                says = {"key": key, "site": o.site, "action": o.action, "owner": str(o.owner)}
                scope = {"services": o.services, "skip": o.skip, "version": o.version}
                self._line("word", now_s, ends=o.ends_at_s, on=key in new, **says, **scope)
        for event in events:
            told = {f.name: getattr(event, f.name) for f in fields(event)}
            said = {k: str(v) for k, v in told.items() if v not in (None, ()) and k[-2:] != "_s"}
            figures = dict(event.figures)
            self._line("event", event.boot_s, type=said.pop("kind"), **said | {"figures": figures})

    def call(self, op: str, order: Read | Apply, begun_s: float, error: Exception | None) -> None:
        """Write a call that ended now."""
        now_s = self._clock.now().boot_s
        told = order if isinstance(order, Read) else order.plan
        line: dict[str, Any] = {"backend": told.backend, "epoch": told.epoch, "begun": begun_s}
        line["error"] = error and f"{type(error).__name__}: {error}"
        if isinstance(order, Apply):
            line |= {"seq": getattr(order.plan.leaves, "seq", None), "revision": order.revision}
            line["changes"] = [_change(c) for c in order.plan.changes]
        if op == "save":
            self._line("saved", now_s, **line)
            return
        outcome = "fenced" if isinstance(error, BackendFenced) else "failed" if error else "ok"
        lease_s = self._world.lease_until_s if self._world else inf
        line |= {"op": op, "outcome": outcome, "lease": None if lease_s == inf else lease_s}
        self._line("call", now_s, **line)

    def _line(self, kind: str, t: float, **told: Any) -> None:
        self._write({"t": t, "who": self._who, "kind": kind, **told})


def _change(change: Change) -> dict[str, Any]:
    before, after = (
        sorted(t.value for t in a.targets) if a else [] for a in (change.before, change.after)
    )
    return {"service": change.pool.service, "before": before, "after": after}


@contextmanager
def history_file(path: Path) -> Iterator[Write]:
    """Append each line at once; what cannot be written, or is beyond BYTES_MAX, is left out."""
    with path.open("ab", buffering=0) as file:

        def write(line: dict[str, Any]) -> None:
            with suppress(OSError):
                if file.tell() < BYTES_MAX:
                    file.write(json.dumps(line, separators=(",", ":")).encode() + b"\n")

        yield write
