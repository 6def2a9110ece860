"""A Quay site: its front by a cheap question, and its own word end to end (quay.md 1 and 5).

What a 503 means depends on who says it: with Quay's JSON, Quay is there and says what is wrong;
without, somebody in front says that nobody is. And slow is not down (evidence.md 4.3).
"""

import asyncio
import json
import re
from collections.abc import Mapping
from contextlib import nullcontext
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, Field

from gslb.domain.errors import WireError
from gslb.domain.health import Cause, CauseClass, Finding, Outcome, RegistryFacts, Seen
from gslb.ports import Adapter
from gslb.wire import Wire
from gslb.wire.http import NoAnswer, Reply, Request
from gslb.wire.tls import client_context

PARTS = ("storage", "database", "auth", "redis")


class Settings(BaseModel, frozen=True, extra="forbid"):
    """Where a site's front is, under which name it is asked, and for what."""

    part: Literal["front", "endtoend"]
    address: str = Field(min_length=1)
    port: int = Field(443, ge=1, le=65_535)
    name: str = Field(min_length=1)
    tls: bool = True
    ca: Path | None = None
    timeout_s: float = Field(2.0, gt=0, le=600)
    deadline_s: float = Field(65.0, gt=0, le=600)
    """Of endtoend, which takes a minute when another site's store hangs."""
    config_every_s: float = Field(15.0, gt=0)


class Site:
    """A Quay at one address, asked by its name, each time as a new client would."""

    def __init__(self, settings: Settings, wire: Wire) -> None:
        self._settings, self._wire = settings, wire

    async def ask(self, path: str, timeout_s: float) -> Reply:
        settings = self._settings
        name = f"[{settings.name}]" if ":" in settings.name else settings.name
        request = Request(
            url=f"{'https' if settings.tls else 'http'}://{name}:{settings.port}{path}",
            address=settings.address,
            tls=client_context(settings.ca) if settings.tls else None,
            timeout_s=timeout_s,
            fresh=True,
        )
        return await self._wire.http.ask(request)


class Front:
    """Is there a Quay that answers, and what does it say of this instance and of itself?"""

    def __init__(self, settings: Settings, wire: Wire) -> None:
        self._site, self._timeout_s = Site(settings, wire), settings.timeout_s
        self._config_every_s = settings.config_every_s
        self._config_at_s: float | None = None
        self._recovery = False

    async def run(self) -> Seen:
        """`quay.front`, `quay.instance`, and the registry's facts when they are due."""
        async with asyncio.TaskGroup() as both:
            looked = both.create_task(self._look())
            told = both.create_task(self._read_config())
        findings = looked.result()
        if self._recovery and findings[0].outcome is Outcome.PASS:
            text = "Quay is in account recovery mode: it serves no registry"
            findings = (_trouble("quay.front", Cause.MISMATCH, text), *findings[1:])
        return Seen(findings=findings, facts=told.result())

    async def _look(self) -> tuple[Finding, ...]:
        try:
            reply = await self._site.ask("/health/instance", self._timeout_s)
        except NoAnswer as error:
            slow = _trouble("quay.instance", Cause.SLOW, f"/health/instance: {error}")
            return (await self._without_dependencies(), slow)
        except WireError as error:
            return (_trouble("quay.front", Cause(error.cause), f"/health/instance: {error}"),)
        services = _services(reply)
        if services is None:
            return (_stranger(reply, "/health/instance"),)
        return (Finding.of("quay.front", reply.took_s), _instance(services, reply.took_s))

    async def _without_dependencies(self) -> Finding:
        """Instance waits for database and directory; the ping, or what a front serves, does not."""
        path = "/_internal_ping"
        try:
            reply = await self._site.ask(path, self._timeout_s)
            passes = reply.status == 200 and reply.body.strip() == b"true"
            if not passes:
                path = "/config"
                reply = await self._site.ask(path, self._timeout_s)
                passes = reply.status == 200 and _document(reply) is not None
        except WireError as error:
            return _trouble("quay.front", Cause(error.cause), f"{path}: {error}")
        if passes:
            return Finding.of("quay.front", reply.took_s)
        return _stranger(reply, path)

    async def _read_config(self) -> RegistryFacts | None:
        now_s = asyncio.get_running_loop().time()
        if self._config_at_s is not None and now_s < self._config_at_s + self._config_every_s:
            return None
        self._config_at_s = now_s
        try:
            reply = await self._site.ask("/config", self._timeout_s)
        except WireError:
            return None  # the front's finding says what is wrong
        config = _document(reply) if reply.status == 200 else None
        if config is None or "registry_state" not in config:
            return None
        self._recovery = config.get("account_recovery_mode") is True
        version = re.search(r"\d+\.\d+\S*", str(config.get("version_number") or ""))
        return RegistryFacts(
            version=version[0] if version else None,
            readonly=config["registry_state"] == "readonly",
        )


