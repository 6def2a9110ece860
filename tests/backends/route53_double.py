"""A double of Route 53, made from the public API reference (2013-04-01), as strict as that says.

A DELETE must repeat values, TTL and weight exactly; a batch happens whole or not at all; a change
is PENDING before it is INSYNC; lists come in pages; only signed requests are answered.
"""

import asyncio
import itertools
import xml.etree.ElementTree as ET
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from aiohttp import web
from aiohttp.typedefs import Handler

SPACE = "https://route53.amazonaws.com/doc/2013-04-01/"
Key = tuple[str, str, str]


class Double:
    """One hosted zone. Faults: `fault` is the code of an error, or `hang`."""

    def __init__(self) -> None:
        self.sets: dict[Key, dict[str, Any]] = {}
        self.batches = 0
        self.page = 3
        self.pending = 2
        self.fault = ""
        self.url = ""
        self._states: dict[str, int] = {}
        self._numbers = itertools.count(1)

    def put(self, name: str, kind: str, *values: str, ttl: int = 5, **more: Any) -> None:
        one = {"Name": name, "Type": kind, "TTL": str(ttl), "values": list(values)} | more
        self.sets[name, kind, more.get("SetIdentifier", "")] = one

    @asynccontextmanager
    async def running(self) -> AsyncIterator["Double"]:
        app = web.Application(middlewares=[self._door])
        app.router.add_get("/2013-04-01/hostedzone/Z1FAKE/rrset", self._list)
        app.router.add_post("/2013-04-01/hostedzone/Z1FAKE/rrset/", self._change)
        app.router.add_get("/2013-04-01/change/{id}", self._status)
        runner = web.AppRunner(app, shutdown_timeout=0.1)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        self.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
        try:
            yield self
        finally:
            await runner.cleanup()

    @web.middleware
    async def _door(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        signed = request.headers.get("Authorization", "")
        if not signed.startswith("AWS4-HMAC-SHA256 Credential=AKIAFAKE/"):
            return error(403, "InvalidClientTokenId", "The security token is invalid.")
        if self.fault == "hang":
            await asyncio.Event().wait()
        if self.fault:
            return error(400, self.fault, "as the test wants it")
        return await handler(request)

    async def _list(self, request: web.Request) -> web.Response:
        order = sorted(self.sets, key=rank)
        ask = request.query
        start = (ask.get("name", ""), ask.get("type", ""), ask.get("identifier", ""))
        begin = sum(rank(key) < rank(start) for key in order) if start[0] else 0
        rest = order[begin + self.page :][:1]
        found = "".join(render(self.sets[key]) for key in order[begin : begin + self.page])
        after = ""
        if rest:
            name, kind, identifier = rest[0]
            after = (
                f"<NextRecordName>{name}</NextRecordName><NextRecordType>{kind}</NextRecordType>"
            )
            if identifier:
                after += f"<NextRecordIdentifier>{identifier}</NextRecordIdentifier>"
        return xml(
            f'<ListResourceRecordSetsResponse xmlns="{SPACE}">'
            f"<ResourceRecordSets>{found}</ResourceRecordSets>"
            f"<IsTruncated>{str(bool(rest)).lower()}</IsTruncated>{after}"
            f"<MaxItems>{self.page}</MaxItems></ListResourceRecordSetsResponse>"
        )

    async def _change(self, request: web.Request) -> web.Response:
        trial, wrong = dict(self.sets), []
        for change in ET.fromstring(await request.text()).iter(f"{{{SPACE}}}Change"):
            one = parse(change)
            key = (one["Name"], one["Type"], one.get("SetIdentifier", ""))
            what = f"resource record set [name='{key[0]}', type='{key[1]}']"
            match change.findtext(f"{{{SPACE}}}Action"):
                case "DELETE" if key not in trial:
                    wrong.append(f"Tried to delete {what} but it was not found")
                case "DELETE" if trial[key] != one:
                    wrong.append(
                        f"Tried to delete {what} but the values provided do not match the current"
                        " values"
                    )
                case "DELETE":
                    del trial[key]
                case "CREATE" if key in trial:
                    wrong.append(f"Tried to create {what} but it already exists")
                case "CREATE" if beside_cname(trial, one):
                    wrong.append(f"RRSet of type {key[1]} is not permitted beside a CNAME")
                case "CREATE":
                    trial[key] = one
                case action:
                    wrong.append(f"no such action: {action}")
        if wrong:
            return error(400, "InvalidChangeBatch", f"[{', '.join(wrong)}]")
        self.sets, self.batches = trial, self.batches + 1
        number = f"C{next(self._numbers)}"
        self._states[number] = self.pending
        return info("ChangeResourceRecordSetsResponse", number, "PENDING")

    async def _status(self, request: web.Request) -> web.Response:
        number = request.match_info["id"]
        self._states[number] -= 1
        state = "INSYNC" if self._states[number] < 0 else "PENDING"
        return info("GetChangeResponse", number, state)


def rank(key: Key) -> tuple[list[str], str, str]:
    """The order of a list: by the labels of the name from its end, type and identifier."""
    return key[0].rstrip(".").split(".")[::-1], key[1], key[2]


def beside_cname(sets: dict[Key, dict[str, Any]], one: dict[str, Any]) -> bool:
    kinds = {kind for name, kind, _ in sets if name == one["Name"]} | {one["Type"]}
    return "CNAME" in kinds and len(kinds) > 1


def parse(change: ET.Element) -> dict[str, Any]:
    found = change.find(f"{{{SPACE}}}ResourceRecordSet")
    assert found is not None
    one: dict[str, Any] = {
        part.tag.removeprefix(f"{{{SPACE}}}"): part.text for part in found if part.text
    }
    one.pop("ResourceRecords", None)
    one["Name"] = one["Name"].rstrip(".") + "."
    return one | {"values": [value.text for value in found.iter(f"{{{SPACE}}}Value")]}


def render(one: dict[str, Any]) -> str:
    parts = "".join(f"<{k}>{v}</{k}>" for k, v in one.items() if k != "values")
    values = "".join(f"<ResourceRecord><Value>{v}</Value></ResourceRecord>" for v in one["values"])
    records = f"<ResourceRecords>{values}</ResourceRecords>"
    return f"<ResourceRecordSet>{parts}{records}</ResourceRecordSet>"


def info(root: str, number: str, state: str) -> web.Response:
    return xml(
        f'<{root} xmlns="{SPACE}"><ChangeInfo><Id>/change/{number}</Id><Status>{state}</Status>'
        f"<SubmittedAt>2024-01-01T00:00:00Z</SubmittedAt></ChangeInfo></{root}>"
    )


def error(status: int, code: str, text: str) -> web.Response:
    return xml(
        f'<ErrorResponse xmlns="{SPACE}"><Error><Type>Sender</Type><Code>{code}</Code>'
        f"<Message>{text}</Message></Error><RequestId>fake</RequestId></ErrorResponse>",
        status,
    )


def xml(body: str, status: int = 200) -> web.Response:
    return web.Response(
        body=f'<?xml version="1.0"?>{body}'.encode(), status=status, content_type="text/xml"
    )
