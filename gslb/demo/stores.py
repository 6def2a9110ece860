"""An imitation S3 store: it keeps objects, verifies signatures, and can be broken.

After https://docs.aws.amazon.com/AmazonS3/latest/API/sig-v4-header-based-auth.html
"""

import hashlib
import hmac
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Self
from urllib.parse import unquote
from xml.sax.saxutils import escape

from aiohttp import web

from gslb.demo.door import FAULTS, Breakable, Door
from gslb.wire.credentials import Keys
from gslb.wire.sigv4 import sign

STORE_FAULTS = FAULTS | {"500", "503", "403", "404", "507", "lost-writes", "failing-reads", "half"}
SKEW_MAX_S = 900.0
AUTHORIZATION = (
    r"AWS4-HMAC-SHA256 Credential=([^/]+)/\d{8}/([^/]+)/s3/aws4_request, *"
    r"SignedHeaders=([^,]+), *Signature=\w+"
)
XMLNS = "http://s3.amazonaws.com/doc/2006-03-01/"
STATUSES = {
    "NoSuchBucket": 404,
    "NoSuchKey": 404,
    "AccessDenied": 403,
    "SignatureDoesNotMatch": 403,
    "RequestTimeTooSkewed": 403,
    "InvalidAccessKeyId": 403,
    "XAmzContentSHA256Mismatch": 400,
    "MethodNotAllowed": 405,
    "SlowDown": 503,
    "InternalError": 500,
    "XMinioStorageFull": 507,
}


class Refused(Exception):
    """The store answers with an S3 error of this code."""


class Store(Breakable):
    """One bucket behind two doors: `url` for everybody, `path_url` for the controller only.

    `keys` are access key ids with their secrets; the fault 403 refuses only `controller_key`.
    `path` breaks the controller's way alone. `door`: address and slow_s of both doors.
    """

    def __init__(
        self,
        keys: Mapping[str, str],
        *,
        controller_key: str = "",
        bucket: str = "quay",
        port: int = 0,
        path_port: int = 0,
        **door: Any,
    ) -> None:
        super().__init__("a store", STORE_FAULTS, self._break)
        self.path = Breakable("a path", FAULTS, self._break)
        self.keys, self.controller_key, self.bucket = dict(keys), controller_key, bucket
        self.objects: dict[str, bytes] = {}
        self.asked = 0
        self._doors = [Door(self._answer, port=at, **door) for at in (port, path_port)]

    @property
    def url(self) -> str:
        return f"{self._doors[0].url}/{self.bucket}"

    @property
    def path_url(self) -> str:
        return f"{self._doors[1].url}/{self.bucket}"

    async def __aenter__(self) -> Self:
        for door in self._doors:
            await door.__aenter__()
        return self

    async def __aexit__(self, *_: object) -> None:
        for door in self._doors:
            await door.__aexit__()

    async def _break(self) -> None:
        await self._doors[0].set_fault(self.fault)
        await self._doors[1].set_fault(self.path.fault or self.fault)

    async def _answer(self, request: web.BaseRequest) -> web.StreamResponse:
        self.asked += 1
        body = await request.read()
        try:
            self._fail(request)
            verify(request, body, self.keys)
            bucket, _, key = unquote(request.raw_path.partition("?")[0])[1:].partition("/")
            if bucket != self.bucket:
                raise Refused("NoSuchBucket")
            return self._object(request.method, key, body) if key else self._bucket(request)
        except Refused as refused:
            code = str(refused)
            text = f"<Error><Code>{code}</Code><Message>{code}</Message></Error>"
            return web.Response(
                status=STATUSES[code],
                text=f'<?xml version="1.0" encoding="UTF-8"?>\n{text}',
                content_type="application/xml",
            )

    def _fail(self, request: web.BaseRequest) -> None:
        """Raises Refused as the fault that is on wants it."""
        asker = re.search("Credential=([^/]*)/", request.headers.get("Authorization", ""))
        match self.fault:
            case "500":
                raise Refused("InternalError")
            case "503":
                raise Refused("SlowDown")
            case "404":
                raise Refused("NoSuchBucket")
            case "403" if asker and asker[1] == self.controller_key:
                raise Refused("AccessDenied")
            case "507" if request.method == "PUT":
                raise Refused("XMinioStorageFull")
            case "failing-reads" if request.method == "GET":
                raise Refused("InternalError")
            case "half" if self.asked % 2:
                raise Refused("InternalError")

    def _object(self, method: str, key: str, body: bytes) -> web.Response:
        if method == "PUT":
            self.objects[key] = body
            if self.fault == "lost-writes":
                del self.objects[key]
            return web.Response(headers={"ETag": etag(body)})
        if method == "DELETE":
            self.objects.pop(key, None)
            return web.Response(status=204)
        if method not in ("GET", "HEAD"):
            raise Refused("MethodNotAllowed")
        if key not in self.objects:
            raise Refused("NoSuchKey")
        kept = self.objects[key]
        return web.Response(
            body=kept, headers={"ETag": etag(kept)}, content_type="application/octet-stream"
        )

    def _bucket(self, request: web.BaseRequest) -> web.Response:
        """HEAD bucket, and LIST as in version 2 (one page, no delimiter)."""
        if request.method not in ("GET", "HEAD"):
            raise Refused("MethodNotAllowed")
        prefix, most = request.query.get("prefix", ""), int(request.query.get("max-keys", 1000))
        found = sorted(key for key in self.objects if key.startswith(prefix))
        rows = "".join(
            f"<Contents><Key>{escape(key)}</Key><Size>{len(self.objects[key])}</Size></Contents>"
            for key in found[:most]
        )
        text = (
            f'<?xml version="1.0" encoding="UTF-8"?>\n<ListBucketResult xmlns="{XMLNS}">'
            f"<Name>{self.bucket}</Name><Prefix>{escape(prefix)}</Prefix>"
            f"<KeyCount>{len(found[:most])}</KeyCount><MaxKeys>{most}</MaxKeys>"
            f"<IsTruncated>{str(len(found) > most).lower()}</IsTruncated>{rows}</ListBucketResult>"
        )
        return web.Response(text=text, content_type="application/xml")


