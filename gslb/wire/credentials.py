"""Secrets by reference: where one lies is configuration, what it says is nobody's business."""

import asyncio
import configparser
import os
import stat
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from pydantic import GetCoreSchemaHandler
from pydantic_core import CoreSchema, core_schema

from gslb.domain.errors import WireError
from gslb.domain.health import Cause

SIZE_MAX = 65_536
LITERAL = "a secret stands in the file; move it to a file and write file:PATH"


class Secret:
    """A reference, `file:PATH` or `cred:NAME` (systemd). Shown, it is the reference; equal when
    the references are. In YAML and JSON it is the reference too."""

    def __init__(self, reference: str) -> None:
        """ValueError, without what was given, if it is not a reference."""
        kind, _, rest = reference.partition(":") if isinstance(reference, str) else ("", "", "")
        if kind not in ("file", "cred") or not rest or "\n" in rest:
            raise ValueError(LITERAL)
        if kind == "cred" and "/" in rest:
            raise ValueError("cred:NAME is the name of a systemd credential, not a path")
        self._reference = reference
        self._kind, self._rest = kind, rest
        self._kept: tuple[tuple[int, ...], str] | None = None
        self.problem: str | None = None
        """Why the last read gave what was read before, or None."""

    def read(self) -> str:
        """The content, as it is. Read again when the file has changed; what was good before is
        kept when that fails. WireError (`local`) if there is nothing yet."""
        try:
            self._kept = self._read()
            self.problem = None
        except (OSError, ValueError) as error:
            reason = error.strerror if isinstance(error, OSError) and error.strerror else error
            self.problem = f"{self._reference} cannot be used: {reason}"
            if self._kept is None:
                # The chain may hold what was read (a UnicodeDecodeError does), so it ends here.
                raise WireError(Cause.LOCAL, self.problem) from None
        return self._kept[1]

    def _read(self) -> tuple[tuple[int, ...], str]:
        with open(self._path(), "rb", opener=_open) as file:
            found = os.fstat(file.fileno())
            stamp = (found.st_mtime_ns, found.st_ino, found.st_size)
            self._admit(found)
            if self._kept and self._kept[0] == stamp:
                return self._kept
            content = file.read(SIZE_MAX + 1)
        if len(content) > SIZE_MAX:
            raise ValueError("it is larger than 64 KiB")
        try:
            return stamp, content.decode()
        except UnicodeDecodeError:
            raise ValueError("it is no text (UTF-8)") from None

    def _path(self) -> Path:
        if self._kind == "file":
            return Path(self._rest)
        folder = os.environ.get("CREDENTIALS_DIRECTORY")
        if not folder:
            raise ValueError("there is no $CREDENTIALS_DIRECTORY; the unit needs LoadCredential=")
        return Path(folder, self._rest)

    def _admit(self, found: os.stat_result) -> None:
        if not stat.S_ISREG(found.st_mode):
            raise ValueError("it is no regular file")
        if self._kind == "cred":
            return  # systemd guards the folder, and its access lists look like a group's bits
        if found.st_mode & 0o077:
            raise ValueError("others may read it; chmod 600 it")
        if found.st_uid not in (0, os.geteuid()):
            raise ValueError(f"it belongs to user {found.st_uid}, not to us or root")

    def __repr__(self) -> str:
        return self._reference

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and other._reference == self._reference

    def __hash__(self) -> int:
        return hash(self._reference)

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_plain_validator_function(
            lambda given: given if isinstance(given, cls) else cls(given),
            serialization=core_schema.to_string_ser_schema(),
        )


def _open(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_NONBLOCK)  # a FIFO must not hold us up


@dataclass(frozen=True, slots=True)
class Keys:
    """A key pair of AWS or of a store that speaks S3."""

    access: str
    secret: str = field(repr=False)
    token: str | None = field(default=None, repr=False)
    """Of a session, with temporary keys."""


def aws_keys(secret: Secret) -> Keys:
    """Keys from the AWS credentials format (its first profile), or from two lines: access key,
    secret key (a third: session token). WireError (`local`) if it is neither."""
    text = secret.read()
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    if lines and lines[0].startswith(("[", "#", ";")):
        found = _profile(text)
        if found:
            return found
    elif len(lines) in (2, 3) and not any(" " in line or "=" in line[:24] for line in lines[:1]):
        return Keys(*lines)
    text = f"{secret}: neither an AWS credentials file nor two lines (access key, secret key)"
    raise WireError(Cause.LOCAL, text)


def _profile(text: str) -> Keys | None:
    parser = configparser.RawConfigParser(strict=False)
    try:
        parser.read_string(text)
        section = parser[parser.sections()[0]]
        return Keys(
            section["aws_access_key_id"].strip(),
            section["aws_secret_access_key"].strip(),
            section.get("aws_session_token"),
        )
    except (configparser.Error, KeyError, IndexError):
        return None  # its text would quote the line


async def ambient_keys() -> Keys:
    """Keys as AWS' own tools find them (environment, files, the machine's role), renewed by them.

    WireError (`local`) if there are none.
    """
    keys = await asyncio.get_running_loop().run_in_executor(_thread(), _ambient)
    if keys is None:
        text = "no AWS credentials were found (environment, ~/.aws, the machine's role)"
        raise WireError(Cause.LOCAL, text)
    return keys


@cache
def _thread() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(1, thread_name_prefix="aws-keys")


@cache
def _chain() -> Any:
    import boto3

    return boto3.Session()


def _ambient() -> Keys | None:
    from botocore.exceptions import BotoCoreError

    try:
        found = _chain().get_credentials()
        frozen = found.get_frozen_credentials() if found else None
    except BotoCoreError as error:
        raise WireError(Cause.LOCAL, f"no AWS credentials: {error}") from error
    return Keys(frozen.access_key, frozen.secret_key, frozen.token) if frozen else None
