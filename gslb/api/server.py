"""The HTTP API: its routes and what holds for each request. Listening is `listen.py`."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from importlib.resources import files
from typing import cast

from aiohttp import web

from gslb.api import actions, reads, whatif
from gslb.api.alerts import Receiver
from gslb.api.auth import Principal, Scope, Tokens, identify
from gslb.api.face import ApiSettings, Ask, Face
from gslb.api.problem import ApiProblem
from gslb.controller.operator import Operator
from gslb.domain.errors import ConfigError, GslbError, StoreConflict, StoreError

Handle = Callable[[web.Request], Awaitable[web.StreamResponse]]
FACE: web.AppKey[Face] = web.AppKey("face", Face)
METRICS_APP: web.AppKey[web.Application] = web.AppKey("metrics_app", web.Application)

ROUTES: tuple[tuple[str, str, Ask], ...] = (
    ("GET", "/v1/overview", reads.overview),
    ("GET", "/v1/sites", reads.sites),
    ("GET", "/v1/sites/{site}", reads.site),
    ("GET", "/v1/services", reads.services),
    ("GET", "/v1/services/{service}", reads.service),
    ("GET", "/v1/backends", reads.backends),
    ("GET", "/v1/backends/{backend}", reads.backend),
    ("POST", "/v1/backends/{backend}/adopt", actions.adopt),
    ("GET", "/v1/explain/{kind}/{name}", reads.explain),
    ("GET", "/v1/sites/{site}/override", reads.overrides),
    ("PUT", "/v1/sites/{site}/override", actions.put_override),
    ("DELETE", "/v1/sites/{site}/override", actions.delete_override),
    ("GET", "/v1/pause", reads.pause),
    ("PUT", "/v1/pause", actions.put_pause),
    ("DELETE", "/v1/pause", actions.delete_pause),
    ("GET", "/v1/mode", reads.mode),
    ("PUT", "/v1/mode", actions.put_mode),
    ("GET", "/v1/plan", whatif.plan),
    ("POST", "/v1/plan", whatif.plan),
    ("POST", "/v1/probe", whatif.probe),
    ("GET", "/v1/plans", reads.plans),
    ("POST", "/v1/plans/{digest}/confirm", actions.confirm),
    ("GET", "/v1/operations/{operation}", reads.operation),
    ("GET", "/v1/events", reads.events),
    ("POST", "/v1/incidents/{incident}/ack", actions.acknowledge),
    ("GET", "/v1/config", reads.config),
    ("POST", "/v1/config/reload", actions.reload),
)
"""Reads need the scope `read`; a write asks for what it needs itself."""
SECURITY = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}


def make_app(
    operator: Operator,
    settings: ApiSettings,
    *,
    metrics: Callable[[], bytes],
    extra_routes: Sequence[web.RouteDef] = (),
) -> web.Application:
    """The API over `operator`. Raises ConfigError when the tokens file is wrong.

    `extra_routes` need a token too: `read` to GET, else `admin`.
    """
    receiver = Receiver(operator, settings.alert_rules, settings.count, settings.alert_watchdog)
    face = Face(operator, settings, metrics, Tokens(settings.tokens), receiver)
    app = _bare(face)
    for method, path, ask in ROUTES:
        app.router.add_route(method, path, partial(_ask, face, ask))
    app.router.add_route("POST", "/v1/hooks/alertmanager", partial(actions.alertmanager, face))
    app.router.add_route("GET", "/v1/openapi.yaml", _document)
    for route in extra_routes:
        inner = cast("Handle", route.handler)  # aiohttp's type has class-based views in it too
        app.router.add_route(
            route.method, route.path, partial(_ask, face, partial(_further, inner))
        )
    app[METRICS_APP] = _bare(face)
    app.on_shutdown.append(_close_feeds)
    return app


def _bare(face: Face) -> web.Application:
    """What both listeners have, without a token: health and metrics."""
    app = web.Application(middlewares=[_answer])
    app[FACE] = face
    for path in ("/livez", "/readyz", "/leader"):
        for method in ("GET", "HEAD", "OPTIONS"):
            app.router.add_route(method, path, partial(reads.health, face))
    app.router.add_route("GET", "/metrics", partial(reads.metrics, face))
    app.on_response_prepare.append(_headers)
    return app


async def _close_feeds(app: web.Application) -> None:
    for feed in app[FACE].feeds:
        while feed.full():
            feed.get_nowait()
        feed.put_nowait(None)


async def _ask(face: Face, ask: Ask, request: web.Request) -> web.StreamResponse:
    who = identify(request, face.tokens, face.now().wall_s, face.settings.count)
    who.need(Scope.READ)
    if "wait" in request.query and not await reads.waited(face, request):
        return web.Response(status=304)
    return await ask(face, request, who)


async def _further(
    inner: Handle, face: Face, request: web.Request, who: Principal
) -> web.StreamResponse:
    who.need(Scope.READ if request.method == "GET" else Scope.ADMIN)
    return await inner(request)


async def _document(request: web.Request) -> web.Response:
    text = files("gslb.api").joinpath("openapi.yaml").read_text(encoding="utf-8")
    return web.Response(text=text, content_type="application/yaml")


async def _headers(request: web.Request, response: web.StreamResponse) -> None:
    face = request.config_dict[FACE]
    response.headers.update(SECURITY)
    world = face.world
    response.headers["Gslb-Version"] = str(world.version)
    response.headers["Gslb-Leader"] = reads.leader(face) or ""
    response.headers["Gslb-Mode"] = str(world.topology.mode or world.mode)
    response.headers["Age"] = str(int(min(face.operator.loop_age_s(), 1e9)))


@web.middleware
async def _answer(request: web.Request, handler: Handle) -> web.StreamResponse:
    """Errors as problems, slow readers cut, and every request measured."""
    face, begun_s = request.config_dict[FACE], time.monotonic()
    try:
        _refuse_foreign(request)
        response = await handler(request)
    except ApiProblem as problem:
        response = problem.response()
    except web.HTTPException as error:
        response = ApiProblem(error.status, error.reason).response()
        if "Allow" in error.headers:
            response.headers["Allow"] = error.headers["Allow"]
    except GslbError as error:
        response = _problem(error).response()
    resource = request.match_info.route.resource
    route = resource.canonical if resource else "unknown"
    took_s = 0.0 if response.prepared else time.monotonic() - begun_s  # a feed began at once
    face.settings.observe(route, request.method, response.status, took_s)
    try:
        async with asyncio.timeout(face.settings.write_s):
            await response.prepare(request)
            await response.write_eof()
    except TimeoutError:
        if request.transport:
            request.transport.abort()
    except ConnectionError:
        pass  # whoever asked has left: nothing to answer, nothing to log
    return response


def _refuse_foreign(request: web.Request) -> None:
    """No page of another origin may ask (RFC 6454): there are no cookies, and no CORS."""
    origin = request.headers.get("Origin")
    if origin is not None and origin != f"{request.scheme}://{request.host}":
        raise ApiProblem(403, "Foreign origin", f"{origin} may not ask")


def _problem(error: GslbError) -> ApiProblem:
    match error:
        case ConfigError():
            return ApiProblem(422, "Wrong configuration", str(error), errors=list(error.problems))
        case StoreConflict():
            return ApiProblem(409, "Changed meanwhile", str(error))
        case StoreError():
            problem = ApiProblem(503, "Store not writable", str(error))
            problem.headers["Retry-After"] = "5"
            return problem
        case _:
            return ApiProblem(500, "Failed", str(error))
