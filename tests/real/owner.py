"""What the owner of a bucket asks of its store, signed, from inside a namespace if there is one."""

import asyncio
import hashlib
from datetime import UTC, datetime

from gslb.wire.credentials import Keys
from gslb.wire.sigv4 import sign
from tests.kit import need

KEY_ID, SECRET, BUCKET = "fake-id", "fake-secret", "quay"


def inside(namespace: str | None) -> tuple[str, ...]:
    """`ip netns exec` becomes the command: the process id is the command's own."""
    return ("ip", "netns", "exec", namespace) if namespace else ()


async def ask(namespace: str | None, method: str, url: str, content: str = "") -> tuple[str, str]:
    """The status of one signed request, and what came with it."""
    digest = hashlib.sha256(content.encode()).hexdigest()
    keys = Keys(KEY_ID, SECRET)
    signed = sign(method, url, {}, digest, keys, "us-east-1", datetime.now(UTC))
    options = [word for name, value in signed.items() for word in ("-H", f"{name}: {value}")]
    if content:
        options += ["--data-binary", content, "-H", "Content-Type:"]
    said = ("-s", "-w", "\n%{http_code}", "-m", "30", "-X", method)
    asked = await asyncio.create_subprocess_exec(
        *inside(namespace), need("curl"), *said, *options, url, stdout=asyncio.subprocess.PIPE
    )
    text = (await asked.communicate())[0].decode()
    body, _, status = text.rpartition("\n")
    return status, body


async def must(
    expected: str, namespace: str | None, method: str, url: str, content: str = ""
) -> str:
    """The body of an answer that has the status it must have."""
    status, body = await ask(namespace, method, url, content)
    assert status == expected, f"{method} {url}: {status} {body}"
    return body
