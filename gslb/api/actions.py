"""The writes: what people may say, each durable before it is answered."""

import hmac
from typing import Annotated

from aiohttp import web
from pydantic import AwareDatetime, BaseModel, Field

from gslb.api import views
from gslb.api.alerts import Webhook
from gslb.api.auth import Principal, Scope, bearer
from gslb.api.face import Face, known, match, pause_version, paused, show, version
from gslb.api.problem import ApiProblem, flag, read_body, wrong_field
from gslb.config.values import Duration
from gslb.domain.control import Action, Mode, Override, Owner, OwnerKind, Pause
from gslb.domain.errors import StoreConflict
from gslb.domain.health import SiteVerdict
from gslb.domain.topology import BackendName, ServiceName, SiteName
from gslb.domain.words import GuardWord, Preview
from gslb.policy.preview import preview

Reason = Annotated[str, Field(min_length=1, max_length=500, pattern=r"\S")]

HOOK_BODY_B = 1 << 20
"""A group of alerts may be large, and a 413 would lose it for good."""


class Body(BaseModel, extra="forbid"):
    """Nothing unknown is passed over in silence."""


class Words(Body):
    reason: Reason


class PauseBody(Words):
    for_s: Duration | None = Field(None, alias="for")
    until: AwareDatetime | None = None

    def ends_wall_s(self, wall_s: float, most_s: float, default_s: float | None) -> float | None:
        """Raises a 422 when it has ended already or lasts too long."""
        if self.until and self.for_s is not None:
            raise wrong_field("/until", "give `for` or `until`, not both")
        length_s = default_s if self.for_s is None else self.for_s
        if self.until:
            length_s = self.until.timestamp() - wall_s
        if length_s is not None and not 0 < length_s <= most_s:
            pointer = "/until" if self.until else "/for"
            raise wrong_field(pointer, f"longer than nothing and at most {most_s / 3600:g} h")
        return None if length_s is None else wall_s + length_s


class OverrideBody(PauseBody):
    action: Action
    services: Annotated[tuple[ServiceName, ...], Field(min_length=1)] | None = None
    skip: tuple[str, ...] = ()
    dry_run: bool = False
    replace: bool = False


class ModeBody(Body):
    mode: Mode
    adopt: bool = False
    dry_run: bool = False
    reason: str = ""


class ReloadBody(Body):
    remove: tuple[SiteName, ...] = ()
    loosen: bool = False


async def put_override(face: Face, request: web.Request, who: Principal) -> web.Response:
    """Drain or force in, with its consequences shown; a guard that refuses keeps nothing."""
    site, now, limits = face.site(request), face.now(), face.world.topology.limits
    who.need(Scope.DRAIN, site)
    body = await read_body(request, OverrideBody, limit_s=face.settings.body_s)
    _allow(face, request, who, site, body)
    ends_s = body.ends_wall_s(now.wall_s, limits.override_max_s, limits.override_s)
    assert ends_s is not None
    word = Override(
        site=site,
        action=body.action,
        owner=who.owner,
        services=body.services or (),
        reason=body.reason,
        created_wall_s=now.wall_s,
        ends_wall_s=ends_s,
        ends_at_s=now.boot_s + ends_s - now.wall_s,
        skip=body.skip,
    )
    seen = preview(face.world, now, add=(word,))
    answer: views.Json = {"operation": None, "version": version(face.world, site)}
    answer |= {"preview": views.preview(face.world, seen), "ends_at": views.rfc3339(ends_s)}
    answer |= {"effective": face.world.live()}
    if body.dry_run:
        return show(answer)
    if seen.refused:
        raise _refused(site, seen.refused, body.action)
    try:
        kept = await face.operator.set_override(word, replace=body.replace)
    except StoreConflict as error:
        hint = 'repeat with "replace": true'
        raise ApiProblem(409, "Held by another", str(error), hint=hint) from error
    made = face.promise(now.boot_s, site, body.action, word.services)
    answer |= {"operation": made.id, "version": kept.version}
    return show(answer, 202, etag=kept.version, Location=f"/v1/operations/{made.id}")


