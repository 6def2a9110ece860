"""What is trusted, and for how long."""

import os
import ssl
from pathlib import Path

import pytest

from gslb.domain.errors import WireError
from gslb.domain.health import Cause
from gslb.wire.tls import client_context
from tests.wire.servers import certificates


def test_the_system_is_trusted_where_no_file_is_named() -> None:
    context = client_context(None)
    assert context is client_context(None)
    assert context.minimum_version == ssl.TLSVersion.TLSv1_2
    assert context.check_hostname
    assert context.verify_mode == ssl.CERT_REQUIRED


def test_a_named_file_is_trusted_alone_and_read_again_when_it_changes(tmp_path: Path) -> None:
    ca = certificates(tmp_path).ca
    context = client_context(ca)
    assert len(context.get_ca_certs()) == 1
    assert client_context(ca) is context
    before = context.get_ca_certs()[0]["serialNumber"]
    certificates(tmp_path)
    assert client_context(ca).get_ca_certs()[0]["serialNumber"] != before


def test_an_unusable_file_is_one_sentence_and_the_last_good_one_stays(tmp_path: Path) -> None:
    with pytest.raises(WireError, match=r"absent.pem cannot be used: No such file") as one:
        client_context(tmp_path / "absent.pem")
    assert one.value.cause == Cause.LOCAL
    ca = certificates(tmp_path).ca
    good = client_context(ca)
    ca.write_text("no certificate")
    os.utime(ca, (1, 1))
    assert client_context(ca) is good
    other = tmp_path / "other.pem"
    other.write_text("no certificate")
    with pytest.raises(WireError, match=r"CA file .*other.pem cannot be used"):
        client_context(other)


def test_a_private_authority_need_not_keep_to_the_letter_of_the_rfc(tmp_path: Path) -> None:
    context = client_context(certificates(tmp_path).ca)
    assert not context.verify_flags & ssl.VERIFY_X509_STRICT
    assert "keyUsage" not in str(context.get_ca_certs())
