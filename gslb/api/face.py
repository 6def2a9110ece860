"""What the routes share: settings, who asks, what was promised, and the form of an answer."""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any, Protocol, TypeAlias, TypeVar

from aiohttp import web

from gslb.api.alerts import AlertRule, Receiver
from gslb.api.auth import Principal, Tokens
from gslb.api.problem import ApiProblem
from gslb.api.views import Json, answers, pick, rfc3339, seen
from gslb.controller.operator import Operator, Told
from gslb.domain.control import Action, Now, OwnerKind, Pause
from gslb.domain.topology import ServiceName, SiteName
from gslb.domain.world import BackendView, World
from gslb.policy.spread import moves

T = TypeVar("T")
Feed: TypeAlias = "asyncio.Queue[Told | None]"
"""One reader of the live feed; None ends it."""


class Readable(Protocol):
    """A secret that is read when it is needed."""

    def read(self) -> str: ...


def _nobody(*_: object, **__: object) -> None:
    """Nobody counts."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ApiSettings:
    """Where to listen, whom to believe, whom to tell, and the bounds. Times in seconds.

    `tls_clients`: CA of client certificates, asked for beside the token. `config()`: the
    configuration without secrets. `observe(route, method, code, seconds)`,
    `count("auth_failures", reason)` and `put("api_feeds", 3.0)`: metrics by their names without
    `gslb_` and `_total`. `idle_s`: until the headers of a request must be there.
    `alert_watchdog`: its `alertname`, and within what.
    """

    cluster: str
    replica: str
    listen: tuple[str, int] | None = None
    metrics: tuple[str, int] | None = None
    socket: Path | None = None
    tls_cert: Path | None = None
    tls_key: Path | None = None
    tls_clients: Path | None = None
    tokens: Path | None = None
    alert_rules: Sequence[AlertRule] = ()
    alert_token: Readable | None = None
    alert_watchdog: tuple[str, float] | None = None
    config: Callable[[], Mapping[str, Any]] = dict
    observe: Callable[[str, str, int, float], None] = _nobody
    count: Callable[..., None] = _nobody
    put: Callable[[str, float], None] = _nobody
    idle_s: float = 15.0
    body_s: float = 10.0
    write_s: float = 10.0
    ping_s: float = 15.0
    connections: int = 200
    feeds: int = 100


@dataclass(frozen=True, slots=True)
class Operation:
    """Something that was accepted in a `version` of the world. Without action: released."""

    id: str
    site: SiteName
    action: Action | None
    services: tuple[ServiceName, ...]
    version: int
    asked_s: float


@dataclass(slots=True)
class Face:
    """One running API."""

    operator: Operator
    settings: ApiSettings
    metrics: Callable[[], bytes]
    tokens: Tokens
    receiver: Receiver
    operations: dict[str, Operation] = field(default_factory=dict)
    numbers: Iterator[int] = field(default_factory=lambda: count(1))
    feeds: set[Feed] = field(default_factory=set)
    looks: deque[float] = field(default_factory=deque)
    """When probes were run for whoever asked (boot clock), of the last minute."""

    @property
    def world(self) -> World:
        return self.operator.world

    def now(self) -> Now:
        return self.operator.now()

    def follow(self, settings: ApiSettings) -> None:
        """After a reload: whom to believe, which alerts drain, and the configuration to show.

        Where it listens stays. ConfigError, and nothing has changed, when the tokens are wrong.
        """
        if settings.tokens != self.settings.tokens:
            self.tokens = Tokens(settings.tokens)
        self.settings = settings
        self.receiver.follow(settings.alert_rules, settings.alert_watchdog)

    def site(self, request: web.Request) -> SiteName:
        """The site in the path. Raises a 404."""
        found = {s.name: s for s in self.world.topology.sites}
        return known("site", request.match_info["site"], found).name

    def promise(
        self,
        asked_s: float,
        site: SiteName,
        action: Action | None,
        services: tuple[ServiceName, ...] = (),
    ) -> Operation:
        """Remember what was accepted (the last thousand), and when it was asked for."""
        version, number = self.world.version, next(self.numbers)
        made = Operation(f"o-{number}", site, action, services, version, asked_s)
        self.operations[made.id] = made
        if len(self.operations) > 1000:
            del self.operations[next(iter(self.operations))]
        return made


def known(kind: str, name: str, found: Mapping[Any, T]) -> T:
    """What is configured by that name. Raises a 404."""
    if name not in found:
        raise ApiProblem(404, f"Unknown {kind}", f"{name!r} is no configured {kind}")
    return found[name]


Ask = Callable[[Face, web.Request, Principal], Awaitable[web.StreamResponse]]
"""What answers a route."""


def show(body: Any, status: int = 200, *, etag: int | None = None, **headers: str) -> web.Response:
    """JSON, with the version of the resource as its ETag."""
    if etag is not None:
        headers["ETag"] = f'"{etag}"'
    return web.json_response(body, status=status, headers=headers)


def version(world: World, site: SiteName) -> int:
    """The ETag of a site's override: the newest of persons', 0 when there is none."""
    said = [o for o in world.overrides if o.site == site and o.owner.kind is OwnerKind.PERSON]
    return max((o.version for o in said), default=0)


def pause_version(world: World) -> int:
    """The ETag of the pause, 0 when there is none."""
    return int(world.pause.created_wall_s * 1000) if world.pause else 0


def match(request: web.Request, now: int, *, needed: bool = False) -> None:
    """If-Match (RFC 9110, 13.1.1). Raises a 412 when it is stale, a 428 when it is needed."""
    given = request.headers.get("If-Match")
    if given is None and needed:
        raise ApiProblem(428, "If-Match is needed", f'send If-Match: "{now}" if you have seen it')
    if given not in {None, "*", str(now), f'"{now}"'}:
        raise ApiProblem(412, "Changed meanwhile", f"it is at version {now} now", version=now)


def paused(world: World, pause: Pause | None) -> Json:
    """The pause as it stands, and what else holds automation."""
    other = world.paused if world.pause_file or world.pause_unreadable else None
    body: Json = {"paused": bool(pause or other), "because": other or (pause and pause.reason)}
    if pause:
        times = {"created_at": pause.created_wall_s, "ends_at": pause.ends_wall_s}
        body |= pick(pause, "owner reason") | {name: rfc3339(s) for name, s in times.items()}
    return body


def progress(world: World, made: Operation) -> Json:
    """How far each backend is: pending, written, read_back or failed. Done means read back."""
    here = [s for s in world.topology.services if s.endpoint(made.site)]
    here = [s for s in here if not made.services or s.name in made.services]
    rows = []
    for name, view in world.backends.items():
        if served := [answers(world, s).get(name) for s in here if name in s.via]:
            inside = {bool(a and a.weight(made.site)) for a in served}
            stepped = world.version > made.version
            row = {"backend": name, "state": _state(view, inside, made.action, stepped)}
            held = [r.text for r in world.refusals if (r.backend, r.site) == (name, made.site)]
            held += [why for s in here for why in view.behind.get(s.name, ())]
            rows.append(row | {"text": view.error or view.conflict or "; ".join(held)})
    moved = [
        s
        for s in world.spreads
        if dict(s.stages).get("decided", 0.0) >= made.asked_s
        and any(
            moves(c, made.site) and c.pool.service in {x.name for x in here} for c in s.plan.changes
        )
    ]
    done = bool(rows) and all(row["state"] == "read_back" for row in rows)
    body = {"operation": made.id, "site": made.site, "action": made.action or "release"}
    return body | {
        "effective": world.live(),
        "done": done,
        "backends": rows,
        "seen": seen(world, moved),
    }


def _state(view: BackendView, inside: set[bool], action: Action | None, stepped: bool) -> str:
    if view.error or view.conflict:
        return "failed"
    if view.sent:
        return "written"
    served = view.served
    planned = served is not None and all(served.get(n) == a for n, a in view.wanted.items())
    wished = {Action.DRAIN: {False}, Action.FORCE_IN: {True}}
    planned = planned and (inside == wished[action] if action else stepped)
    return "read_back" if planned else "pending"
