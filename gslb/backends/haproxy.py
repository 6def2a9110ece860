"""HAProxy by its runtime API: drain, ready and weight of the servers of one backend.

It has no compare-and-swap: what is served is read again right before each write (fencing: time).
A reload forgets what was set; the next read shows that.
"""

import asyncio
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, Field

from gslb.domain.errors import BackendError, BackendFenced, BackendRefused
from gslb.domain.topology import ServiceName, SiteName
from gslb.domain.traffic import Answer, Change, Fencing, Plan, Pool, Reading, Shape, Target
from gslb.ports import Adapter
from gslb.wire.dns import parse_server

WEIGHT_MAX = 256
MAINTENANCE = 0x01 | 0x02 | 0x04 | 0x20 | 0x40
DRAINED = 0x08 | 0x10
"""Bits of srv_admin_state (HAProxy management guide, "show servers state")."""


def _place(text: str) -> str:
    return text if text.startswith("/") else str(parse_server(text, 9999))


Place = Annotated[str, AfterValidator(_place)]
Word = Annotated[str, Field(pattern=r"^[A-Za-z0-9_.:-]+$")]


class Settings(BaseModel, frozen=True, extra="forbid"):
    """`server`: unix sockets (`/…`) or HOST:PORT of one HAProxy or of several that serve alike."""

    server: Place | tuple[Place, ...]
    backend: Word
    servers: Mapping[SiteName, Word] = Field(min_length=1)
    timeout_s: float = Field(2.0, ge=0.1, le=30)


@dataclass(frozen=True, slots=True)
class Line:
    """One server of the backend: its weight, 0 when it is drained; `held`: in maintenance."""

    weight: int
    held: bool


View = Mapping[str, Line]


class Haproxy:
    """Raises BackendError and nothing else."""

    def __init__(self, settings: Settings) -> None:
        listed = (settings.server,) if isinstance(settings.server, str) else settings.server
        self._places = tuple(listed)
        self._backend = settings.backend
        self._timeout_s = settings.timeout_s
        self._written: dict[ServiceName, Answer] = {}

    async def read(self, pools: Sequence[Pool]) -> Reading:
        """Read every HAProxy; `behind` has the others that differ, and what is in maintenance."""
        views = await self._views()
        answers = {pool.service: self._shown(pool, views) for pool in pools}
        behind = {p.service: _differences(p, answers[p.service], views) for p in pools}
        return Reading(answers=answers, behind={name: why for name, why in behind.items() if why})

    async def apply(self, plan: Plan) -> None:
        """Write to every HAProxy, ready before drain; one that fails does not stop the others."""
        views = await self._views()
        for change in plan.changes:
            shown = self._shown(change.pool, views)
            if shown != change.before:
                raise BackendFenced(f"{change.pool.service} is not as expected: {_values(shown)}")
        weights = _weights(plan.changes)
        writes = (self._write(place, view, plan, weights) for place, view in views.items())
        writing = asyncio.gather(*writes, return_exceptions=True)
        try:
            failed = [result for result in await asyncio.shield(writing) if result is not None]
        except asyncio.CancelledError:
            # HAProxy drops the rest of a line whose sender hangs up. Each write has its deadline.
            await asyncio.wait([writing])
            raise
        for failure in failed:
            if not isinstance(failure, BackendError):
                raise failure
        if len(failed) < len(views):
            self._written |= {change.pool.service: change.after for change in plan.changes}
        if failed:
            refused = all(isinstance(failure, BackendRefused) for failure in failed)
            kind = BackendRefused if refused and len(failed) == len(views) else BackendError
            raise kind("; ".join(map(str, failed)))

    def _shown(self, pool: Pool, views: Mapping[str, View | BackendError]) -> Answer | None:
        """What the first HAProxy serves; but one that lost what we wrote (a reload) goes before,
        or nobody would write it again."""
        answers = [
            _answer(pool, view) for view in views.values() if not isinstance(view, Exception)
        ]
        written = self._written.get(pool.service, answers[0])
        return next((answer for answer in answers if answer != written), answers[0])

    async def _views(self) -> Mapping[str, View | BackendError]:
        results = await asyncio.gather(
            *(self._view(place) for place in self._places), return_exceptions=True
        )
        views: dict[str, View | BackendError] = {}
        for place, result in zip(self._places, results, strict=True):
            if isinstance(result, BaseException) and not isinstance(result, BackendError):
                raise result
            views[place] = result
        if all(isinstance(view, BackendError) for view in views.values()):
            raise BackendError("; ".join(map(str, views.values())))
        return views

    async def _view(self, place: str) -> View:
        said = await self._say(place, f"show servers state {self._backend}")
        lines = said.splitlines()
        if len(lines) < 2 or lines[0] != "1" or not lines[1].startswith("# "):
            raise BackendError(f"{place}: {said.strip()[:200] or 'said nothing'}")
        names = lines[1][2:].split()
        view = {}
        try:
            for line in filter(None, lines[2:]):
                row = dict(zip(names, line.split(), strict=False))
                admin, weight = int(row["srv_admin_state"]), int(row["srv_uweight"])
                out = admin & (DRAINED | MAINTENANCE)
                view[row["srv_name"]] = Line(0 if out else weight, bool(admin & MAINTENANCE))
        except (KeyError, ValueError) as error:
            raise BackendError(f"{place}: not a server state: {error}") from error
        return view

    async def _write(
        self, place: str, view: View | BackendError, plan: Plan, weights: Mapping[str, int]
    ) -> None:
        if isinstance(view, BackendError):
            raise view
        for change in plan.changes:
            # Whoever put a server into maintenance ends that, not we; and somebody must serve.
            if not any(t.value in view and not view[t.value].held for t in change.after.targets):
                raise BackendRefused(
                    f"{place}: none of {_values(change.after)} can serve {change.pool.service}"
                )
        lines = []
        for name, weight in sorted(weights.items(), key=lambda pair: -pair[1]):
            at, line = f"set server {self._backend}/{name}", view.get(name)
            if line is None or line.held or line.weight == weight:
                continue
            lines += [f"{at} state drain"] if not weight else [f"{at} weight {weight}"]
            lines += [f"{at} state ready"] if weight and not line.weight else []
        said = await self._say(place, "; ".join(lines)) if lines else ""
        if said.strip():  # Success is an empty line for each.
            kind = BackendRefused if "Permission denied" in said else BackendError
            raise kind(f"{place}: {' '.join(said.split())[:200]}")

    async def _say(self, place: str, line: str) -> str:
        """One line of commands, all answers. BackendError for whatever the way there does."""
        writer = None
        try:
            async with asyncio.timeout(self._timeout_s):
                if place.startswith("/"):
                    reader, writer = await asyncio.open_unix_connection(place)
                else:
                    server = parse_server(place)
                    reader, writer = await asyncio.open_connection(server.host, server.port)
                writer.write(line.encode() + b"\n")
                await writer.drain()
                said = (await reader.read()).decode("utf-8", "replace")
        except TimeoutError:
            raise BackendError(f"{place}: no answer within {self._timeout_s:g} s") from None
        except OSError as error:
            raise BackendError(f"{place}: {error.strerror or error}") from error
        finally:
            if writer is not None:
                writer.transport.abort()
        if not said:
            raise BackendError(f"{place}: closed without an answer")
        return said


