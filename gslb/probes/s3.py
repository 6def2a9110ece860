"""A store that speaks S3: write, read back, delete; read the sentinel; list (evidence.md 2.2).

Writing and reading are two chains of steps, side by side: each ends with its own first failed
step, so a store that takes no writes is told from one that is dead, and a hung one takes no longer
to be seen for the two. A refused DELETE (object lock) fails nothing. A finding's latency is that
of its slowest step, because a step is what `timeout_s` bounds.
"""

import asyncio
import hashlib
import os
import re
from collections import deque
from collections.abc import Awaitable, Callable
from contextlib import nullcontext
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import count
from pathlib import Path
from ssl import SSLContext
from urllib.parse import quote

from pydantic import BaseModel, Field

from gslb.domain.errors import WireError
from gslb.domain.health import Cause, Finding, Outcome, Seen
from gslb.ports import Adapter
from gslb.wire import Wire
from gslb.wire.credentials import Keys, Secret, ambient_keys, aws_keys
from gslb.wire.http import Reply, Request
from gslb.wire.sigv4 import sign
from gslb.wire.tls import client_context

SENTINEL_SIZE = 1024
OVERLOADED = frozenset(
    {"SlowDown", "SlowDownRead", "SlowDownWrite", "ThrottlingException", "RequestLimitExceeded"}
)
OUR_KEYS = frozenset(
    {"AccessDenied", "AuthorizationHeaderMalformed", "ExpiredToken", "InvalidToken"}
    | {"InvalidAccessKeyId", "SignatureDoesNotMatch", "TokenRefreshRequired"}
)


class Settings(BaseModel, frozen=True, extra="forbid", hide_input_in_errors=True):
    """Where the bucket is, whose key is used, and below which prefix our objects lie."""

    endpoint: str = Field(pattern=r"^https?://[^/?#@\s]+$")
    bucket: str = Field(pattern=r"^[^/?#@\s]+$")
    prefix: str = ""
    region: str = "us-east-1"
    keys: Secret | None = None
    ca: Path | None = None
    path_style: bool = True
    timeout_s: float = Field(2.0, gt=0, le=600)
    cluster: str
    owner: str
    list: bool = True

    @property
    def sentinel(self) -> str:
        """The name of its sentinel in `Wire.sentinels`: bucket URL and prefix."""
        return _joined(self.endpoint, self.bucket, self.prefix.strip("/"))


@dataclass(slots=True)
class Chain:
    """Steps of one run, one after another, with what they need."""

    keys: Keys
    tls: SSLContext | None
    steps: list[tuple[str, float]] = field(default_factory=list)

    @property
    def slowest_s(self) -> float:
        return max((took_s for _, took_s in self.steps), default=0.0)


