"""Named points at which a test breaks the running process, as gofail does for etcd. For tests only.

Inert unless GSLB_FAULT_POINT named a file when the process was started; `gslb run` says so then.
Once that file says `POINT KIND [PASS]`, the PASSth passing of the point (default: the first) takes
the file away and does its KIND:

- `kill` and `stop`: SIGKILL, SIGSTOP; whoever stopped us makes us go on;
- `exception`: one that nobody expects, so the process ends (what is served stays served);
- `hang`: waits for ever; only the deadline of whoever called ends it.
"""

import asyncio
import logging
import os
import signal
from pathlib import Path

FILE = os.environ.get("GSLB_FAULT_POINT")


def warn() -> None:
    """Say it, should this process have points at which it can be broken."""
    if FILE:
        text = "GSLB_FAULT_POINT is set: what %s says breaks this process. For tests only"
        logging.getLogger("gslb").warning(text, FILE)


async def point(name: str) -> None:
    """Nothing, but for a test. Raises RuntimeError."""
    kind = _taken(name, Path(FILE)) if FILE else None
    if kind == "exception":
        raise RuntimeError(f"the fault point {name}")
    if kind == "hang":
        await asyncio.Event().wait()
    if kind is not None:
        os.kill(os.getpid(), {"kill": signal.SIGKILL, "stop": signal.SIGSTOP}[kind])


def _taken(name: str, armed: Path) -> str | None:
    """The kind of fault, when it is this point's turn."""
    wanted, kind, *rest = armed.read_text().split() if armed.exists() else ("", "")
    passes = int(rest[0]) if rest else 1
    if wanted != name:
        return None
    if passes > 1:
        armed.write_text(f"{name} {kind} {passes - 1}")
        return None
    armed.unlink()
    return kind
