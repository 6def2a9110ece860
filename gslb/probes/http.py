"""Any HTTP endpoint: its status, its body, one value in its JSON."""

import json
import re
from contextlib import nullcontext
from pathlib import Path
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, Field

from gslb.domain.errors import WireError
from gslb.domain.health import Cause, Finding, Seen
from gslb.ports import Adapter
from gslb.wire import Wire
from gslb.wire.http import Reply, Request
from gslb.wire.tls import client_context


def _regex(text: str) -> str:
    try:
        re.compile(text)
    except re.error as error:
        raise ValueError(f"no regular expression: {error}") from None
    return text


class Settings(BaseModel, frozen=True, extra="forbid"):
    """Where and what to ask, and what the answer must be."""

    address: str = Field(min_length=1)
    port: int = Field(443, ge=1, le=65_535)
    name: str = Field(min_length=1)
    tls: bool = True
    ca: Path | None = None
    path: str = Field("/", pattern=r"^/[^\s#]*$")
    timeout_s: float = Field(2.0, gt=0, le=600)
    status: tuple[int, ...] = Field((200,), min_length=1)
    body: Annotated[str, AfterValidator(_regex)] | None = None
    """A regular expression that is found in the first 64 KiB."""
    pointer: str | None = Field(None, pattern=r"^(/([^~]|~[01])*)?$")
    """RFC 6901: a value that must be there, and be `equals` where that is given."""
    equals: Any = None
    follow: int = Field(0, ge=0, le=5)


class HttpProbe:
    """One question, one finding."""

    def __init__(self, settings: Settings, wire: Wire) -> None:
        self._settings, self._wire = settings, wire

    async def run(self) -> Seen:
        """`http`: pass, or why not."""
        settings = self._settings
        name = f"[{settings.name}]" if ":" in settings.name else settings.name
        latency_s = 0.0
        try:
            request = Request(
                url=f"{'https' if settings.tls else 'http'}://{name}:{settings.port}{settings.path}",
                address=settings.address,
                tls=client_context(settings.ca) if settings.tls else None,
                timeout_s=settings.timeout_s,
                follow=settings.follow,
                fresh=True,
            )
            reply = await self._wire.http.ask(request)
            latency_s = reply.took_s
            self._judge(reply)
        except WireError as error:
            cause, detail = Cause(error.cause), f"{settings.path}: {error}"
            return Seen(findings=(Finding.of("http", latency_s, cause, detail),))
        return Seen(findings=(Finding.of("http", latency_s),))

    def _judge(self, reply: Reply) -> None:
        settings = self._settings
        if reply.status not in settings.status:
            raise WireError(_cause(reply.status), f"status {reply.status}")
        text = reply.body.decode(errors="replace")
        if settings.body is not None and not re.search(settings.body, text):
            raise WireError(Cause.MISMATCH, "the body does not match")
        if settings.pointer is None:
            return
        try:
            found = pointed(json.loads(text), settings.pointer)
        except (ValueError, RecursionError, LookupError):
            raise WireError(Cause.MISMATCH, f"no JSON with {settings.pointer}") from None
        if "equals" in settings.model_fields_set and _differ(found, settings.equals):
            raise WireError(Cause.UNHEALTHY, f"{settings.pointer} is {json.dumps(found)[:80]}")


def pointed(document: Any, pointer: str) -> Any:
    """The value at an RFC 6901 pointer; LookupError or ValueError if there is none."""
    for token in pointer.split("/")[1:]:
        key = token.replace("~1", "/").replace("~0", "~")
        if isinstance(document, list):
            if not re.fullmatch(r"0|[1-9][0-9]{0,8}", key):
                raise LookupError(key)
            document = document[int(key)]
        elif isinstance(document, dict):
            document = document[key]
        else:
            raise LookupError(key)
    return document


def _differ(found: Any, wanted: Any) -> bool:
    return json.dumps(found, sort_keys=True) != json.dumps(wanted, sort_keys=True)


def _cause(status: int) -> Cause:
    """We send no credentials, so a 401 or 403 is the answer, and not ours to mend."""
    if status == 429:
        return Cause.OVERLOAD
    return Cause.GATEWAY if status in (502, 503, 504) else Cause.MISMATCH


def open_probe(settings: Settings, wire: Wire) -> nullcontext[HttpProbe]:
    """Nothing is held beside the wire."""
    return nullcontext(HttpProbe(settings, wire))


ADAPTER = Adapter(kind="http", settings=Settings, open=open_probe)
