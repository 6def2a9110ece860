"""Does a port take connections at all?"""

from contextlib import nullcontext

from pydantic import BaseModel, Field

from gslb.domain.health import Finding
from gslb.ports import Adapter
from gslb.wire import Wire
from gslb.wire.stream import Once, connect


class Settings(BaseModel, frozen=True, extra="forbid"):
    """Where to connect; `timeout_s` is for all of it."""

    address: str = Field(min_length=1)
    port: int = Field(ge=1, le=65_535)
    timeout_s: float = Field(2.0, gt=0, le=600)


def open_probe(settings: Settings, wire: Wire) -> nullcontext[Once]:
    """`tcp`: a connection was made, or why not."""

    async def ask() -> tuple[Finding, ...]:
        await connect(wire, settings.address, settings.port)
        return (Finding.of("tcp"),)

    return nullcontext(Once("tcp", ask, settings.timeout_s))


ADAPTER = Adapter(kind="tcp", settings=Settings, open=open_probe)
