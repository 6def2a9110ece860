"""Does a reference target answer at all? A connection is proof enough."""

import asyncio


async def reaches(reference: str, timeout_s: float) -> bool:
    """`tcp://HOST:PORT`: was a TCP connection made within `timeout_s`?"""
    host, _, port = reference.removeprefix("tcp://").rpartition(":")
    try:
        async with asyncio.timeout(timeout_s):
            _, writer = await asyncio.open_connection(host.strip("[]"), int(port))
    except OSError:  # TimeoutError is one of them
        return False
    writer.close()
    return True
