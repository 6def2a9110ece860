"""The live feed: server-sent events with the journal's numbers, and a word where there is a gap."""

import asyncio
import json
from collections.abc import Mapping, Sequence
from contextlib import aclosing
from typing import Any, cast

from aiohttp import web

from gslb.api import views
from gslb.api.auth import Principal
from gslb.api.face import Face, Feed
from gslb.api.problem import ApiProblem
from gslb.controller.keeper import event_document
from gslb.domain.errors import StoreError
from gslb.ports import Entry, Query

RESUME_MAX = 1000
"""A reader who missed more reads everything again."""


async def follow(face: Face, request: web.Request, who: Principal) -> web.StreamResponse:
    """Snapshot first (or what was missed since `Last-Event-ID`), then each change."""
    if len(face.feeds) >= face.settings.feeds:
        raise ApiProblem(503, "Too many feeds", f"{len(face.feeds)} are open already")
    response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
    feed: Feed = asyncio.Queue(64)
    face.feeds.add(feed)
    face.settings.put("api_feeds", float(len(face.feeds)))
    try:
        await response.prepare(request)
        async with asyncio.TaskGroup() as crew:
            pump = crew.create_task(_pump(face, feed))
            await asyncio.sleep(0)  # it listens before the past is read: nothing falls in between
            await _tell(face, request, response, feed)
            pump.cancel()
    finally:
        face.feeds.remove(feed)
        face.settings.put("api_feeds", float(len(face.feeds)))
    return response


async def _pump(face: Face, feed: Feed) -> None:
    stream = face.operator.told()
    async with aclosing(cast(Any, stream)):  # the loop offers a generator
        async for told in stream:
            await feed.put(told)
    await feed.put(None)


async def _tell(face: Face, request: web.Request, response: web.StreamResponse, feed: Feed) -> None:
    """Until the reader is gone or too slow, the loop cuts us off, or the server ends."""
    text, begun = await _begin(face, request.headers.get("Last-Event-ID", ""))
    last = begun
    while await _taken(face, request, response, text):
        try:
            async with asyncio.timeout(face.settings.ping_s):
                told = await feed.get()
        except TimeoutError:
            text = ": still here\n\n"
            continue
        if told is None:  # never quietly stale
            await _taken(face, request, response, _message("gap", {"after": last}))
            return
        changes = [(told.first_seq + n, event_document(e)) for n, e in enumerate(told.events)]
        text = "".join(_change(seq, kept) for seq, kept in changes if seq > begun)
        last = max([last, *(seq for seq, _ in changes)])


async def _begin(face: Face, given: str) -> tuple[str, int]:
    """What a new reader needs, and the number of the last event that it covers."""
    newest, gap = await _journal(face, Query(limit=1)), ""
    last = newest[-1].seq if newest else 0
    if given.isdigit():
        missed = await _journal(face, Query(after=int(given), limit=RESUME_MAX + 1))
        if len(missed) <= RESUME_MAX and int(given) <= last <= int(given) + len(missed):
            text = "".join(_change(entry.seq, entry.document) for entry in missed)
            return text or ": nothing was missed\n\n", max([last, *(e.seq for e in missed)])
        gap = _message("gap", {"after": int(given), "newest": last})
    s = face.settings
    seen = views.overview(face.world, face.now(), s.cluster, s.replica)
    return gap + _message("snapshot", seen, last), last


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


async def _taken(face: Face, request: web.Request, response: web.StreamResponse, text: str) -> bool:
    """Write; False when the reader is gone, or too slow and therefore cut."""
    try:
        async with asyncio.timeout(face.settings.write_s):
            await response.write(text.encode())
    except TimeoutError:
        if request.transport:
            request.transport.abort()
        return False
    except ConnectionError:
        return False
    return True
