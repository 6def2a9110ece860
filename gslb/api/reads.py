"""The reads: the world as it is now, by route."""

from datetime import UTC, datetime

from aiohttp import web

from gslb.api import feed, views
from gslb.api.auth import Principal
from gslb.api.face import Face, known, pause_version, paused, progress, show, version
from gslb.api.problem import ApiProblem, wrong_field
from gslb.config.values import duration
from gslb.domain.topology import BackendName, ServiceName, SiteName
from gslb.domain.words import Explanation
from gslb.policy import explain as policy
from gslb.ports import Query

LOOP_STUCK_S = 30.0
WAIT_MAX_S = 60.0


async def health(face: Face, request: web.Request) -> web.Response:
    """`/livez`, `/readyz`, `/leader`: 200 or 503; the store is not asked."""
    age_s, status, because = face.operator.loop_age_s(), "ok", "the loop finished a pass"
    if age_s > LOOP_STUCK_S:
        status, because = "stuck", f"no pass of the loop for {age_s:.0f} s"
    if age_s == float("inf"):
        status, because = "starting", "no pass of the loop yet"
    if status == "ok" and request.path == "/readyz" and not face.operator.settled():
        status, because = "starting", "not every needed aspect has a verdict yet"
    if status == "ok" and request.path == "/leader":
        because = "this replica holds the term"
        if leader(face) is None:
            status, because = "not_leader", "this replica does not hold the term"
    response = show({"status": status, "because": because}, 200 if status == "ok" else 503)
    if request.method != "GET":
        response.body = None
    response.headers["Allow"] = "GET, HEAD, OPTIONS"
    return response


def leader(face: Face) -> str | None:
    """Who leads, as far as we know."""
    return views.leader(face.world, face.now(), face.settings.replica)


async def metrics(face: Face, request: web.Request) -> web.Response:
    """Prometheus' text format."""
    kind = "text/plain; version=0.0.4; charset=utf-8"
    face.settings.put("alert_hook_silent", float(face.receiver.silent()))
    return web.Response(body=face.metrics(), headers={"Content-Type": kind})


async def waited(face: Face, request: web.Request) -> bool:
    """`?wait=30s&after=918`: is there a newer world within that time?"""
    try:
        wait_s = min(duration(request.query["wait"]), WAIT_MAX_S)
    except ValueError as error:
        raise wrong_field("wait", str(error)) from error
    after = number(request, "after", face.world.version)
    return (await face.operator.changed(after, wait_s)).version > after


def number(request: web.Request, name: str, default: int, most: int = 1 << 62) -> int:
    """A whole number in the query. Raises a 422."""
    text = request.query.get(name, str(default))
    if not text.isdecimal() or len(text) > 18:
        raise wrong_field(name, f"{text!r} is no whole number")
    return min(int(text), most)


async def overview(face: Face, request: web.Request, who: Principal) -> web.Response:
    s = face.settings
    return show(views.overview(face.world, face.now(), s.cluster, s.replica))


async def sites(face: Face, request: web.Request, who: Principal) -> web.Response:
    rows = [views.site(face.world, s.name, face.now()) for s in face.world.topology.sites]
    return show({"sites": rows})


async def site(face: Face, request: web.Request, who: Principal) -> web.Response:
    return show(views.site(face.world, face.site(request), face.now()))


async def services(face: Face, request: web.Request, who: Principal) -> web.Response:
    """Filters `state`, `site`, `q`; pages by name (`after`, `limit`); counts of all that match."""
    query, world = request.query, face.world
    rows = [
        views.service(world, s, face.now(), whole=False)
        for s in sorted(world.topology.services, key=lambda s: s.name)
        if query.get("q", "").lower() in s.name.lower()
        and ("site" not in query or s.endpoint(SiteName(query["site"])))
    ]
    rows = [row for row in rows if query.get("state", row["state"]) == row["state"]]
    limit = max(1, number(request, "limit", 100, 500))
    page = [row for row in rows if row["name"] > query.get("after", "")][: limit + 1]
    last = page[limit - 1]["name"] if len(page) > limit else None
    return show({"services": page[:limit], "next": last, "counts": views.counts(rows)})


