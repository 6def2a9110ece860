"""AWS Signature Version 4 for S3 (docs.aws.amazon.com, "Create a signed AWS API request")."""

import hashlib
import hmac
from collections.abc import Mapping
from datetime import datetime
from functools import lru_cache
from urllib.parse import urlsplit

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
    at: datetime,
) -> dict[str, str]:
    """The headers to send: those given, and what signs them. `at` is in UTC.

    The URL's path and query must be encoded as they will be sent. `body_sha256` is in hex, or
    `UNSIGNED-PAYLOAD`. Host is signed, and left to the client to send.
    """
    stamp = at.strftime("%Y%m%dT%H%M%SZ")
    signed = {**headers, "X-Amz-Date": stamp, "X-Amz-Content-SHA256": body_sha256}
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
            urlsplit(url).path or "/",
            _query(url),
            *(f"{name}:{named[name]}" for name in sorted(named)),
            "",
            names,
            body_sha256,
        )
    )
    scope = f"{at:%Y%m%d}/{region}/s3/aws4_request"
    digest = hashlib.sha256(canonical.encode()).hexdigest()
    text = f"{ALGORITHM}\n{stamp}\n{scope}\n{digest}"
    signature = hmac.digest(_key(credentials.secret, scope), text.encode(), "sha256").hex()
    signed["Authorization"] = (
        f"{ALGORITHM} Credential={credentials.access}/{scope}, "
        f"SignedHeaders={names}, Signature={signature}"
    )
    return signed


@lru_cache(maxsize=256)
def _key(secret: str, scope: str) -> bytes:
    """Of one day."""
    key = f"AWS4{secret}".encode()
    for part in scope.split("/"):
        key = hmac.digest(key, part.encode(), "sha256")
    return key


def _host(url: str) -> str:
    parts = urlsplit(url)
    default = {"http": 80, "https": 443}.get(parts.scheme)
    host = parts.hostname or ""
    bare = f"[{host}]" if ":" in host else host
    return bare if parts.port in (None, default) else f"{bare}:{parts.port}"


def _query(url: str) -> str:
    pairs = (part.partition("=") for part in urlsplit(url).query.split("&") if part)
    return "&".join(f"{name}={value}" for name, value in sorted((n, v) for n, _, v in pairs))
