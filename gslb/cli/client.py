"""The way from the command line to the API: HTTP over the unix socket or TCP, and its errors as
exit codes (interface.md, section 3)."""

import http.client
import json
import os
import socket
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode, urlsplit

from gslb.wire.tls import new_context

SOCKET = "/run/gslb/api.sock"
CLOSEST = "http://127.0.0.1:8080"
FAILED, USAGE, NEEDS_YOU, CANNOT_TELL, PENDING, REFUSED, WAITING = 1, 2, 3, 4, 5, 6, 7
DENIED, UNREACHED, CHANGED, INTERRUPTED = 8, 9, 10, 130
CODES = {
    **dict.fromkeys((400, 404, 413, 415, 422), USAGE),
    **dict.fromkeys((401, 403), DENIED),
    **dict.fromkeys((409, 412, 428), CHANGED),
}
"""What a status means for the exit code; any other error: 1."""
Body = dict[str, Any]


class Stop(Exception):
    """Ends the command: an exit code, and what is said on stderr."""

    def __init__(self, code: int, text: str) -> None:
        super().__init__(text)
        self.code = code


@dataclass(frozen=True, slots=True)
class Reply:
    """What the API answered: its text as it came, and what it means."""

    text: str
    body: Body


class Client:
    """One API, as the environment says. Raises Stop, and nothing else."""

    def __init__(self, env: Mapping[str, str] = os.environ) -> None:
        self.url = env.get("GSLB_URL") or (
            f"unix:{SOCKET}" if os.access(SOCKET, os.R_OK | os.W_OK) else CLOSEST
        )
        self._env = env

    def get(self, path: str, **query: object) -> Reply:
        """GET `path`; a query of None is left out."""
        return self.ask("GET", path, query=query)

    def ask(
        self,
        method: str,
        path: str,
        body: Body | None = None,
        query: Mapping[str, object] = {},
        if_match: str | None = None,
        timeout_s: float = 30.0,
    ) -> Reply:
        """One request. A problem (RFC 9457) ends the command with the exit code it stands for."""
        extra = {"If-Match": if_match} if if_match else {}
        with self._asked(method, path, body, query, timeout_s, extra) as answer:
            text = answer.read().decode(errors="replace")
            return Reply(text, _parsed(text))

    def feed(self, query: Mapping[str, object] = {}) -> Iterator[tuple[str, Body]]:
        """The live feed (server-sent events): (event, document); ends when the server ends it."""
        # A comment line comes every 15 s: what is silent for much longer is dead.
        stream = {"Accept": "text/event-stream"}
        with self._asked("GET", "/v1/events", None, query, 45.0, stream) as answer:
            kind, lines = "message", list[str]()
            for raw in answer:
                field, _, value = raw.decode(errors="replace").rstrip("\r\n").partition(":")
                if field == "event":
                    kind = value.strip()
                elif field == "data":
                    lines.append(value)
                elif not field and not value and lines:
                    yield kind, _parsed("\n".join(lines))
                    kind, lines = "message", []

    @contextmanager
    def _asked(
        self,
        method: str,
        path: str,
        body: Body | None,
        query: Mapping[str, object],
        timeout_s: float,
        extra: Mapping[str, str] = {},
    ) -> Iterator[http.client.HTTPResponse]:
        pairs = [(k, v) for k, v in query.items() if v not in (None, "", False)]
        target = f"{path}?{urlencode(pairs, doseq=True)}" if pairs else path
        headers, token = {"Accept": "application/json", **extra}, self._token()
        headers |= {"Content-Type": "application/json"} if body else {}
        headers |= {"Authorization": f"Bearer {token}"} if token else {}
        connection = self._connection(timeout_s)
        try:
            connection.request(method, target, json.dumps(body) if body else None, headers)
            answer = connection.getresponse()
            if answer.status >= 400:
                text = answer.read().decode(errors="replace")
                raise refusal(answer.status, _parsed(text), text)
            yield answer
        except (OSError, http.client.HTTPException, ValueError) as error:
            hint = "Is `gslb run` running? GSLB_URL says where it is (gslb help environment)."
            text = f"✗ the API at {self.url} was not reached: {error!s:.300}\n  {hint}"
            raise Stop(UNREACHED, text) from error
        finally:
            connection.close()

    def _connection(self, timeout_s: float) -> http.client.HTTPConnection:
        if self.url.startswith("unix:"):
            return _Unix(self.url.removeprefix("unix:"), timeout_s)
        parts = urlsplit(self.url)
        if parts.scheme == "http" and parts.netloc:
            return http.client.HTTPConnection(parts.netloc, timeout=timeout_s)
        if parts.scheme != "https" or not parts.netloc:
            raise Stop(USAGE, f"GSLB_URL {self.url!r} is neither http(s)://HOST:PORT nor unix:PATH")
        try:
            tls = new_context(self._env.get("GSLB_CACERT"))
            if certificate := self._env.get("GSLB_CERT"):
                tls.load_cert_chain(certificate, self._env.get("GSLB_KEY"))
        except OSError as error:
            raise Stop(USAGE, f"GSLB_CACERT, GSLB_CERT or GSLB_KEY: {error}") from error
        return http.client.HTTPSConnection(parts.netloc, timeout=timeout_s, context=tls)

    def _token(self) -> str:
        if path := self._env.get("GSLB_TOKEN_FILE"):
            try:
                return Path(path).read_text().strip()
            except (OSError, UnicodeDecodeError) as error:
                raise Stop(USAGE, f"GSLB_TOKEN_FILE: {error}") from error
        # The demo prints its address with the token in it, to be taken whole.
        inside = urlsplit(self.url).fragment.removeprefix("token=")
        return inside or self._env.get("GSLB_TOKEN", "").strip()


class _Unix(http.client.HTTPConnection):
    def __init__(self, path: str, timeout_s: float) -> None:
        super().__init__("localhost", timeout=timeout_s)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self._path)


def part(name: str) -> str:
    """A name as one part of a path."""
    return quote(name, safe="")


def refusal(status: int, body: Body, text: str) -> Stop:
    """A problem as the exit code and the words that it stands for."""
    said = str(body.get("detail") or body.get("title") or text[:300] or f"HTTP {status}")
    hint = f"\n  {body['hint']}" if body.get("hint") else ""
    if guard := body.get("guard"):
        return Stop(REFUSED, f"✗ refused by {guard}: {said}{hint}")
    if str(body.get("type")).endswith("/set-by-the-file"):
        return Stop(FAILED, f"✗ {said}{hint}")
    return Stop(CODES.get(status, FAILED), f"✗ {said}{hint}")


def _parsed(text: str) -> Body:
    try:
        found = json.loads(text)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}