class S3:
    """One bucket, seen through our own objects in it."""

    def __init__(self, settings: Settings, wire: Wire) -> None:
        self._settings, self._wire = settings, wire
        self._bucket_url = f"{settings.endpoint}/{settings.bucket}"
        if not settings.path_style:
            self._bucket_url = settings.endpoint.replace("://", f"://{settings.bucket}.")
        self._folder = _joined(settings.prefix.strip("/"), "gslb", settings.cluster)
        # Nobody else's, not even of a `gslb check` beside us or of a machine cloned from ours: who
        # writes over another's object makes a sound store look as if it lost what it was given.
        self._object = f"probe-{settings.owner}-{os.urandom(4).hex()}"
        self._busy: set[int] = set()
        self._sent: deque[bytes] = deque(maxlen=64)

    async def run(self) -> Seen:
        """Both chains; `store.list` only where reading passes."""
        aspects = ("store.write", "store.read")
        try:
            secret = self._settings.keys
            keys = aws_keys(secret) if secret else await ambient_keys()
            secure = self._settings.endpoint.startswith("https:")
            tls = client_context(self._settings.ca) if secure else None
        except WireError as error:
            trouble = Cause(error.cause), str(error)
            return Seen(findings=tuple(Finding.of(aspect, 0.0, *trouble) for aspect in aspects))
        known = self._wire.sentinels.get(self._settings.sentinel)
        chains = [Chain(keys, tls), Chain(keys, tls), Chain(keys, tls)]
        async with asyncio.TaskGroup() as both:
            write = both.create_task(self._judge("store.write", self._write, chains[0]))
            read = both.create_task(self._judge("store.read", self._read, chains[1]))
        findings = [write.result(), read.result()]
        if self._settings.list and findings[1].outcome is Outcome.PASS:
            findings.append(await self._judge("store.list", self._list, chains[2]))
        now = self._wire.sentinels.get(self._settings.sentinel)
        return Seen(
            findings=tuple(findings),
            steps=tuple(step for chain in chains for step in chain.steps),
            sentinel=now if known is None else None,
        )

    async def _judge(
        self, aspect: str, steps: Callable[[Chain], Awaitable[None]], chain: Chain
    ) -> Finding:
        try:
            await steps(chain)
        except WireError as error:
            return Finding.of(aspect, chain.slowest_s, Cause(error.cause), str(error))
        return Finding.of(aspect, chain.slowest_s)

    async def _write(self, chain: Chain) -> None:
        # Runs may overlap while one hangs: each has an object of its own, of a few in all.
        slot = next(n for n in count() if n not in self._busy)
        self._busy.add(slot)
        key = f"{self._folder}/{self._object}" + (f".{slot}" if slot else "")
        content = os.urandom(16).hex().encode()
        try:
            _expect(await self._step(chain, "put", "PUT", key, content), "put")
            await self._compare(chain, key, content)
            reply = await self._step(chain, "delete", "DELETE", key)
            if reply.status >= 500 or reply.status == 429:
                _expect(reply, "delete")
        finally:
            self._busy.discard(slot)
            self._sent.append(content)

    async def _compare(self, chain: Chain, key: str, content: bytes) -> None:
        reply = await self._step(chain, "get", "GET", key)
        if reply.status >= 500:
            # Reading is the other chain's business: HEAD says whether the write was kept.
            reply = await self._step(chain, "head", "HEAD", key)
            if reply.status == 200 and reply.headers.get("content-length") == str(len(content)):
                return
        if reply.status == 404 and _code(reply) != "NoSuchBucket":
            raise WireError(Cause.IO, "get: what was written is not there")
        _expect(reply, "get")
        if reply.body in self._sent:  # a store that hung carries out what we gave up long ago
            raise WireError(Cause.TIMEOUT, "get: an earlier write of ours came late")
        if reply.body != content:
            raise WireError(Cause.IO, "get: what was written came back changed")

    async def _read(self, chain: Chain) -> None:
        sentinels, name = self._wire.sentinels, self._settings.sentinel
        key = f"{self._folder}/sentinel"
        reply = await self._step(chain, "sentinel", "GET", key)
        known = sentinels.get(name)
        if reply.status == 404 and _code(reply) != "NoSuchBucket":
            if known:
                raise WireError(Cause.MISSING, "sentinel: the object that we once wrote is gone")
            # The same from every replica, so that two that write it at once agree.
            seed = f"{self._settings.cluster} {name}".encode()
            content = hashlib.shake_256(seed).digest(SENTINEL_SIZE)
            _expect(await self._step(chain, "sentinel put", "PUT", key, content), "sentinel put")
            sentinels.setdefault(name, hashlib.sha256(content).hexdigest())
            return
        _expect(reply, "sentinel")
        if reply.truncated or not reply.body:
            raise WireError(Cause.MISMATCH, "sentinel: empty, or larger than 64 KiB")
        digest = hashlib.sha256(reply.body).hexdigest()
        if sentinels.setdefault(name, digest) != digest:
            raise WireError(Cause.MISMATCH, "sentinel: another content than what we once wrote")

    async def _list(self, chain: Chain) -> None:
        reply = await self._step(chain, "list", "GET", "")
        _expect(reply, "list")
        if b"<ListBucketResult" not in reply.body:
            raise WireError(Cause.MISMATCH, "list: the answer is no listing")

    async def _step(
        self, chain: Chain, name: str, method: str, key: str, body: bytes | None = None
    ) -> Reply:
        """One signed request within `timeout_s`; the first of a chain on a new connection."""
        url = f"{self._bucket_url}/{quote(key, safe='/-._~')}"
        if not key:
            prefix = quote(f"{self._folder}/", safe="-._~")
            url = f"{self._bucket_url}?list-type=2&max-keys=1&prefix={prefix}"
            url = url if self._settings.path_style else url.replace("?", "/?", 1)
        digest = hashlib.sha256(body or b"").hexdigest()
        now = datetime.now(UTC)
        headers = sign(method, url, {}, digest, chain.keys, self._settings.region, now)
        request = Request(
            method=method,
            url=url,
            headers=headers,
            body=body,
            timeout_s=self._settings.timeout_s,
            tls=chain.tls,
            fresh=not chain.steps,
        )
        begun_s = asyncio.get_running_loop().time()
        try:
            return await self._wire.http.ask(request)
        except WireError as error:
            raise WireError(error.cause, f"{name}: {error}") from error
        finally:
            chain.steps.append((name, asyncio.get_running_loop().time() - begun_s))


def _joined(*parts: str) -> str:
    return "/".join(filter(None, parts))


def _code(reply: Reply) -> str:
    found = re.search(rb"<Code>\s*(\w{1,64})\s*</Code>", reply.body)
    return found[1].decode() if found else ""


def _expect(reply: Reply, step: str) -> None:
    """Pass a 2xx; else raise what the answer says (evidence.md 2)."""
    if 200 <= reply.status < 300:
        return
    code = _code(reply)
    if code == "RequestTimeTooSkewed":
        cause = Cause.CLOCK
    elif code == "QuotaExceeded":  # Ceph says it with 403: full, not forbidden
        cause = Cause.IO
    elif reply.status in (401, 403) or code in OUR_KEYS:
        cause = Cause.DENIED
    elif reply.status == 429 or code in OVERLOADED:
        cause = Cause.OVERLOAD
    elif reply.status == 404:
        cause = Cause.MISSING
    else:
        cause = Cause.IO if reply.status >= 500 else Cause.MISMATCH
    raise WireError(cause, f"{step}: {reply.status} {code}".rstrip())


def open_s3(settings: Settings, wire: Wire) -> nullcontext[S3]:
    """Nothing is held beside the wire."""
    return nullcontext(S3(settings, wire))


ADAPTER = Adapter(kind="s3", settings=Settings, open=open_s3)
