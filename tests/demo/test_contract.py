"""The imitation nameserver under the suite that the real ones pass, by the real adapter."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, cast

from gslb.demo.nameserver import Nameserver
from gslb.wire.dns import parse_server
from tests.backends.nameservers import GRANTED, RECORDS, SECRET, ZONE, Running
from tests.backends.test_rfc2136 import Common


@asynccontextmanager
async def imitation(folder: Path) -> AsyncIterator[Running]:
    may = tuple(f"{name}.geo.test" for name in (*GRANTED, "_gslb"))
    async with Nameserver(
        "geo.test", ZONE + RECORDS, {"gslb": SECRET}, may={"gslb": may}
    ) as server:
        address = parse_server(f"{server.address}:{server.port}")
        yield Running(address, cast(Any, None), folder)  # no process: nothing here ends it


class TestImitation(Common):
    """All that holds for BIND, Knot and PowerDNS holds here."""

    start = imitation