def _allow(
    face: Face, request: web.Request, who: Principal, site: SiteName, body: OverrideBody
) -> None:
    state = face.world.states.get(site)
    force = body.action is Action.FORCE_IN
    if body.skip or (force and state and state.verdict is SiteVerdict.DOWN):
        who.need(Scope.OVERRIDE, site)
    match(request, version(face.world, site), needed=force or bool(body.skip))
    here = {s.name for s in face.world.topology.services if s.endpoint(site)}
    if unknown := set(body.services or ()) - here:
        raise wrong_field("/services", f"not served at {site}: {', '.join(sorted(unknown))}")


def _refused(site: SiteName, word: GuardWord, action: Action) -> ApiProblem:
    hint = f"gslb {action} {site} --skip {word.guard} --reason …" if word.skippable else ""
    more = {"guard": word.guard, "figures": dict(word.figures), "skippable": word.skippable}
    title = f"Refused by {word.guard}"
    return ApiProblem(409, title, word.text, kind="guard-refused", hint=hint, **more)


async def delete_override(face: Face, request: web.Request, who: Principal) -> web.Response:
    """Release what persons said, or what `?owner=` said; automation decides afterwards."""
    site, world, now = face.site(request), face.world, face.now()
    who.need(Scope.DRAIN, site)
    match(request, version(world, site))
    owner = _owner(request.query.get("owner", ""))
    seen = Preview(changes=(), guards=())
    if owner is None or owner.kind is OwnerKind.PERSON:
        seen = preview(world, now, drop=(site,))
    answer: views.Json = {"operation": None, "preview": views.preview(world, seen)}
    answer |= {"effective": world.live()}
    if flag(request.query, "dry_run"):
        return show(answer)
    gone = await face.operator.drop_override(site, owner)
    face.receiver.released(gone)
    held = [o for o in world.overrides if o.site == site and o.key not in {g.key for g in gone}]
    made = face.promise(now.boot_s, site, None)
    answer |= {"operation": made.id, "released": [views.override(face.world, o) for o in gone]}
    answer |= {"still_held_by": [str(o.owner) for o in held]}
    return show(answer, 202, Location=f"/v1/operations/{made.id}")


def _owner(text: str) -> Owner | None:
    kind, _, name = text.partition(":")
    if text and kind not in list(OwnerKind):
        raise wrong_field("owner", f"{text!r}: as in person:kim or alert:RULE")
    return Owner(OwnerKind(kind), name) if text else None


async def put_pause(face: Face, request: web.Request, who: Principal) -> web.Response:
    """Automation off: people's words are still carried out."""
    who.need(Scope.DRAIN, everywhere=True)
    match(request, pause_version(face.world))
    body, now = await read_body(request, PauseBody, limit_s=face.settings.body_s), face.now()
    ends_s = body.ends_wall_s(now.wall_s, face.world.topology.limits.override_max_s, None)
    pause = Pause(
        owner=who.owner,
        reason=body.reason,
        created_wall_s=now.wall_s,
        ends_wall_s=ends_s,
        ends_at_s=float("inf") if ends_s is None else now.boot_s + ends_s - now.wall_s,
    )
    await face.operator.set_pause(pause)
    return show(paused(face.world, pause))


async def delete_pause(face: Face, request: web.Request, who: Principal) -> web.Response:
    """Automation on again; a `pause` file in the state folder still holds it."""
    who.need(Scope.DRAIN, everywhere=True)
    match(request, pause_version(face.world))
    await face.operator.set_pause(None)
    return show(paused(face.world, None))


