"""What would be, and one look at a site: asked by people, and nothing is changed by either."""

from asyncio import gather
from collections import deque
from collections.abc import Sequence
from typing import Literal

from aiohttp import web
from pydantic import Field

from gslb.api import views
from gslb.api.actions import Body
from gslb.api.auth import Principal, Scope
from gslb.api.face import Face, show
from gslb.api.problem import ApiProblem, read_body
from gslb.config.settings import nearest
from gslb.domain.control import Action, Override
from gslb.domain.health import Seen
from gslb.domain.topology import ProbeId, ProbeSpec, SiteName
from gslb.domain.words import Fate, Preview
from gslb.policy.preview import preview

LOOKS_PER_MIN = 120
"""One-shot probes of one API, in all: each costs requests at the site that it asks."""


class PlanBody(Body):
    overrides: dict[SiteName, Action] = Field(default_factory=dict)
    assume: dict[SiteName, Literal["down"]] = Field(default_factory=dict)


class ProbeBody(Body):
    site: SiteName
    aspect: str | None = None
    """An aspect (`store.write`), or what it begins with (`store`); None: every probe there."""


async def plan(face: Face, request: web.Request, who: Principal) -> web.Response:
    """What is wanted and not served now; by POST: what would be, if. Each guard has its say."""
    body = PlanBody()
    if request.method == "POST":
        body = await read_body(request, PlanBody, limit_s=face.settings.body_s)
    sites, now = {s.name: s for s in face.world.topology.sites}, face.now()
    for name in (*body.overrides, *body.assume):
        _known("site", name, list(sites))
    words = tuple(
        Override(
            site=site,
            action=action,
            owner=who.owner,
            reason="what if",
            created_wall_s=now.wall_s,
            ends_wall_s=now.wall_s + face.world.topology.limits.override_s,
        )
        for site, action in body.overrides.items()
    )
    seen = preview(face.world, now, add=words, down=tuple(body.assume), whole=True)
    refused = [g for g in seen.guards if g.verdict == "refuse"]
    told = {"pending": len(seen.changes) + len(refused), "effective": face.world.live()}
    return show(views.preview(face.world, seen) | told | {"text": _text(body, seen, len(refused))})


def _text(body: PlanBody, seen: Preview, refused: int) -> str:
    """`If syd were down now: 1 move refused; nothing would be written.`"""
    words = {Action.DRAIN: "drained", Action.FORCE_IN: "forced in"}
    ifs = [f"{site} were {state}" for site, state in body.assume.items()]
    ifs += [f"{site} were {words[action]}" for site, action in body.overrides.items()]
    fates = [c.fate for c in seen.changes]
    said = {
        "to write": fates.count(Fate.GOES),
        "only shown (observe)": fates.count(Fate.WOULD),
        "waiting for a person": fates.count(Fate.WAITS),
        "left as others made it": fates.count(Fate.RESTS),
    }
    parts = [f"{n} change{'' if n == 1 else 's'} {what}" for what, n in said.items() if n]
    parts += [f"{refused} move{'' if refused == 1 else 's'} refused"] if refused else []
    head = f"If {' and '.join(ifs)} now" if ifs else "Now"
    nothing = [] if Fate.GOES in fates or not parts else ["nothing would be written"]
    return f"{head}: {'; '.join([*parts, *nothing]) or 'nothing to change'}."


async def probe(face: Face, request: web.Request, who: Principal) -> web.Response:
    """Run what is configured for a site once, beside its pace; the result is told to the asker."""
    body = await read_body(request, ProbeBody, limit_s=face.settings.body_s)
    topology = face.world.topology
    _known("site", body.site, [s.name for s in topology.sites])
    who.need(Scope.DRAIN, body.site)
    mine = [p for p in topology.probes if p.site == body.site]
    chosen = [p for p in mine if body.aspect is None or _is(p, body.aspect)]
    if not chosen:
        _known("aspect", body.aspect or "", [a.name for p in mine for a in p.aspects])
    _brake(face.looks, face.now().boot_s, len(chosen))
    looked = await gather(*(_look(face, p.id) for p in chosen))
    return show({"site": body.site, "vantage": topology.vantage, "results": looked})


def _is(spec: ProbeSpec, name: str) -> bool:
    names = [spec.id.partition("/")[2], *(a.name for a in spec.aspects)]
    return any(n == name or n.startswith((f"{name}.", f"{name}@")) for n in names)


def _known(kind: str, name: str, names: Sequence[str]) -> None:
    """Raises a 404 that names the nearest."""
    if name not in names:
        text = f"{name!r} is no configured {kind}; {nearest(name, list(names))}"
        raise ApiProblem(404, f"Unknown {kind}", text)


def _brake(looks: deque[float], now_s: float, more: int) -> None:
    while looks and looks[0] <= now_s - 60:
        looks.popleft()
    if len(looks) + more > LOOKS_PER_MIN:
        problem = ApiProblem(429, "Too many looks", f"at most {LOOKS_PER_MIN} probes a minute")
        problem.headers["Retry-After"] = "10"
        raise problem
    looks.extend([now_s] * more)


async def _look(face: Face, probe: ProbeId) -> views.Json:
    begun_s = face.now().boot_s
    seen: Seen = await face.operator.look(probe)
    worst = {f.outcome for f in seen.findings}
    outcome = next((o for o in ("fail", "blind") if o in worst), "pass")
    body: views.Json = {"probe": probe, "outcome": outcome, "took_s": face.now().boot_s - begun_s}
    body["steps"] = [{"step": step, "took_s": took_s} for step, took_s in seen.steps]
    return body | {"findings": views.plain(seen.findings)}
