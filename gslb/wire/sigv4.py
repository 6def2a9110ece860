"""AWS Signature Version 4 (docs.aws.amazon.com, "Create a signed AWS API request")."""

import hashlib
import hmac
from collections.abc import Mapping
from datetime import datetime
from functools import lru_cache
from posixpath import normpath
from urllib.parse import quote, urlsplit

from gslb.wire.credentials import Keys

UNSIGNED = frozenset({"expect", "transfer-encoding", "user-agent", "x-amzn-trace-id"})
ALGORITHM = "AWS4-HMAC-SHA256"


def sign(
    method: str,
    url: str,
    headers: Mapping[str, str],
    body_sha256: str,
    credentials: Keys,
    region: str,
    service: str,
    at: datetime,
) -> dict[str, str]:
    """The headers to send: those given, and what signs them. `at` is in UTC.

    The URL's path and query must be encoded as they will be sent. `body_sha256` is in hex, or
    `UNSIGNED-PAYLOAD`. Host is signed, and left to the client to send.
    """
    signed = dict(headers)
    signed["X-Amz-Date"] = at.strftime("%Y%m%dT%H%M%SZ")
    if service == "s3":
        signed["X-Amz-Content-SHA256"] = body_sha256
    if credentials.token:
        signed["X-Amz-Security-Token"] = credentials.token
    named = {
        name.lower(): " ".join(value.split())
        for name, value in {"Host": _host(url), **signed}.items()
        if name.lower() not in UNSIGNED
    }
    names = ";".join(sorted(named))
    canonical = "\n".join(
        (
            method.upper(),
            _path(url, service),
            _query(url),
            *(f"{name}:{named[name]}" for name in sorted(named)),
            "",
            names,
            body_sha256,
        )
    )
    scope = f"{at:%Y%m%d}/{region}/{service}/aws4_request"
    digest = hashlib.sha256(canonical.encode()).hexdigest()
    text = f"{ALGORITHM}\n{signed['X-Amz-Date']}\n{scope}\n{digest}"
    key = _day_key(credentials.secret, f"{at:%Y%m%d}", region, service)
    signature = hmac.new(key, text.encode(), hashlib.sha256).hexdigest()
    signed["Authorization"] = (
        f"{ALGORITHM} Credential={credentials.access}/{scope}, "
        f"SignedHeaders={names}, Signature={signature}"
    )
    return signed


@lru_cache(maxsize=256)
def _day_key(secret: str, day: str, region: str, service: str) -> bytes:
    key = f"AWS4{secret}".encode()
    for part in (day, region, service, "aws4_request"):
        key = hmac.new(key, part.encode(), hashlib.sha256).digest()
    return key


def _host(url: str) -> str:
    parts = urlsplit(url)
    default = {"http": 80, "https": 443}.get(parts.scheme)
    host = parts.hostname or ""
    bare = f"[{host}]" if ":" in host else host
    return bare if parts.port in (None, default) else f"{bare}:{parts.port}"


def _path(url: str, service: str) -> str:
    path = urlsplit(url).path or "/"
    if service == "s3":  # signs the path as it is sent; every other service encodes it once more
        return path
    clean = normpath(path)
    clean = "/" + clean.lstrip("/") + ("/" if path.endswith("/") and clean.strip("/") else "")
    return quote(clean, safe="/~")


def _query(url: str) -> str:
    pairs = (part.partition("=") for part in urlsplit(url).query.split("&") if part)
    return "&".join(f"{name}={value}" for name, value in sorted((n, v) for n, _, v in pairs))
