"""The live feed: server-sent events with the journal's numbers, and a word where there is a gap."""

import asyncio
import json
from collections.abc import AsyncGenerator, Mapping, Sequence
from typing import Any

from aiohttp import web

from gslb.api import views
from gslb.api.auth import Principal
from gslb.api.face import Face
from gslb.api.problem import ApiProblem
from gslb.controller.operator import Told
from gslb.domain.errors import StoreError
from gslb.ports import Entry, Query

RESUME_MAX = 1000
"""A reader who missed more reads everything again."""


async def follow(face: Face, request: web.Request, who: Principal) -> web.StreamResponse:
    """Snapshot first (or what was missed since `Last-Event-ID`), then each change."""
    if face.feeds >= face.settings.feeds:
        raise ApiProblem(503, "Too many feeds", f"{face.feeds} are open already")
    stream = face.operator.told()
    response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
    _count(face, 1)
    # Asked for before the past is read, so that nothing falls in between.
    pump: asyncio.Task[Told | None] = asyncio.ensure_future(anext(stream, None))
    closing = asyncio.ensure_future(face.closing.wait())
    try:
        await asyncio.sleep(0)
        await response.prepare(request)
        last = await _begin(face, request, response)
        while not closing.done():
            await asyncio.wait(
                {pump, closing}, timeout=face.settings.ping_s, return_when="FIRST_COMPLETED"
            )
            if not pump.done():
                await _write(face, request, response, ": still here\n\n")
                continue
            told = pump.result()
            if told is None:  # we were too slow, or it is over: never quietly stale
                await _write(face, request, response, _message("gap", {"after": last}))
                break
            pump = asyncio.ensure_future(anext(stream, None))
            changes = [(told.first_seq + n, views.document(e)) for n, e in enumerate(told.events)]
            text = "".join(_change(seq, kept) for seq, kept in changes if seq > last)
            last = max([last, *(seq for seq, _ in changes)])
            if text:
                await _write(face, request, response, text)
    finally:
        pump.cancel()
        closing.cancel()
        await asyncio.gather(pump, closing, return_exceptions=True)
        if isinstance(stream, AsyncGenerator):
            await stream.aclose()
        _count(face, -1)
    return response


async def _begin(face: Face, request: web.Request, response: web.StreamResponse) -> int:
    """Write what a new reader needs; gives the number of the last event that it covers."""
    given, text = request.headers.get("Last-Event-ID", ""), ""
    newest = await _journal(face, Query(limit=1))
    last = newest[-1].seq if newest else 0
    if given.isdigit():
        missed = await _journal(face, Query(after=int(given), limit=RESUME_MAX + 1))
        if int(given) + len(missed) >= last >= int(given) and len(missed) <= RESUME_MAX:
            text = "".join(_change(e.seq, e.document) for e in missed)
            await _write(face, request, response, text or ": nothing was missed\n\n")
            return max([last, *(e.seq for e in missed)])
        text = _message("gap", {"after": int(given), "newest": last})
    s = face.settings
    text += _message("snapshot", views.overview(face.world, face.now(), s.cluster, s.replica), last)
    await _write(face, request, response, text)
    return last


async def _journal(face: Face, query: Query) -> Sequence[Entry]:
    try:
        return await face.operator.events(query)
    except StoreError:
        return ()


def _change(seq: int, kept: Mapping[str, Any]) -> str:
    return _message("change", views.event(seq, kept), seq)


def _message(kind: str, body: object, seq: int | None = None) -> str:
    number = "" if seq is None else f"id: {seq}\n"
    return f"{number}event: {kind}\ndata: {json.dumps(body)}\n\n"


async def _write(face: Face, request: web.Request, response: web.StreamResponse, text: str) -> None:
    """Raises ConnectionResetError for a reader that is too slow: it is cut."""
    try:
        async with asyncio.timeout(face.settings.write_s):
            await response.write(text.encode())
    except TimeoutError as error:
        if request.transport:
            request.transport.abort()
        raise ConnectionResetError("a reader of the feed was too slow") from error


def _count(face: Face, by: int) -> None:
    face.feeds += by
    face.settings.put("api_feeds", float(face.feeds))