async def put_mode(face: Face, request: web.Request, who: Principal) -> web.Response:
    """Go live, or only observe. The file's `mode: observe` refuses to go live."""
    who.need(Scope.ADMIN, everywhere=True)
    body = await read_body(request, ModeBody, limit_s=face.settings.body_s)
    live, fixed = body.mode is Mode.LIVE, face.world.topology.mode
    if live and fixed == Mode.OBSERVE:
        text = "the configuration says `mode: observe`: change it there and reload"
        raise ApiProblem(409, "Set by the file", text)
    seen = preview(face.world, face.now(), live=live)
    if not body.dry_run:
        await face.operator.set_mode(body.mode, who.owner, adopt=body.adopt)
    answer = {"mode": body.mode, "configured": fixed, "dry_run": body.dry_run}
    return show(answer | {"preview": views.preview(face.world, seen)})


async def confirm(face: Face, request: web.Request, who: Principal) -> web.Response:
    """Let one waiting plan go, by its digest; another digest is stale."""
    who.need(Scope.ADMIN, everywhere=True)
    digest = request.match_info["digest"]
    if digest not in {plan.digest for plan in face.world.waiting.values()}:
        raise ApiProblem(412, "No such plan waits", f"{digest} does not wait (any more)")
    body = await read_body(request, Words, limit_s=face.settings.body_s)
    await face.operator.confirm(digest, who.owner, body.reason)
    return show({"confirmed": digest}, 202)


async def acknowledge(face: Face, request: web.Request, who: Principal) -> web.Response:
    """End the block of a site, by its incident or its name; or have put right, by the backend's
    name, what others changed there again."""
    given = request.match_info["incident"]
    sites = {m.incident: m.site for m in face.world.memories.values() if m.incident}
    sites |= {s.name: s.name for s in face.world.topology.sites}
    backend = BackendName(given) if given in face.world.backends else None
    site = sites.get(given)
    if site is None and backend is None:
        text = f"{given!r} is no open incident, no site and no backend"
        raise ApiProblem(404, "Unknown incident", text)
    who.need(Scope.DRAIN, site, everywhere=site is None)
    body = await read_body(request, Words, limit_s=face.settings.body_s)
    await face.operator.acknowledge(site, who.owner, body.reason, backend)
    return show({"acknowledged": site or backend}, 202)


async def adopt(face: Face, request: web.Request, who: Principal) -> web.Response:
    """Take a backend over from whoever wrote its generation."""
    who.need(Scope.ADMIN, everywhere=True)
    name = known("backend", request.match_info["backend"], face.world.backends).name
    body = await read_body(request, Words, limit_s=face.settings.body_s)
    await face.operator.adopt(name, who.owner, body.reason)
    return show({"adopted": name}, 202)


async def reload(face: Face, request: web.Request, who: Principal) -> web.Response:
    """Read the file again; a wrong one leaves the old in force."""
    who.need(Scope.ADMIN, everywhere=True)
    body = await read_body(request, ReloadBody, limit_s=face.settings.body_s)
    dry_run = flag(request.query, "dry_run")
    diff = await face.operator.reload(remove=body.remove, loosen=body.loosen, dry_run=dry_run)
    return show({"diff": list(diff), "dry_run": dry_run})


async def alertmanager(face: Face, request: web.Request) -> web.Response:
    """The receiver, by a token of its own. A 4xx loses an alert for good, a 5xx is repeated."""
    secret = face.settings.alert_token
    if secret is None:
        raise ApiProblem(404, "No receiver", "`alerts.token` is not configured")
    if not hmac.compare_digest(secret.read().strip().encode(), bearer(request).encode()):
        face.settings.count("auth_failures", "alertmanager")
        raise ApiProblem(401, "Who are you?", "the token is not that of `alerts.token`")
    hook = await read_body(request, Webhook, limit_b=HOOK_BODY_B, limit_s=face.settings.body_s)
    results = await face.receiver.receive(hook)
    return show({"results": results, "effective": face.world.live()})
