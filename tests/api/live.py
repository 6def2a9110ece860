"""The API over a FakeOperator, on real sockets, and a short way to ask it."""

import hashlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
import yaml
from aiohttp import web

from gslb.api.face import ApiSettings, Face
from gslb.api.listen import Served, serve
from gslb.api.server import FACE, make_app
from tests.api.fake_operator import FakeOperator

SCOPES = ("read", "drain", "override", "admin")


class Secret:
    """A token that is read when it is needed."""

    def __init__(self, text: str) -> None:
        self.text = text

    def read(self) -> str:
        return self.text


@dataclass
class Said:
    """One answer."""

    status: int
    headers: Any
    body: Any


@dataclass
class Live:
    """A running API; `token` is a scope's name, `""` none, `None` no header at all."""

    served: Served
    session: aiohttp.ClientSession
    operator: FakeOperator
    face: Face
    counted: list[tuple[object, ...]] = field(default_factory=list)

    async def ask(
        self,
        method: str,
        path: str,
        body: object = None,
        token: str | None = "admin",
        **headers: str,
    ) -> Said:
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        if token is not None:
            sent.setdefault("Authorization", f"Bearer fake-{token}")
        url = f"{self.served.url}{path}"
        async with self.session.request(method, url, json=body, headers=sent) as response:
            kind = response.content_type
            seen = await (response.json() if kind.endswith("json") else response.text())
            return Said(response.status, response.headers, seen)

    async def get(self, path: str, token: str | None = "read", **headers: str) -> Said:
        return await self.ask("GET", path, None, token, **headers)

    async def put(self, path: str, body: object, token: str = "admin", **headers: str) -> Said:
        return await self.ask("PUT", path, body, token, **headers)

    async def post(self, path: str, body: object, token: str = "admin", **headers: str) -> Said:
        return await self.ask("POST", path, body, token, **headers)


def token(name: str, *scopes: str, **more: object) -> dict[str, object]:
    """An entry of the tokens file for the secret `fake-NAME`."""
    digest = hashlib.sha256(f"fake-{name}".encode()).hexdigest()
    return {"name": f"t-{name}", "sha256": digest, "scopes": list(scopes), **more}


def write_tokens(path: Path, *extra: dict[str, object]) -> Path:
    """A token a scope, and `extra`."""
    rows = [token(scope, scope) for scope in SCOPES]
    path.write_text(yaml.safe_dump([*rows, *extra]), encoding="utf-8")
    return path


@asynccontextmanager
async def live(
    tmp_path: Path,
    operator: FakeOperator | None = None,
    *extra_tokens: dict[str, object],
    extra_routes: tuple[web.RouteDef, ...] = (),
    **settings: Any,
) -> AsyncIterator[Live]:
    """Run it on loopback with free ports."""
    operator = operator or FakeOperator()
    counted: list[tuple[object, ...]] = []
    tokens = write_tokens(tmp_path / "tokens.yml", *extra_tokens)
    chosen = ApiSettings(
        **{
            "cluster": "test",
            "replica": "ctl-1",
            "listen": ("127.0.0.1", 0),
            "tokens": tokens,
            "observe": lambda *seen: counted.append(("request", *seen[:3])),
            "count": lambda *seen, **more: counted.append((*seen, *more.values())),
            **settings,
        }
    )
    app = make_app(operator, chosen, metrics=lambda: b"gslb_up 1\n", extra_routes=extra_routes)
    async with serve(app, chosen) as served, aiohttp.ClientSession() as session:
        yield Live(served, session, operator, app[FACE], counted)