async def service(face: Face, request: web.Request, who: Principal) -> web.Response:
    named = {s.name: s for s in face.world.topology.services}
    found = known("service", request.match_info["service"], named)
    return show(views.service(face.world, found, face.now()))


async def backends(face: Face, request: web.Request, who: Principal) -> web.Response:
    found = face.world.backends.values()
    rows = [views.backend(face.world, view, face.now(), whole=False) for view in found]
    return show({"backends": rows})


async def backend(face: Face, request: web.Request, who: Principal) -> web.Response:
    view = known("backend", request.match_info["backend"], face.world.backends)
    return show(views.backend(face.world, view, face.now()))


async def explain(face: Face, request: web.Request, who: Principal) -> web.Response:
    kind, name = request.match_info["kind"].removesuffix("s"), request.match_info["name"]
    world, now = face.world, face.now()
    text: Explanation
    match kind:
        case "site" if name in {s.name for s in world.topology.sites}:
            text = policy.explain_site(world, SiteName(name), now)
        case "service" if name in {s.name for s in world.topology.services}:
            text = policy.explain_service(world, ServiceName(name), now)
        case "backend" if name in world.backends:
            text = policy.explain_backend(world, BackendName(name), now)
        case _:
            raise ApiProblem(404, "Nothing to explain", f"there is no {kind} {name!r}")
    return show(views.plain(text))


async def overrides(face: Face, request: web.Request, who: Principal) -> web.Response:
    name = face.site(request)
    rows = [views.override(face.world, o) for o in face.world.overrides if o.site == name]
    etag = version(face.world, name)
    return show({"site": name, "version": etag, "overrides": rows}, etag=etag)


async def pause(face: Face, request: web.Request, who: Principal) -> web.Response:
    return show(paused(face.world, face.world.pause), etag=pause_version(face.world))


async def mode(face: Face, request: web.Request, who: Principal) -> web.Response:
    world = face.world
    body = {"mode": world.topology.mode or world.mode, "configured": world.topology.mode}
    return show({**body, "run_time": world.mode})


async def plans(face: Face, request: web.Request, who: Principal) -> web.Response:
    """What waits for a person, and what is served otherwise than planned."""
    world = face.world
    seen = [views.backend(world, v, face.now()) for v in world.backends.values()]
    differs = [row for b in seen for row in b["services"] if not row["as_planned"]]
    waiting = [views.plan(p) for p in world.waiting.values()]
    return show({"waiting": waiting, "differs": differs, "would": views.plain(world.would)})


async def operation(face: Face, request: web.Request, who: Principal) -> web.Response:
    made = face.operations.get(request.match_info["operation"])
    if made is None:
        raise ApiProblem(404, "Unknown operation", "it is not remembered (any more)")
    return show(progress(face.world, made))


async def events(face: Face, request: web.Request, who: Principal) -> web.StreamResponse:
    """The journal by number, or the live feed."""
    if "text/event-stream" in request.headers.get("Accept", ""):
        return await feed.follow(face, request, who)
    names = ("site", "service", "backend", "type", "incident")
    limit = max(1, number(request, "limit", 100, 500))
    query = Query(
        after=number(request, "after", 0) if "after" in request.query else None,
        limit=limit,
        match={name: request.query[name] for name in names if name in request.query},
        since_wall_s=_since(face, request.query.get("since")),
    )
    rows = await face.operator.events(query)
    last = rows[-1].seq if len(rows) == limit else None
    return show({"events": [views.event(e.seq, e.document) for e in rows], "next": last})


def _since(face: Face, text: str | None) -> float | None:
    """`since=2h` or a time."""
    if text is None:
        return None
    try:
        return face.now().wall_s - duration(text)
    except ValueError:
        pass
    try:
        return datetime.fromisoformat(text).astimezone(UTC).timestamp()
    except (ValueError, OverflowError) as error:
        raise wrong_field("since", f"{text!r}: as in 2h, or a time") from error


async def config(face: Face, request: web.Request, who: Principal) -> web.Response:
    return show(dict(face.settings.config()))
