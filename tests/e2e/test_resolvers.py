"""A change on its way to clients: a real BIND that caches, and a resolver where nobody listens."""

import asyncio
import json
import os
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.backends.nameservers import running
from tests.e2e.processes import SERVICE, Place, opened
from tests.kit import free_port, need, until

pytestmark = pytest.mark.real
TTL_S, LONG_TTL_S = 12, 90


async def gslb(place: Place, *arguments: str) -> tuple[int, str, str]:
    """One command, as a process of its own: exit code, stdout, stderr."""
    command = (sys.executable, "-m", "gslb", *arguments)
    env = os.environ | {
        "GSLB_URL": f"unix:{place.folder / 'api.sock'}",
        "PYTHONUTF8": "1",
        "COLUMNS": "300",
    }
    process = await asyncio.create_subprocess_exec(
        *command, env=env, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    out, err = await process.communicate()
    assert process.returncode is not None
    return process.returncode, out.decode(), err.decode()


@pytest.fixture
async def place(tmp_path: Path, request: pytest.FixtureRequest) -> AsyncIterator[Place]:
    """Two resolvers: BIND, which keeps what it is told, and one that is not there."""
    port, absent, folder = free_port(), free_port(), tmp_path / "resolver"
    ttl_s = getattr(request, "param", TTL_S)
    more = f"profile: fast\ntiming: {{ttl: {ttl_s}s, quiet: 2s, block: 0s}}\n"
    more += f'resolvers: ["127.0.0.1:{port}", "127.0.0.1:{absent}"]\n'
    async with opened(tmp_path, more) as found:
        folder.mkdir()
        (folder / "named.conf").write_text(
            f"""options {{ directory "{folder}"; pid-file none; session-keyfile "{folder}/session";
  listen-on port {port} {{ 127.0.0.1; }}; listen-on-v6 {{ none; }};
  recursion yes; dnssec-validation no; qname-minimization off; empty-zones-enable no;
  forward only; forwarders {{ 127.0.0.1 port {found.watch.port}; }}; }};
controls {{ }};
zone "geo.test" {{ type primary; file "z.db"; }};
"""
        )
        (folder / "z.db").write_text("$TTL 5\n@ SOA ns h 1 60 60 600 5\n@ NS ns\nns A 127.0.0.1\n")
        command = (need("named"), "-c", str(folder / "named.conf"), "-f", "-n", "1")
        async with running(folder, port, *command):
            await found.controller.start()
            await found.is_answered("fra", "iad", limit_s=60.0)
            yield found


async def asked(place: Place, least_s: int) -> None:
    """A client of BIND's asks: it has the answer, and keeps it for at least so long."""
    port = (await resolvers(place))[0].rpartition(":")[2]

    async def is_new() -> bool:
        dig = (need("dig"), "@127.0.0.1", "-p", port, "+noall", "+answer", SERVICE, "A")
        process = await asyncio.create_subprocess_exec(*dig, stdout=asyncio.subprocess.PIPE)
        out, _ = await process.communicate()
        return bool(out.split()) and int(out.split()[1]) >= least_s

    await until(is_new, 40.0, every_s=0.2, what="BIND forwards, and has it anew")


async def resolvers(place: Place) -> list[str]:
    line = next(x for x in place.controller.config.read_text().splitlines() if "resolvers" in x)
    found: list[str] = json.loads(line.partition(": ")[2])
    return found


async def test_a_drain_waits_for_the_cache_of_a_resolver_and_not_for_a_silent_one(
    place: Place,
) -> None:
    bind, absent = await resolvers(place)
    await asked(place, TTL_S - 1)
    words = ("drain", "fra", "--reason", "disk swap", "--yes", "--wait=60s")
    code, out, err = await gslb(place, *words)
    assert (code, out.startswith("✓ fra is out.")) == (0, True), err + place.tail
    lines = [" ".join(line.split()[:-2]) for line in err.splitlines() if line.startswith("  ")]
    assert "dns read back" in lines
    assert lines[-1] == "seen 1 of 2 resolvers answer without fra"
    # While BIND had the old answer, it was said so.
    assert "seen 0 of 2 resolvers answer without fra" in lines
    code, told, _ = await gslb(place, "explain", "fra")
    (line,) = [x for x in told.splitlines() if "resolvers answer" in x]
    assert line.startswith("6 seen      1 of 2 resolvers answer without fra; ")
    assert f"{absent} does not answer" in line
    assert bind not in line
    # The silent one is asked until the TTL and a margin are over: then it is told, and kept.
    await until(lambda: place.controller.said("seen ", "1 of 2 resolvers answer without fra"), 40.0)
    code, told, err = await gslb(place, "report", "--since", "1h", "-o", "json")
    first, change = json.loads(told)["changes"]
    assert first["change"] == f"{SERVICE} + fra + iad"
    assert change["change"] == f"{SERVICE} − fra"
    assert change["by"].startswith("person:")
    assert (change["shown"], change["resolvers"], change["failover"]) == (1, 2, False)
    assert set(change["took"]) == {"total", "saved", "written", "read_back", "seen"}
    assert sum(change["took"][k] for k in ("saved", "written", "read_back")) == pytest.approx(
        change["took"]["total"], abs=0.01
    )


@pytest.mark.parametrize("place", [LONG_TTL_S], indirect=True)
async def test_a_wait_that_is_over_says_which_resolver_still_has_it(place: Place) -> None:
    bind, _ = await resolvers(place)
    await asked(place, LONG_TTL_S // 2)
    words = ("drain", "fra", "--reason", "disk swap", "--yes", "--wait=15s")
    code, _, err = await gslb(place, *words)
    assert code == 7, err
    last = err.splitlines()[-1]
    assert last.startswith("… still running: 0 of 2 resolvers answer without fra; ")
    if f"{bind} still has" in last:  # else it was not asked yet
        assert f"{bind} still has 127.0.0.21, TTL " in last
    assert "id o-1." in last
    _, told, _ = await gslb(place, "status")
    assert "of 2 resolvers answer without fra; " in told


async def test_a_failover_carries_its_stages_from_the_first_fail_on(place: Place) -> None:
    await place.stores["fra"].set_fault("500")
    await place.is_answered("iad")
    await until(lambda: place.controller.said("applied "), 20.0)

    async def reported() -> list[dict[str, dict[str, float]]]:
        _, told, _ = await gslb(place, "report", "--since", "1h", "-o", "json")
        changes: list[dict[str, dict[str, float]]] = json.loads(told)["changes"]
        return changes

    _, change = await reported()
    assert change["failover"]
    assert {"verdict", "decided", "saved", "written", "read_back"} <= set(change["took"])
    assert change["took"]["total"] > change["took"]["verdict"] > 0
    _, told, _ = await gslb(place, "report", "--objective", "120s")
    assert (
        "2 changes since 30d (times in s); 1 of 1 failover within 120 s of the first fail." in told
    )
