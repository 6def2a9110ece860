"""An imitation Quay site: Quay's health bodies and its timing, over stores that it really uses.

Checks run one after another, nothing is cached, and a store that fails is asked again as the AWS
SDK does: 5 tries, random pauses of at most 1, 2, 4 and 8 s. So slow is as usual as it is in Quay.
"""

import asyncio
import json
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import sha256
from typing import Any, Self

import aiohttp
from aiohttp import web

from gslb.demo.door import FAULTS, Breakable, Door
from gslb.wire.credentials import Keys
from gslb.wire.sigv4 import sign
from gslb.wire.tls import new_context

SITE_FAULTS = FAULTS | {"500", "503", "403", "404"}
SHARED_FAULTS = frozenset({"refuse", "hang"})
NGINX_S = 60.0
ATTEMPT_S = 60.0
RETRIED = {500, 502, 503, 504}
SSE = {"x-amz-server-side-encryption": "AES256"}
HEALTH = {"/health/instance", "/health", "/health/endtoend", "/status"}


class Shared(Breakable):
    """A part that several sites lean on, and how long it takes to fail, refused and hung."""

    def __init__(self, name: str, refused_s: float, hung_s: float) -> None:
        super().__init__(f"the {name}", SHARED_FAULTS)
        self._takes_s = {"refuse": refused_s, "hang": hung_s}

    async def answers(self, pace: float) -> bool:
        """Does it? In Quay's time."""
        await asyncio.sleep(pace * self._takes_s.get(self.fault, 0.0))
        return not self.fault


def shared_database() -> Shared:
    return Shared("database", refused_s=0.05, hung_s=3.1)


def shared_redis() -> Shared:
    return Shared("redis", refused_s=0.03, hung_s=1.1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Location:
    """A bucket by its URL, and Quay's key to it."""

    url: str
    key_id: str
    secret: str
    prefix: str = "registry"
    sse: bool = True
    """Its driver asks for encryption: S3Storage does, RadosGWStorage (Ceph) does not."""


class QuaySite(Breakable):
    """One site. `locations`: all that are configured; `preference`: the list in effect here.

    `pace` shortens all times; `door`: address, port, tls and slow_s.
    """

    def __init__(
        self,
        locations: Mapping[str, Location],
        preference: Sequence[str],
        *,
        database: Shared | None = None,
        redis: Shared | None = None,
        version: str = "3.18.0",
        readonly: bool = False,
        recovery: bool = False,
        pace: float = 1.0,
        **door: Any,
    ) -> None:
        super().__init__("quay", SITE_FAULTS, self._break)
        self.version, self.readonly, self.recovery = version, readonly, recovery
        self.database, self.redis = database or shared_database(), redis or shared_redis()
        self._locations, self._preference, self._known = locations, preference, set[str]()
        self._pace, self._door = pace, Door(self._answer, **door)

    @property
    def url(self) -> str:
        return self._door.url

    @property
    def port(self) -> int:
        return self._door.port

    @property
    def minor(self) -> tuple[int, ...]:
        """`(3, 18)`."""
        return tuple(map(int, self.version.split(".")[:2]))

    async def __aenter__(self) -> Self:
        most_s = ATTEMPT_S * self._pace
        patience = aiohttp.ClientTimeout(sock_connect=most_s, sock_read=most_s)
        self._client = aiohttp.ClientSession(
            # Not aiohttp's own context: on Python 3.13 that is stricter with a private CA.
            connector=aiohttp.TCPConnector(force_close=True, ssl=new_context(None)),
            timeout=patience,
        )
        await self._door.__aenter__()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._door.__aexit__()
        await self._client.close()

    async def _break(self) -> None:
        await self._door.set_fault(self.fault)

    async def _answer(self, request: web.BaseRequest) -> web.StreamResponse:
        """As nginx in front of Quay: HTML of its own when Quay is not there or late."""
        if self.fault.isdigit():
            return page(int(self.fault))
        try:
            async with asyncio.timeout(NGINX_S * self._pace):
                return await self._route(request.path)
        except TimeoutError:
            return page(504)

    async def _route(self, path: str) -> web.Response:
        if path in HEALTH:
            ask = self._endtoend if path in ("/health/endtoend", "/status") else self._instance
            services = dict(sorted((await ask()).items()))
            status = 200 if all(services.values()) else 503
            return told({"data": {"services": services}, "status_code": status}, status)
        if path in ("/_internal_ping", "/v1/_internal_ping"):
            return web.Response(text="true")
        if path == "/config":
            return told(self._config())
        if path.startswith("/v2") and not self.recovery:
            error = {"code": "UNAUTHORIZED", "detail": {}, "message": "access to the resource"}
            return told({"errors": [error]}, 401)
        return page(404)

    def _config(self) -> dict[str, object]:
        state = "readonly" if self.readonly else "normal"
        # Before 3.16 it did not say its version.
        said = {"version_number": f"Quay {self.version}"} if self.minor >= (3, 16) else {}
        return {"registry_state": state, "account_recovery_mode": self.recovery, **said}

    async def _instance(self) -> dict[str, bool]:
        whole = ("registry_gunicorn", "web_gunicorn", "service_key", "disk_space", "auth")
        services = dict.fromkeys(whole, True)
        services["database"] = await self.database.answers(self._pace)
        return services

    async def _endtoend(self) -> dict[str, bool]:
        return {
            "database": await self.database.answers(self._pace),
            "redis": await self.redis.answers(self._pace),
            "storage": self.readonly or await self._storage(),
            "auth": True,
        }

    async def _storage(self) -> bool:
        """Since 3.18 every location is tried, and those in the preference list must all pass."""
        if self.minor < (3, 18):
            return await self._valid(self._preference[0])
        passed = {name: await self._valid(name) for name in self._locations}
        return all(passed[name] for name in self._preference)

    async def _valid(self, name: str) -> bool:
        """PUT `_verify`, then HEAD it: never read back. The first time HEAD bucket goes before."""
        location = self._locations[name]
        key = f"/{location.prefix}/_verify"
        if name not in self._known and not await self._ask(location, "HEAD", ""):
            return False
        self._known.add(name)
        put = await self._ask(location, "PUT", key, b"testing 123")
        return put and await self._ask(location, "HEAD", key)

    async def _ask(self, location: Location, method: str, key: str, body: bytes = b"") -> bool:
        url = location.url + key
        for last in range(5):
            if last:
                await asyncio.sleep(random.random() * 2 ** (last - 1) * self._pace)
            keys, digest = Keys(location.key_id, location.secret), sha256(body).hexdigest()
            now = datetime.now(UTC)
            sse = SSE if location.sse else {}
            headers = sign(method, url, sse, digest, keys, "us-east-1", now)
            try:
                async with self._client.request(method, url, data=body, headers=headers) as said:
                    if said.status not in RETRIED:
                        return said.status < 300
            except (aiohttp.ClientError, TimeoutError):
                continue
        return False


def told(body: dict[str, object], status: int = 200) -> web.Response:
    return web.Response(text=json.dumps(body), status=status, content_type="application/json")


def page(status: int) -> web.Response:
    text = f"<html><head><title>{status}</title></head><body><h1>{status}</h1>nginx</body></html>"
    return web.Response(text=text, status=status, content_type="text/html")