class Endtoend:
    """What Quay says of its store, database, directory and Redis. Only Quay's own JSON counts."""

    def __init__(self, settings: Settings, wire: Wire) -> None:
        self._site, self._deadline_s = Site(settings, wire), settings.deadline_s

    async def run(self) -> Seen:
        """One finding for each part; all blind when Quay itself did not say anything."""
        try:
            reply = await self._site.ask("/health/endtoend", self._deadline_s)
        except WireError as error:
            # Whether anybody is there at all is the front's question, so no fail stands here.
            cause = Cause(error.cause)
            return _blind(cause if cause.kind is CauseClass.BLIND else Cause.SLOW, str(error))
        services = _services(reply) or {}
        findings = [
            Finding.of(f"quay.{part}", reply.took_s)
            if services[part]
            else _trouble(f"quay.{part}", Cause.UNHEALTHY, f"{part}: false", reply.took_s)
            for part in PARTS
            if part in services
        ]
        if not findings:
            cause = Cause.DENIED if reply.status in (401, 403) else Cause.SLOW
            return _blind(cause, f"{reply.status} without Quay's JSON")
        return Seen(findings=tuple(findings))


def _document(reply: Reply) -> Mapping[str, Any] | None:
    try:
        document = json.loads(reply.body)
    except (ValueError, RecursionError):
        return None
    return document if isinstance(document, dict) else None


def _services(reply: Reply) -> Mapping[str, bool] | None:
    """`data.services` of Quay's health, whatever the status; None: this is not Quay's word."""
    stated = (_document(reply) or {}).get("data")
    services = stated.get("services") if isinstance(stated, dict) else None
    if not isinstance(services, dict) or not services:
        return None
    return services if all(isinstance(value, bool) for value in services.values()) else None


def _instance(services: Mapping[str, bool], latency_s: float) -> Finding:
    false = ", ".join(sorted(name[:40] for name, good in services.items() if not good)[:20])
    if false:
        return _trouble("quay.instance", Cause.UNHEALTHY, f"{false}: false", latency_s)
    return Finding.of("quay.instance", latency_s)


def _stranger(reply: Reply, path: str) -> Finding:
    """The front's finding when it was not Quay who answered."""
    html = "html" in reply.headers.get("content-type", "") or reply.body.lstrip()[:1] == b"<"
    if reply.status in (401, 403):
        cause = Cause.DENIED
    elif reply.status == 429:
        cause = Cause.OVERLOAD
    else:
        cause = Cause.GATEWAY if html or reply.status in (502, 503, 504) else Cause.MISMATCH
    text = f"{path}: {reply.status} without Quay's JSON"
    return _trouble("quay.front", cause, text, reply.took_s)


def _trouble(aspect: str, cause: Cause, detail: str, latency_s: float = 0.0) -> Finding:
    return Finding.of(aspect, latency_s, cause, detail)


def _blind(cause: Cause, detail: str) -> Seen:
    return Seen(findings=tuple(_trouble(f"quay.{part}", cause, detail) for part in PARTS))


def open_quay(settings: Settings, wire: Wire) -> nullcontext[Front | Endtoend]:
    """The part that the settings name."""
    return nullcontext((Front if settings.part == "front" else Endtoend)(settings, wire))


ADAPTER = Adapter(kind="quay", settings=Settings, open=open_quay)