def etag(body: bytes) -> str:
    return f'"{hashlib.md5(body, usedforsecurity=False).hexdigest()}"'


def verify(request: web.BaseRequest, body: bytes, keys: Mapping[str, str]) -> None:
    """Raises Refused unless the request is signed (SigV4, in the header) by one of `keys`."""
    signed = re.fullmatch(AUTHORIZATION, request.headers.get("Authorization", ""))
    if not signed:
        raise Refused("AccessDenied")
    key_id, region, names = signed.groups()
    if key_id not in keys:
        raise Refused("InvalidAccessKeyId")
    try:
        stamp = request.headers.get("x-amz-date", "")
        at = datetime.strptime(stamp, "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
    except ValueError:
        raise Refused("AccessDenied") from None
    if abs((datetime.now(UTC) - at).total_seconds()) > SKEW_MAX_S:
        raise Refused("RequestTimeTooSkewed")
    digest = request.headers.get("x-amz-content-sha256", "")
    url = f"{request.scheme}://{request.host}{request.raw_path}"
    headers = {n: request.headers.get(n, "") for n in names.split(";") if n != "host"}
    pair = Keys(key_id, keys[key_id])
    wanted = sign(request.method, url, headers, digest, pair, region, at)["Authorization"]
    # As a whole: who signs another day, or without the host, writes another scope or other names.
    if not hmac.compare_digest(re.sub(", *", ",", wanted), re.sub(", *", ",", signed[0])):
        raise Refused("SignatureDoesNotMatch")
    if digest not in ("UNSIGNED-PAYLOAD", hashlib.sha256(body).hexdigest()):
        raise Refused("XAmzContentSHA256Mismatch")
