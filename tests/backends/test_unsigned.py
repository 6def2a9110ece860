"""A reply that our key did not sign proves nothing, whatever it says."""

import asyncio
from pathlib import Path

import pytest

from gslb.backends.rfc2136 import Rfc2136, Settings
from gslb.domain.errors import BackendError
from tests.backends.contract import FIRST, plan
from tests.backends.nameservers import KEY
from tests.wire.listener import listening

NOERROR = b"\xa8\x00" + bytes(8)
"""Of an update, after its id: flags and four counts of 0."""


async def unsigned(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    size = int.from_bytes(await reader.readexactly(2))
    message = await reader.readexactly(size)
    reply = message[:2] + NOERROR
    writer.write(len(reply).to_bytes(2) + reply)
    await writer.drain()
    writer.close()


async def test_done_that_is_not_signed_is_not_done(tmp_path: Path) -> None:
    key = tmp_path / "key"
    key.write_text(KEY)
    key.chmod(0o600)
    async with listening(unsigned) as port:
        given = {"server": f"127.0.0.1:{port}", "zone": "geo.test", "tsig": f"file:{key}"}
        backend = Rfc2136(Settings.model_validate(given))
        with pytest.raises(BackendError, match="did not sign"):
            await backend.apply(plan(expects=None, leaves=FIRST))
