"""Configurations of the lab's servers: BIND, NSD, HAProxy; and the certificates of the fronts."""

import base64
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from tests.kit import need

SERVICE, ZONE = "quay.lab", "lab"
QUAY_PORT = 8080
SECRET = base64.b64encode(b"fake-secret-fake-secret-fake-sec").decode()
TSIG_FILE = f'key "gslb" {{ algorithm hmac-sha256; secret "{SECRET}"; }};\n'


def secret(path: Path, text: str) -> None:
    path.touch(mode=0o600)
    path.write_text(text)


def write_zone(folder: Path, primary: str, secondary: str) -> None:
    """BIND, whose key may change one name and the generation; NSD, which takes it from there."""
    (folder / "nsd").mkdir()
    (folder / "lab.db").write_text(
        f"$TTL 5\n@ SOA ns1 host 1 5 2 600 5\n@ NS ns1\n@ NS ns2\n"
        f"ns1 A {primary}\nns2 A {secondary}\n"
    )
    (folder / "named.conf").write_text(
        f"""options {{ directory "{folder}"; pid-file none; session-keyfile "{folder}/session";
  listen-on port 53 {{ any; }}; listen-on-v6 {{ none; }}; recursion no; dnssec-validation no;
  notify-delay 0; }};
controls {{ }};
{TSIG_FILE}
zone "{ZONE}" {{ type primary; file "lab.db"; notify explicit; also-notify {{ {secondary}; }};
  allow-transfer {{ key "gslb"; }};
  update-policy {{ grant gslb name {SERVICE}. A AAAA; grant gslb name _gslb.{ZONE}. TXT; }}; }};
"""
    )
    (folder / "nsd.conf").write_text(
        f"""server:
  ip-address: {secondary}
  ip-address: 127.0.0.1
  server-count: 1
  zonesdir: "{folder}/nsd"
  pidfile: "{folder}/nsd/pid"
  xfrdfile: "{folder}/nsd/xfrd.state"
  xfrdir: "{folder}/nsd"
  zonelistfile: "{folder}/nsd/zone.list"
  database: ""
  username: ""
remote-control:
  control-enable: no
key:
  name: gslb
  algorithm: hmac-sha256
  secret: "{SECRET}"
zone:
  name: {ZONE}
  request-xfr: AXFR {primary} gslb
  allow-notify: {primary} NOKEY
"""
    )


HAPROXY = """global
  nbthread 1
  stats socket {folder}/{name}.sock mode 600 level admin
defaults
  mode {mode}
  timeout connect 2s
  timeout client 30s
  timeout server 30s
frontend f
  bind {bind}
  default_backend registry
backend registry
{servers}
"""


def write_front(folder: Path, site: str, address: str) -> str:
    """TLS ends here, as at a route or an ingress; Quay is behind. Gives the file."""
    path = folder / site / "front.cfg"
    bind = f"{address}:443 ssl crt {folder}/{site}/front.pem"
    line = f"  server quay {address}:{QUAY_PORT}"
    path.write_text(
        HAPROXY.format(folder=folder / site, name="front", mode="http", bind=bind, servers=line)
    )
    return str(path)


def write_edge(folder: Path, sites: Mapping[str, str]) -> None:
    """The balancer in front of all sites."""
    lines = "\n".join(f"  server {s}-1 {address}:443 weight 100" for s, address in sites.items())
    bind = "127.0.0.1:443"
    (folder / "edge.cfg").write_text(
        HAPROXY.format(folder=folder, name="edge", mode="tcp", bind=bind, servers=lines)
    )


def write_certificates(folder: Path, addresses: Sequence[str]) -> None:
    """A CA in `ca.pem`; of it `whole.pem`, `expired.pem`, and each site's `front.pem`."""
    openssl = need("openssl")
    new: tuple[str, ...] = (
        openssl,
        "req",
        "-x509",
        "-newkey",
        "ec",
        "-pkeyopt",
        "ec_paramgen_curve:P-256",
    )
    new += ("-nodes", "-days")
    ca, ca_key = str(folder / "ca.pem"), str(folder / "ca.key")
    early = (need("faketime"), "-f", "-9d")
    said((*early, *new, "30", "-subj", "/CN=own CA", "-keyout", ca_key, "-out", ca))
    names = ",".join([f"DNS:{SERVICE}", *(f"IP:{address}" for address in addresses)])
    leaf: tuple[str, ...] = (
        "-subj",
        f"/CN={SERVICE}",
        "-addext",
        f"subjectAltName={names}",
        "-CA",
        ca,
    )
    leaf += ("-CAkey", ca_key, "-addext", "basicConstraints=CA:FALSE")
    for name, days in (("whole", "20"), ("expired", "2")):
        cert, key = folder / f"{name}.crt", folder / f"{name}.key"
        said((*early, *new, days, *leaf, "-keyout", str(key), "-out", str(cert)))
        (folder / f"{name}.pem").write_text(cert.read_text() + key.read_text())
    for site in folder.glob("*/front.cfg"):
        (site.parent / "front.pem").write_text((folder / "whole.pem").read_text())


def said(command: Sequence[str]) -> None:
    subprocess.run(command, check=True, capture_output=True)
