"""Secrets: referred to, never shown, guarded, and read again when they change."""

import os
from pathlib import Path

import pytest
from pydantic import BaseModel, ValidationError

from gslb.domain.errors import WireError
from gslb.domain.health import Cause
from gslb.wire.credentials import Keys, Secret, ambient_keys, aws_keys


class Settings(BaseModel, frozen=True, extra="forbid", hide_input_in_errors=True):
    keys: Secret | None = None


def kept(path: Path, content: str | bytes, mode: int = 0o600) -> Secret:
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    path.chmod(mode)
    return Secret(f"file:{path}")


def refusal(secret: Secret) -> str:
    with pytest.raises(WireError) as caught:
        secret.read()
    assert caught.value.cause == Cause.LOCAL
    assert caught.value.__cause__ is None
    return str(caught.value)


def test_a_literal_is_refused_and_not_repeated() -> None:
    for literal in ("fake-secret", "fake:secret", "", "file:", "cred:", 5, "file:a\nfake-secret"):
        with pytest.raises(ValidationError, match="a secret stands in the file; move it") as caught:
            Settings(keys=literal)  # type: ignore[arg-type]  # what YAML may hold
        assert "fake" not in str(caught.value)
    with pytest.raises(ValidationError, match="not a path"):
        Settings(keys="cred:../other")  # type: ignore[arg-type]  # as above


def test_a_secret_shows_compares_and_saves_as_its_reference(tmp_path: Path) -> None:
    secret = kept(tmp_path / "one", "fake-secret")
    assert secret.read() == "fake-secret"
    settings = Settings(keys=secret)
    shown = f"{settings} {settings!r} {secret!r} {settings.model_dump_json()} {vars(settings)}"
    assert "fake-secret" not in shown
    assert settings.model_dump() == {"keys": f"file:{tmp_path / 'one'}"}
    assert Settings.model_validate(settings.model_dump()) == settings
    assert len({secret, Secret(str(secret))}) == 1
    assert "fake" not in repr(Keys("access", "fake-secret", "fake-token"))


def test_a_changed_file_is_read_again_and_the_last_good_content_stays(tmp_path: Path) -> None:
    path = tmp_path / "one"
    secret = kept(path, "first")
    assert (secret.read(), secret.problem) == ("first", None)
    kept(path, "the second")
    assert secret.read() == "the second"
    for spoilt in (lambda: path.chmod(0o644), lambda: kept(path, b"\xff"), path.unlink):
        spoilt()
        assert secret.read() == "the second"
        assert str(path) in (secret.problem or "")
    kept(path, "third")
    assert (secret.read(), secret.problem) == ("third", None)


def test_what_others_may_read_is_refused_in_one_sentence(tmp_path: Path) -> None:
    path = tmp_path / "one"
    for mode in (0o640, 0o604, 0o660):
        assert refusal(kept(path, "x", mode)).endswith("others may read it; chmod 600 it")
    assert refusal(Secret(f"file:{tmp_path}")).startswith(f"file:{tmp_path} cannot be used")
    assert "No such file" in refusal(Secret("file:/nonexistent/fake"))
    os.mkfifo(tmp_path / "fifo", 0o600)
    assert refusal(Secret(f"file:{tmp_path / 'fifo'}")).endswith("no regular file")
    assert refusal(kept(tmp_path / "big", "x" * 70_000)).endswith("larger than 64 KiB")
    assert "fake" not in refusal(kept(tmp_path / "bytes", b"fake-secret\xff"))


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file away")
def test_what_belongs_to_somebody_else_is_refused(tmp_path: Path) -> None:
    secret = kept(tmp_path / "one", "x")
    os.chown(tmp_path / "one", 12_345, -1)
    assert refusal(secret).endswith("it belongs to user 12345, not to us or root")


def test_systemd_hands_credentials_over_in_a_folder_of_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("CREDENTIALS_DIRECTORY", raising=False)
    assert "LoadCredential=" in refusal(Secret("cred:store"))
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path))
    kept(tmp_path / "store", "fake-secret", 0o440)  # as its access lists look
    assert Secret("cred:store").read() == "fake-secret"


@pytest.mark.parametrize(
    ("text", "keys"),
    [
        ("fake-id\nfake-key\n", Keys("fake-id", "fake-key")),
        ("\n fake-id \r\nfake/key+=\r\nfake-token\n", Keys("fake-id", "fake/key+=", "fake-token")),
        (
            "# mine\n[default]\naws_access_key_id = fake-id\naws_secret_access_key=fake=%key\n"
            "[other]\naws_access_key_id = no\naws_secret_access_key = no\n",
            Keys("fake-id", "fake=%key"),
        ),
        (
            "[p]\naws_access_key_id=i\naws_secret_access_key=k\naws_session_token=t",
            Keys("i", "k", "t"),
        ),
    ],
)
def test_keys_are_two_lines_or_the_first_aws_profile(tmp_path: Path, text: str, keys: Keys) -> None:
    assert aws_keys(kept(tmp_path / "keys", text)) == keys


@pytest.mark.parametrize(
    "text", ["", "fake", "a fake\nb", "[p]\nfake = x", "[p]\nfake", "1\n2\n3\nfake", "[fake\nx"]
)
def test_other_forms_of_keys_are_refused_and_not_repeated(tmp_path: Path, text: str) -> None:
    with pytest.raises(WireError, match="neither an AWS credentials file nor two lines") as caught:
        aws_keys(kept(tmp_path / "keys", text))
    assert "fake" not in str(caught.value)
    assert caught.value.__cause__ is None


async def test_without_a_file_aws_own_chain_is_asked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept(tmp_path / "c", "[default]\naws_access_key_id=fake-id\naws_secret_access_key=fake-key\n")
    for name in ("AWS_PROFILE", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "c"))
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "absent"))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    assert await ambient_keys() == Keys("fake-id", "fake-key")
