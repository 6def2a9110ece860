"""TLS, and client certificates beside the token."""

import ssl
import subprocess
from pathlib import Path

import aiohttp
import pytest

from tests.api.live import live
from tests.kit import need


@pytest.fixture
def certificate(tmp_path: Path) -> tuple[Path, Path]:
    """A certificate of 127.0.0.1 that is its own authority, and its key."""
    made = tmp_path / "cert.pem", tmp_path / "key.pem"
    command = [need("openssl"), "req", "-x509", "-newkey", "ec", "-pkeyopt"]
    command += ["ec_paramgen_curve:prime256v1", "-nodes", "-days", "2", "-subj", "/CN=fake"]
    command += ["-addext", "subjectAltName=IP:127.0.0.1", "-out", str(made[0])]
    subprocess.run([*command, "-keyout", str(made[1])], check=True, capture_output=True)
    return made


async def test_over_tls_a_token_is_needed_and_a_client_certificate_if_that_is_said(
    tmp_path: Path, certificate: tuple[Path, Path]
) -> None:
    cert, key = certificate
    bare = ssl.create_default_context(cafile=str(cert))
    own = ssl.create_default_context(cafile=str(cert))
    own.load_cert_chain(cert, key)
    token = {"Authorization": "Bearer fake-read"}

    async def ask(context: ssl.SSLContext, headers: dict[str, str]) -> int | str:
        try:
            async with (
                aiohttp.ClientSession() as session,
                session.get(f"{url}/v1/mode", ssl=context, headers=headers) as response,
            ):
                return response.status
        except aiohttp.ClientError:
            return "refused"

    async with live(tmp_path, tls_cert=cert, tls_key=key) as api:
        url = str(api.served.url)
        assert url.startswith("https://")
        assert [await ask(bare, token), await ask(bare, {})] == [200, 401]
    async with live(tmp_path, tls_cert=cert, tls_key=key, tls_clients=cert) as api:
        url = str(api.served.url)
        assert [await ask(bare, token), await ask(own, token)] == ["refused", 200]
        assert await ask(own, {}) == 401
