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

from gslb.domain.errors import WireError
from gslb.domain.health import Cause

SIZE_MAX = 65_536
LITERAL = "a secret stands in the file; move it to a file and write file:PATH"


class Secret:
    """A reference, `file:PATH` or `cred:NAME` (systemd): what it is shown, compared and saved as.

    ValueError, without what was given, if it is none.
    """

    def __init__(self, reference: str) -> None:
        self._kind, _, self._rest = str(reference).partition(":")
        if self._kind not in ("file", "cred") or not self._rest or "\n" in self._rest:
            raise ValueError(LITERAL)
        if self._kind == "cred" and "/" in self._rest:
            raise ValueError("cred:NAME is the name of a systemd credential, not a path")
        self._kept: tuple[tuple[int, ...], str] | None = None
        self.problem: str | None = None
        """Why the last read gave what was read before, or None."""

    def read(self) -> str:
        """The content as it is, read again when the file has changed; what was good before while
        that fails. WireError (`local`) if there is nothing yet."""
        try:
            self._kept = self._read()
            self.problem = None
        except (OSError, ValueError) as error:
            reason = error.strerror if isinstance(error, OSError) else error
            self.problem = f"{self} cannot be used: {reason}"
            if self._kept is None:
                raise WireError(Cause.LOCAL, self.problem) from None
        return self._kept[1]

    def _read(self) -> tuple[tuple[int, ...], str]:
        path = Path(self._rest)
        if self._kind == "cred":
            folder = os.environ.get("CREDENTIALS_DIRECTORY")
            if not folder:
                raise ValueError("no $CREDENTIALS_DIRECTORY; the unit needs LoadCredential=")
            path = Path(folder, self._rest)
        with open(path, "rb", opener=_open) as file:
            found = os.fstat(file.fileno())
            self._admit(found)
            stamp = (found.st_mtime_ns, found.st_ino, found.st_size)
            if self._kept and self._kept[0] == stamp:
                return self._kept
            content = file.read(SIZE_MAX + 1)
        if len(content) > SIZE_MAX:
            raise ValueError("it is larger than 64 KiB")
        try:
            return stamp, content.decode()
        except UnicodeDecodeError:
            raise ValueError("it is no text (UTF-8)") from None  # the chain would hold the content

    def _admit(self, found: os.stat_result) -> None:
        if not stat.S_ISREG(found.st_mode):
            raise ValueError("it is no regular file")
        # systemd guards the folder of `cred:`, and its access lists look like a group's bits.
        if self._kind == "file" and found.st_mode & 0o077:
            raise ValueError("others may read it; chmod 600 it")
        if self._kind == "file" and found.st_uid not in (0, os.geteuid()):
            raise ValueError(f"it belongs to user {found.st_uid}, not to us or root")

    def __repr__(self) -> str:
        return f"{self._kind}:{self._rest}"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and repr(other) == repr(self)

    def __hash__(self) -> int:
        return hash(repr(self))

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, settings: Any) -> dict[str, Any]:
        """Parsed from and saved as the reference (pydantic's schemas are plain dictionaries)."""
        return {
            "type": "function-plain",
            "function": {
                "type": "no-info",
                "function": lambda given: given if isinstance(given, cls) else cls(given),
            },
            "serialization": {"type": "to-string", "when_used": "always"},
        }


def _open(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_NONBLOCK)  # a FIFO must not hold us up


@dataclass(frozen=True, slots=True)
class Keys:
    """A key pair of AWS or of a store that speaks S3; `token` belongs to a temporary one."""

    access: str
    secret: str = field(repr=False)
    token: str | None = field(default=None, repr=False)


def aws_keys(secret: Secret) -> Keys:
    """Keys in the AWS credentials format (the first profile), or in two lines: access key, secret
    key (a third: session token). WireError (`local`) if it is neither."""
    text = secret.read()
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    two = len(lines) in (2, 3) and not any(" " in line or line[0] in "[#;" for line in lines)
    keys = Keys(*lines) if two else _profile(text)
    if keys is None:
        form = "neither an AWS credentials file nor two lines (access key, secret key)"
        raise WireError(Cause.LOCAL, f"{secret}: {form}")
    return keys


def _profile(text: str) -> Keys | None:
    parser = configparser.RawConfigParser(strict=False)
    try:
        parser.read_string(text)
        first = parser[parser.sections()[0]]
        token = first.get("aws_session_token")
        return Keys(first["aws_access_key_id"], first["aws_secret_access_key"], token)
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
