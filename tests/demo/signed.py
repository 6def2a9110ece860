"""Asking an imitation store with a request that the AWS SDK's own signer has signed."""

import asyncio
from dataclasses import dataclass

import aiohttp
from botocore.auth import S3SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from yarl import URL

CONTROLLER, QUAY = ("controller-key", "fake-secret-1"), ("quay-key", "fake-secret-2")
KEYS = dict([CONTROLLER, QUAY])


@dataclass(frozen=True)
class Said:
    status: int
    text: str


def headers(
    method: str, url: str, body: bytes = b"", key: tuple[str, str] = QUAY, region: str = "us-east-1"
) -> dict[str, str]:
    request = AWSRequest(method=method, url=url, data=body or None)
    S3SigV4Auth(Credentials(*key), "s3", region).add_auth(request)
    return dict(request.headers)


async def ask(
    method: str,
    url: str,
    body: bytes = b"",
    key: tuple[str, str] = QUAY,
    limit_s: float = 5.0,
    more: dict[str, str] | None = None,
    client: aiohttp.ClientSession | None = None,
) -> Said:
    """Raises what aiohttp raises; TimeoutError after `limit_s` in all."""
    sent = {**headers(method, url, body, key), **(more or {})}
    own = client or aiohttp.ClientSession()
    try:
        async with (
            asyncio.timeout(limit_s),
            own.request(method, URL(url, encoded=True), data=body or None, headers=sent) as said,
        ):
            return Said(said.status, (await said.read()).decode())
    finally:
        if own is not client:
            await own.close()
