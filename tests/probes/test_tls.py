"""The TLS probe against real TLS servers: right, ending soon, ended, of another name."""

import ssl
import subprocess
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from gslb.config.load import load
from gslb.controller.pacer import observations
from gslb.domain.errors import ConfigError
from gslb.domain.health import Finding, Seen
from gslb.domain.topology import Role, Scope, VantageName
from gslb.probes.tls import ADAPTER, Settings, open_probe
from gslb.wire import Wire
from gslb.wire.http import open_http
from gslb.wiring.parts import KINDS
from tests.kit import free_port, need
from tests.wire.servers import server, silent

OPENSSL = ("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256")
Made = Callable[[int, str], tuple[Path, ssl.SSLContext]]


@pytest.fixture
async def wire() -> AsyncIterator[Wire]:
    async with open_http(["127.0.0.0/8"]) as http:
        yield Wire(http=http)


def certified(folder: Path, days: int, begun: str = "") -> tuple[Path, ssl.SSLContext]:
    """A certificate for `quay.example` (and 127.0.0.1), made at another time if so wished."""
    at = (need("faketime"), begun) if begun else ()
    cert, key = folder / "cert.pem", folder / "key.pem"
    names = ("-addext", "subjectAltName=DNS:quay.example,IP:127.0.0.1", "-subj", "/CN=quay.example")
    out = ("-nodes", "-days", str(days), "-keyout", str(key), "-out", str(cert))
    subprocess.run([*at, *OPENSSL, *out, *names], check=True, capture_output=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(cert, key)
    return cert, context


async def look(wire: Wire, port: int, ca: Path | None, **more: object) -> list[str]:
    given = {"address": "127.0.0.1", "port": port, "ca": ca, "timeout_s": 5.0, **more}
    async with open_probe(Settings.model_validate(given), wire) as probe:
        return [said(finding) for finding in (await probe.run()).findings]


def said(finding: Finding) -> str:
    return f"{finding.aspect}: {finding.outcome} {finding.cause or ''} {finding.detail}".strip()


def test_the_adapter_is_named_as_its_file() -> None:
    assert (ADAPTER.kind, ADAPTER.settings, ADAPTER.open) == ("tls", Settings, open_probe)


async def test_a_right_certificate_passes_by_name_and_by_address(
    wire: Wire, tmp_path: Path
) -> None:
    ca, context = certified(tmp_path, 30)
    async with server(silent, tls=context) as port:
        for more in ({"server_name": "quay.example"}, {}):
            assert await look(wire, port, ca, **more) == ["tls: pass", "tls.expiry: pass"]


async def test_one_that_ends_soon_passes_and_says_when_it_ends(wire: Wire, tmp_path: Path) -> None:
    ca, context = certified(tmp_path, 9)
    async with server(silent, tls=context) as port:
        passed, ends = await look(wire, port, ca)
        later = await look(wire, port, ca, expires_within_s=8 * 86_400)
    assert passed == "tls: pass"
    assert ends.startswith("tls.expiry: fail tls the certificate ends in 9.0 d (")
    assert later == ["tls: pass", "tls.expiry: pass"]


@pytest.mark.real
async def test_one_that_has_ended_fails(wire: Wire, tmp_path: Path) -> None:
    ca, context = certified(tmp_path, 2, begun="10 days ago")
    async with server(silent, tls=context) as port:
        found = await look(wire, port, ca)
    assert found == ["tls: fail tls the certificate is not taken: certificate has expired"]


async def test_another_name_or_another_authority_fails(wire: Wire, tmp_path: Path) -> None:
    ca, context = certified(tmp_path, 30)
    async with server(silent, tls=context) as port:
        (other,) = await look(wire, port, ca, server_name="app.example")
        (own,) = await look(wire, port, None)
    assert other.startswith("tls: fail tls the certificate is not taken: Hostname mismatch")
    assert own == "tls: fail tls the certificate is not taken: self-signed certificate"


async def test_what_speaks_no_tls_or_nothing_at_all(wire: Wire, tmp_path: Path) -> None:
    ca, _ = certified(tmp_path, 30)

    async def plain(reader: object, writer: object) -> None:
        writer.write(b"220 hello\r\n" * 20)  # type: ignore[attr-defined]  # a StreamWriter
        await reader.read()  # type: ignore[attr-defined]  # a StreamReader

    async with server(plain) as port:
        (found,) = await look(wire, port, ca)
    assert found.startswith("tls: fail tls ")
    async with server(silent) as port:
        (found,) = await look(wire, port, ca, timeout_s=0.2)
    assert found == "tls: fail timeout no answer after 0.2 s"
    (found,) = await look(wire, free_port(), ca)
    assert found == "tls: fail refused connection refused"
    (found,) = await look(wire, free_port(), tmp_path / "absent.pem")
    assert found.startswith("tls: blind local the CA file ")


FILE = """\
limits: {min_sites: 1}
aspects: {edge: {scope: shared}}
sites:
  fra:
    address: 203.0.113.20
    probes:
      edge: {kind: tls, server_name: quay.example, expires_within: 21d, timeout: 1s}
      %s
  iad: {address: 198.51.100.20}
services:
  quay.example.com: {kind: quay}
backends:
  dns: {kind: rfc2136, server: 192.0.2.53, zone: example.com}
"""


def test_the_file_gives_it_a_name_and_its_end_an_aspect_that_only_degrades() -> None:
    topology = load(FILE % "door: {kind: tcp, port: 22}", KINDS).topology
    rows = {
        (a.name, a.role, a.scope)
        for p in topology.probes
        for a in p.aspects
        if "quay" not in a.base
    }
    assert rows == {
        ("edge", Role.DECIDES, Scope.SHARED),
        ("tls.expiry", Role.DEGRADES, Scope.OWN),
        ("door", Role.DECIDES, Scope.OWN),
    }


def test_several_certificates_at_one_site_end_each_by_its_own_name() -> None:
    text = FILE % "other: {kind: tls, port: 8443}"
    configuration = load(
        text.replace("{edge: {sc", "{tls.expiry: {role: ignore}, edge: {sc"), KINDS
    )
    aspects = {a.name: a.role for p in configuration.topology.probes for a in p.aspects}
    assert {aspects[f"tls.expiry@{n}"] for n in ("edge", "other")} == {Role.IGNORE}  # type: ignore[index]  # names


def test_what_it_finds_is_called_as_the_file_calls_it() -> None:
    topology = load(FILE % "door: {kind: tcp, port: 22}", KINDS).topology
    seen = Seen(findings=(Finding.of("tls"), Finding.of("tls.expiry")))
    spec = next(p for p in topology.probes if p.id == "fra/edge")
    found = observations(spec, VantageName("here"), seen, 1.0, 2.0)
    assert [o.aspect for o in found] == ["edge", "tls.expiry"]


@pytest.mark.parametrize(
    ("probe", "sentence"),
    [
        ("x: {kind: tls, sever_name: q}", "8:22: [E012] .sever_name: unknown key"),
        ("x: {kind: tls, expires_within: 14}", "8:38: [E013] .expires_within: 14"),
        ("x: {kind: tls, port: 0}", "8:28: [E014] .port: 0 does not fit"),
        ("x: {kind: tcp}", "8:7: [E010] .port: is missing"),
        ("x: {kind: tpc}", "8:17: [E020] .kind: unknown kind `tpc` (did you mean `tcp`?)"),
        ("x: {kind: dns}", "8:7: [E010] .name: is missing"),
        ("x: {kind: dns, name: a..b}", "8:28: [E011] .name: 'a..b' is no DNS name"),
        ("x: {kind: dns, name: a, type: AXFR}", "8:37: [E011] .type: "),
    ],
)  # fmt: skip
def test_what_cannot_be_meant_is_told_with_its_place(probe: str, sentence: str) -> None:
    with pytest.raises(ConfigError) as error:
        load(FILE % probe, KINDS)
    place, said = sentence.replace("[", "error[").split(" ", 1)
    code, words = said.split(" ", 1)
    told = f"gslb.yml:{place} {code} sites.fra.probes.x{words}"
    assert error.value.problems[0].startswith(told), error.value.problems
