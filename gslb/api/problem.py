"""Errors as problem+json (RFC 9457), and bodies read within bounds of size and time."""

import asyncio
import json
import re
from typing import Any, TypeVar

from aiohttp import web
from pydantic import BaseModel, ValidationError

M = TypeVar("M", bound=BaseModel)


class ApiProblem(Exception):
    """An answer that says no: status, one sentence, and what the way on needs."""

    def __init__(
        self, status: int, title: str, detail: str = "", kind: str = "", **more: object
    ) -> None:
        super().__init__(detail or title)
        self.status, self.title, self.detail, self.more = status, title, detail, more
        self.headers: dict[str, str] = {}
        self.kind = kind or re.sub(r"[^a-z0-9]+", "-", title.lower()).strip("-")

    def response(self) -> web.Response:
        """Its form on the wire."""
        body = {"type": f"/problems/{self.kind}", "title": self.title, "status": self.status}
        return web.json_response(
            {**body, "detail": self.detail or self.title, **self.more},
            status=self.status,
            headers=self.headers,
            content_type="application/problem+json",
        )


async def read_body(
    request: web.Request, model: type[M], *, limit_b: int = 65_536, limit_s: float = 10.0
) -> M:
    """The body as `model`. An empty one counts as `{}`; each mistake is told with its pointer."""
    raw = await _raw(request, limit_b, limit_s)
    if raw and request.content_type != "application/json":
        raise ApiProblem(415, "JSON is wanted", "send it with Content-Type: application/json")
    try:
        return model.model_validate(json.loads(raw or b"{}"))
    except ValidationError as error:
        wrong = [
            {"pointer": "".join(f"/{part}" for part in e["loc"]), "detail": e["msg"]}
            for e in error.errors(include_url=False, include_context=False, include_input=False)
        ]
        text = "; ".join(f"{w['pointer'] or '/'}: {w['detail']}" for w in wrong)
        raise ApiProblem(422, "Wrong fields", text, errors=wrong) from error
    except (ValueError, RecursionError) as error:
        raise ApiProblem(400, "Not JSON", f"the body is no JSON: {error}") from error


async def _raw(request: web.Request, limit_b: int, limit_s: float) -> bytes:
    raw = bytearray()
    try:
        async with asyncio.timeout(limit_s):
            async for chunk in request.content.iter_any():
                raw += chunk
                if len(raw) > limit_b:
                    raise ApiProblem(413, "Body too large", f"at most {limit_b} bytes are read")
    except TimeoutError as error:
        raise ApiProblem(408, "Body too slow", f"not here after {limit_s:g} s") from error
    except web.RequestPayloadError as error:
        raise ApiProblem(400, "Body broken", "its framing or its encoding is wrong") from error
    return bytes(raw)


def wrong_field(pointer: str, text: str) -> ApiProblem:
    """A 422 for one field."""
    return ApiProblem(422, "Wrong fields", text, errors=[{"pointer": pointer, "detail": text}])


def flag(query: Any, name: str) -> bool:
    """A yes or no in a query: `?dry_run=1`."""
    return str(query.get(name, "")).lower() in {"1", "true", "yes"}
