"""What a client meets before the first byte: handshake, authority, name, and how long they last."""

import ssl
import time
from contextlib import nullcontext
from pathlib import Path

from pydantic import BaseModel, Field

from gslb.domain.health import Cause, Finding
from gslb.ports import Adapter
from gslb.wire import Wire
from gslb.wire.stream import Once, connect

DAY_S = 86_400.0


class Settings(BaseModel, frozen=True, extra="forbid"):
    """Where to connect, as whom to know it, and from when on to warn of its end."""

    address: str = Field(min_length=1)
    port: int = Field(443, ge=1, le=65_535)
    server_name: str | None = Field(None, min_length=1)
    """SNI, and what the certificate must be for; else the address."""
    ca: Path | None = None
    expires_within_s: float = Field(14 * DAY_S, ge=0)
    timeout_s: float = Field(2.0, gt=0, le=600)


def open_probe(settings: Settings, wire: Wire) -> nullcontext[Once]:
    """`tls`: pass, or why not; and `tls.expiry`, which fails before it ends."""

    async def ask() -> tuple[Finding, ...]:
        name = settings.server_name or settings.address
        seen = await connect(wire, settings.address, settings.port, (settings.ca, name))
        left_s = ssl.cert_time_to_seconds(seen["notAfter"]) - time.time()
        text = f"the certificate ends in {left_s / DAY_S:.1f} d ({seen['notAfter']})"
        soon = left_s <= settings.expires_within_s
        ends = Finding.of("tls.expiry", 0.0, Cause.TLS if soon else None, text if soon else "")
        return Finding.of("tls"), ends

    return nullcontext(Once("tls", ask, settings.timeout_s))


ADAPTER = Adapter(kind="tls", settings=Settings, open=open_probe)
