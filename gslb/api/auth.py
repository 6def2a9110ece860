"""Who asks, and what they may: peers of the unix socket, and bearer tokens from a file."""

import hashlib
import hmac
import logging
import os
import pwd
import socket
import struct
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import yaml
from aiohttp import web
from pydantic import AwareDatetime, BaseModel, Field, TypeAdapter, ValidationError

from gslb.api.problem import ApiProblem
from gslb.domain.control import Owner, OwnerKind
from gslb.domain.errors import ConfigError
from gslb.domain.topology import SiteName

log = logging.getLogger(__name__)


class Scope(StrEnum):
    """What a token may; each includes those before it."""

    READ = "read"
    DRAIN = "drain"
    OVERRIDE = "override"
    ADMIN = "admin"


class Token(BaseModel, frozen=True, extra="forbid"):
    """One entry of the tokens file. Only the SHA-256 of the token is kept."""

    name: str = Field(pattern=r"^[A-Za-z0-9._@-]{1,64}$")
    sha256: str = Field(pattern=r"^[0-9a-fA-F]{64}$")
    scopes: frozenset[Scope] = Field(min_length=1)
    sites: Annotated[frozenset[SiteName], Field(min_length=1)] | None = None
    """None: all."""
    expires: AwareDatetime | None = None


_FILE = TypeAdapter(list[Token])


@dataclass(frozen=True, slots=True)
class Principal:
    """Who asks. `sites` None: all sites."""

    name: str
    scopes: frozenset[Scope]
    sites: frozenset[SiteName] | None = None

    @property
    def owner(self) -> Owner:
        """As the holder of an override."""
        return Owner(OwnerKind.PERSON, self.name)

    def need(self, scope: Scope, site: SiteName | None = None, *, everywhere: bool = False) -> None:
        """Raises a 403 unless they may (at `site`; `everywhere`: for what moves any site)."""
        order = list(Scope)
        if max(map(order.index, self.scopes)) < order.index(scope):
            raise ApiProblem(403, "Not allowed", f"{self.name} lacks the scope {scope}")
        if self.sites is not None and (everywhere or (site and site not in self.sites)):
            text = f"{self.name} may act at {', '.join(sorted(self.sites))} only"
            raise ApiProblem(403, "Not allowed", text)


class Tokens:
    """The tokens file, read again when it has changed; a bad one leaves the old in force."""

    def __init__(self, path: Path | None) -> None:
        """Raises ConfigError when the file is wrong."""
        self._path, self._mark, self._tokens = path, _look(path), _parse(path)

    def find(self, secret: str, wall_s: float) -> Principal | None:
        """Whose token it is. All are compared, so that time tells nothing."""
        self._refresh()
        digest, found = hashlib.sha256(secret.encode()).hexdigest(), None
        for token in self._tokens:
            if hmac.compare_digest(token.sha256.lower(), digest):
                found = token
        if found is None or (found.expires and found.expires.timestamp() <= wall_s):
            return None
        return Principal(found.name, found.scopes, found.sites)

    def _refresh(self) -> None:
        mark, self._mark = self._mark, _look(self._path)
        if mark != self._mark:
            try:
                self._tokens = _parse(self._path)
            except ConfigError as error:
                log.warning("the tokens file is wrong, the old tokens stay: %s", error)


def _look(path: Path | None) -> tuple[int, ...]:
    try:
        seen = path.stat() if path else None
    except OSError:
        return ()
    return (seen.st_mtime_ns, seen.st_ino, seen.st_size) if seen else ()


def _parse(path: Path | None) -> list[Token]:
    try:
        return _FILE.validate_python(yaml.safe_load(path.read_text("utf-8"))) if path else []
    except ValidationError as error:
        bad = error.errors(include_url=False, include_context=False, include_input=False)
        texts = tuple(f"{path}: {'.'.join(map(str, e['loc']))}: {e['msg']}" for e in bad)
        raise ConfigError(texts) from error
    except yaml.MarkedYAMLError as error:  # its own text would quote the line, and a token in it
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        raise ConfigError((f"{path}:{line}: is no YAML: {error.problem}",)) from None
    except (OSError, ValueError, yaml.YAMLError) as error:
        raise ConfigError((f"{path}: {error}",)) from error


def identify(
    request: web.Request, tokens: Tokens, wall_s: float, count: Callable[..., None]
) -> Principal:
    """Who asks: by token, else by the peer of a unix socket. Raises a 401."""
    secret = bearer(request)
    who = tokens.find(secret, wall_s) if secret else _peer(request)
    if who is None:
        count("auth_failures", "wrong" if secret else "missing")
        problem = ApiProblem(401, "Who are you?", "send a valid token: Authorization: Bearer …")
        problem.headers["WWW-Authenticate"] = 'Bearer realm="gslb"'
        raise problem
    return who


def bearer(request: web.Request) -> str:
    """The token that was sent, or nothing."""
    kind, _, secret = request.headers.get("Authorization", "").partition(" ")
    # Octets that are no UTF-8 come as surrogates, which could not be encoded again.
    return secret.strip().encode(errors="replace").decode() if kind.lower() == "bearer" else ""


def _peer(request: web.Request) -> Principal | None:
    """Root and our own user are admin on the unix socket (SO_PEERCRED, unix(7)); nobody else is."""
    link = request.transport.get_extra_info("socket") if request.transport else None
    if link is None or link.family != socket.AF_UNIX:
        return None
    _, uid, _ = struct.unpack("3i", link.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))
    if uid not in {0, os.geteuid()}:
        return None
    try:
        name = pwd.getpwuid(uid).pw_name
    except KeyError:
        name = f"uid-{uid}"
    return Principal(name, frozenset(Scope))
