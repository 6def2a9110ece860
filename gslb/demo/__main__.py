"""One imitation as a process of its own: `python -m gslb.demo store|site|nameserver JSON`.

JSON holds the arguments of Store, QuaySite or Nameserver. It says `ready`, its URL and (a store)
that of the controller's way once it listens, takes a line from its standard input for each change
(`hang`, `mend`, a store also `path hang`, `path mend`), says `done`, and ends with that input.
"""

import asyncio
import json
import ssl
import sys
from typing import Any

from gslb.demo.nameserver import Nameserver
from gslb.demo.sites import Location, QuaySite
from gslb.demo.stores import Store


def build(kind: str, given: dict[str, Any]) -> Store | QuaySite | Nameserver:
    if kind == "nameserver":
        return Nameserver(**given)
    if pair := given.pop("tls", None):
        given["tls"] = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        given["tls"].load_cert_chain(*pair)
    if kind == "store":
        return Store(**given)
    given["locations"] = {name: Location(**at) for name, at in given["locations"].items()}
    return QuaySite(**given)


def say(*words: str) -> None:
    sys.stdout.write(" ".join(words) + "\n")
    sys.stdout.flush()


async def run(kind: str, given: dict[str, Any]) -> None:
    lines = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(lines), sys.stdin
    )
    async with build(kind, given) as imitation:
        say("ready", imitation.url, getattr(imitation, "path_url", ""))
        while line := await lines.readline():
            part, _, fault = line.decode().strip().rpartition(" ")
            broken: Any = getattr(imitation, part) if part else imitation
            await broken.set_fault(None if fault == "mend" else fault)
            say("done")


if __name__ == "__main__":
    asyncio.run(run(sys.argv[1], json.loads(sys.argv[2])))