def _answer(pool: Pool, view: View) -> Answer | None:
    """Servers that no site is mapped to are not ours: they are left out, and left alone."""
    found = [
        (value, view.get(value), member.site) for member in pool.members for value in member.values
    ]
    targets = tuple(Target(v, line.weight, site) for v, line, site in found if line and line.weight)
    return Answer(name=pool.service, targets=targets) if targets else None


def _values(answer: Answer | None) -> str:
    return ", ".join(target.value for target in answer.targets) if answer else "nothing"


def _weights(changes: Sequence[Change]) -> Mapping[str, int]:
    """What each server should have, 0 for a drain. Two services that share one must agree."""
    weights: dict[str, int] = {}
    for change in changes:
        wanted = {value: 0 for member in change.pool.members for value in member.values}
        wanted |= {target.value: target.weight for target in change.after.targets}
        if any(weights.get(name, weight) != weight for name, weight in wanted.items()):
            raise BackendRefused("two services want different things of the same servers")
        weights |= wanted
    return weights


def _differences(
    pool: Pool, shown: Answer | None, views: Mapping[str, View | BackendError]
) -> tuple[str, ...]:
    said = []
    for place, view in views.items():
        if isinstance(view, BackendError):
            said.append(str(view))
            continue
        if (served := _answer(pool, view)) != shown:
            said.append(f"{place} serves {_values(served)}")
        for name in (value for member in pool.members for value in member.values):
            if name not in view:
                said.append(f"{place} has no server {name}")
            elif view[name].held:
                said.append(f"{place}: {name} is in maintenance, by hand; only a person ends that")
    return tuple(said)


def open_haproxy(settings: Settings, wire: Any) -> nullcontext[Haproxy]:
    return nullcontext(Haproxy(settings))


def shape(settings: Settings) -> Shape:
    """Servers with weights, by the names that HAProxy has for them."""
    return Shape(
        weights=True, weight_max=WEIGHT_MAX, addresses=False, families=False, fencing=Fencing.TIME
    )


ADAPTER = Adapter(kind="haproxy", settings=Settings, open=open_haproxy, shape=shape)
