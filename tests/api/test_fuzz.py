"""Whatever is sent to the real house over a raw socket is answered, or cut, and changes nothing.

Never a 5xx, never a traceback in an answer or in the log, a problem for each no.
"""

import json
import os
import re
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from urllib.parse import quote

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gslb.api import server as api
from tests.api.raw import Running, house_in_a_thread

DOCUMENT = yaml.safe_load((Path(api.__file__).parent / "openapi.yaml").read_text("utf-8"))
WRITES = [
    (method.upper(), path)
    for path, verbs in DOCUMENT["paths"].items()
    for method in ("put", "post", "delete")
    if method in verbs
]
READS = [path for path, verbs in DOCUMENT["paths"].items() if "get" in verbs]
NAMES = {"site": "fra", "service": "quay.example.com", "backend": "dns", "digest": "p-1"}
NAMES |= {"kind": "sites", "name": "fra", "operation": "o-1", "incident": "i-1"}


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    with house_in_a_thread(tmp_path_factory.mktemp("fuzz")) as found:
        yield found


def filled(path: str) -> str:
    return re.sub(r"\{(\w+)\}", lambda found: NAMES[found[1]], path)


FUZZ = settings(
    max_examples=60, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True
)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner),
    max_leaves=8,
)
KEYS = ("reason", "for", "until", "action", "services", "skip", "replace", "mode", "remove")
BODIES = JSON | st.dictionaries(st.sampled_from(KEYS), JSON, max_size=5)


@pytest.mark.parametrize(("method", "path"), WRITES)
def test_a_body_of_any_shape_is_refused_with_a_problem_and_changes_nothing(
    running: Running, method: str, path: str
) -> None:
    @FUZZ
    @given(BODIES)
    def fuzz(body: object) -> None:
        if isinstance(body, dict) and "reason" in body:
            body["reason"] = 5  # what is right must not be sent by luck
        before = running.state
        raw = json.dumps(body).encode()
        answer = running.ask(method, filled(path) + "?dry_run=1", raw)
        running.is_sound(answer)
        if answer.status >= 400:
            assert answer.problem["status"] == answer.status
        assert running.state == before

    fuzz()


ODD_BODIES = {
    "nothing closed": b"{",
    "no UTF-8": b'{"reason": "\xff\xfe"}',
    "a lone surrogate": b'{"reason": "\\ud800", "action": "drain"}',
    "deep": b"[" * 30_000 + b"]" * 30_000,
    "deep keys": b'{"reason":' * 10_000 + b"1" + b"}" * 10_000,
    "a number without end": b'{"reason": ' + b"9" * 60_000 + b"}",
    "NaN": b'{"reason": NaN, "for": Infinity, "until": -Infinity}',
    "1e999": b'{"reason": 1e999, "until": 1e999}',
    "a key twice": b'{"reason": "r", "reason": 7}',
    "a far end": b'{"reason": "r", "action": "drain", "until": "9999-12-31T23:59:59-23:59"}',
    "a far begin": b'{"reason": "r", "action": "drain", "until": "0001-01-01T00:00:00+23:59"}',
    "UTF-16": '{"action": "none"}'.encode("utf-16"),
    "too large": b'{"reason": "' + b"x" * 2_000_000 + b'"}',
    "a wrong duration": b'{"reason": "r", "action": "drain", "for": "9999999999999999999d"}',
}


@pytest.mark.parametrize("name", ODD_BODIES)
def test_an_odd_body_is_refused_at_every_route_that_takes_one(running: Running, name: str) -> None:
    before = running.state
    for method, path in WRITES:
        if method == "DELETE" or path.startswith("/v1/hooks"):
            continue
        answer = running.ask(method, filled(path), ODD_BODIES[name])
        running.is_sound(answer)
        assert 400 <= answer.status < 500, (method, path)
        assert answer.problem["title"]
    assert running.state == before


@pytest.mark.parametrize(
    "more",
    [
        ("Content-Encoding: gzip",),
        ("Content-Encoding: deflate",),
        ("Content-Encoding: br",),
        ("Content-Type: application/json; charset=utf-7",),
        ("Content-Type: \xff\xfe",),
        ("Expect: 200-maybe",),
        ("Expect: 100-continue",),
        ("If-Match: \x85\xa0",),
        ("If-Match: " + '"1", ' * 500,),
        ("Origin: http://evil\udcff",),
        ("X-Forwarded-For: 127.0.0.1", "X-Forwarded-Proto: javascript"),
        ("Upgrade: websocket", "Connection: Upgrade"),
        ("Range: bytes=0-99999999999999999999",),
        ("Accept: text/event-stream",),
        ("Cookie: " + "a=b; " * 1000,),
    ],
    ids=lambda more: more[0][:30].encode("unicode_escape").decode(),
)
def test_odd_headers_are_answered(running: Running, more: tuple[str, ...]) -> None:
    before = running.state
    for method, path in (*WRITES, ("GET", "/v1/sites"), ("GET", "/metrics")):
        answer = running.ask(method, filled(path) + "?dry_run=1", b'{"x": 1}', *more)
        running.is_sound(answer)
        engines_own = answer.status in (400, 417) and b"{" not in answer.body  # before any route
        if answer.status >= 400 and not engines_own:
            assert answer.problem["status"] == answer.status
    assert running.state == before


@pytest.mark.parametrize(
    "secret", ["\udcff", "", " ", "a b c", "x" * 7000, "fake-admin\x00", "é", "fake-admin\t\x0b"]
)
def test_an_odd_token_is_nobodys(running: Running, secret: str) -> None:
    for path in ("/v1/sites", "/v1/hooks/alertmanager"):
        method = "POST" if "hooks" in path else "GET"
        head = f"{method} {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n"
        sent = f"{head}Authorization: Bearer {secret}\r\n\r\n".encode("utf-8", "surrogateescape")
        answer = running.raw(sent)
        running.is_sound(answer)
        assert answer is None or answer.status in (400, 401)


@FUZZ
@given(st.text(max_size=40), st.sampled_from(READS))
def test_a_path_of_any_letters_leads_nowhere_unforeseen(
    running: Running, text: str, path: str
) -> None:
    odd = quote(text.encode("utf-8", "surrogatepass"), safe="")
    for form in (re.sub(r"\{\w+\}", odd, path), f"{filled(path)}/{odd}", f"/{odd}"):
        running.is_sound(running.ask("GET", form))


@pytest.mark.parametrize(
    "path",
    [
        *("/v1/%2e%2e/%2e%2e/etc/passwd", "/v1/sites/..%2f..%2fetc", "/v1/sites/../config"),
        *("//v1/overview", "/v1//overview", "/v1/overview/", "/v1/overview;x=1", "/V1/overview"),
        *("/v1/sites/fra%00", "/v1/sites/%00", "/v1/sites/fra%0aX: y", "/%ff%fe", "/%", "/%zz"),
        *("/v1/sites/" + "x" * 8000, "/" + "a/" * 3000, "*", "http://evil/v1/overview"),
        *("http://[::1/v1", "http://x:99999999/", "/\u202e", "/v1/sites/%ed%a0%80", "?", "#x"),
        *("/v1/events?limit=%C2%B2", "/v1/events?after=%D9%A3&limit=-1", "/v1/events?limit=1e9"),
        *("/v1/events?since=0001-01-01", "/v1/events?since=9999-12-31T23:59:59-23:59"),
        *("/v1/events?since=99999999999999999999d", "/v1/events?since=%00", "/v1/events?site=%ff"),
        *("/v1/events?site=%ed%a0%80", "/v1/services?limit=%C2%B2", "/v1/services?q=%ed%a0%80"),
        *("/v1/overview?wait=NaN", "/v1/overview?wait=0s&after=%C2%B2", "/v1/overview?wait="),
        *("/v1/services?after=%ed%a0%80&limit=0", "/v1/events?" + "a=b&" * 2000),
    ],
)
def test_tricks_with_paths_and_queries_lead_nowhere(running: Running, path: str) -> None:
    for token in ("admin", "wrong"):
        answer = running.ask("GET", path, token=token)
        running.is_sound(answer)
        assert b"root:" not in answer.body
        if token == "wrong":
            assert answer.status in (400, 401, 404), answer


@pytest.mark.parametrize("metrics", [False, True])
@pytest.mark.parametrize(
    "sent",
    [
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(500),
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"GET\r\n\r\n",
        b"GET /metrics\r\n\r\n",
        b"GET /metrics HTTP/9.9\r\n\r\n",
        b"BREW /metrics HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
        b"get /livez HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
        b"CONNECT evil:443 HTTP/1.1\r\nHost: evil\r\n\r\n",
        b"TRACE /metrics HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
        b"GET /metrics HTTP/1.1\r\nHost: a\r\nHost: b\r\nConnection: close\r\n\r\n",
        b"GET /metrics HTTP/1.1\r\n: x\r\n\r\n",
        b"GET /metrics HTTP/1.1\r\nHost x\r\n\r\n",
        b"GET /metrics HTTP/1.1\r\nX: " + b"x" * 100_000 + b"\r\n\r\n",
        b"GET /metrics HTTP/1.1\r\n" + b"X: y\r\n" * 20_000 + b"\r\n",
        b"GET /" + b"x" * 100_000 + b" HTTP/1.1\r\n\r\n",
        b"POST /metrics HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n",
        b"POST /metrics HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab",
        b"POST /metrics HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\n"
        b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"POST /metrics HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        b"GET /livez HTTP/1.1\r\nHost: x\r\n\r\nGET /v1/config HTTP/1.1\r\n\r\n",
        b"\r\n" * 1000,
        b"\0" * 10_000,
        bytes(range(256)) * 40,
    ],
    ids=lambda sent: repr(sent[:24]) if isinstance(sent, bytes) else str(sent),
)
def test_what_is_no_http_is_refused_on_both_listeners(
    running: Running, sent: bytes, metrics: bool
) -> None:
    answer = running.raw(sent, metrics=metrics)
    running.is_sound(answer)
    assert running.ask("GET", "/livez").status == 200


@settings(FUZZ, max_examples=20)
@given(st.binary(max_size=300))
def test_any_octets_are_survived(running: Running, sent: bytes) -> None:
    for metrics in (False, True):
        running.is_sound(running.raw(sent, metrics=metrics))
        running.is_sound(running.raw(b"GET " + sent + b" HTTP/1.1\r\n\r\n", metrics=metrics))
        running.is_sound(running.raw(b"GET / HTTP/1.1\r\n" + sent + b"\r\n\r\n", metrics=metrics))


def test_the_metrics_listener_tells_nothing_but_metrics(running: Running) -> None:
    for path in READS:
        sent = f"GET {filled(path)} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode()
        answer = running.raw(sent, metrics=True)
        assert answer is not None
        known = path in ("/metrics", "/livez", "/readyz", "/leader")
        assert (answer.status == 404) is (not known)


def test_what_people_say_forges_no_line_and_moves_no_cursor(running: Running) -> None:
    """In the log, and on the screen of whoever asks afterwards."""
    evil = "\x1b[2J\x1b]0;owned\x07\nFORGED line\r\x85\u2028FORGED\u202eagain"
    body = json.dumps({"action": "drain", "reason": evil}).encode()
    more = (f"User-Agent: {quote(evil)}", "X-Request-Id: \x9b31mFORGED")
    said = running.ask("PUT", "/v1/sites/fra/override", body, *more)
    assert said.status == 202, said
    running.ask("GET", "/v1/sites/" + quote(evil))
    running.ask("GET", "/v1/events?site=" + quote(evil))
    try:
        command = (sys.executable, "-m", "gslb")
        env = {**os.environ, "GSLB_URL": f"unix:{running.house.served.socket}"}
        for verb in (("status",), ("explain", "fra"), ("events",), ("drain", "fra\x1b[31m")):
            argv = (*command, *verb, *(("--reason", evil, "--yes") if "drain" in verb else ()))
            ran = subprocess.run(argv, env=env, capture_output=True, text=True, check=False)
            shown = ran.stdout + ran.stderr
            assert "Traceback" not in shown
            assert not re.search("[\x00-\x09\x0b-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e]", shown)
            assert not [line for line in shown.splitlines() if line.startswith("FORGED")]
            if "events" in verb:
                assert "FORGED" in shown, "the reason was never shown, so this test proves nothing"
    finally:
        assert running.ask("DELETE", "/v1/sites/fra/override").status == 202
    told = [line for line in running.lines if "FORGED" in line]
    assert told, "the reason was never logged, so this test proves nothing"
    for line in told:
        assert line.isprintable()
    running.is_sound(said)


def test_slow_and_idle_clients_hold_up_nobody(running: Running) -> None:
    port = running.port(running.house.served.url)
    heads = b"GET /v1/overview HTTP/1.1\r\nHost: x\r\nX-Slow: "
    body = (
        b"PUT /v1/pause HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer fake-admin\r\n"
        b"Content-Type: application/json\r\nContent-Length: 60000\r\n\r\n{"
    )
    before = running.state
    with ExitStack() as stack:
        links = [
            stack.enter_context(socket.create_connection(("127.0.0.1", port))) for _ in range(60)
        ]
        for number, link in enumerate(links):
            link.sendall((heads, body, b"")[number % 3])
        for _ in range(5):
            for number, link in enumerate(links):
                link.sendall(b"x" if number % 3 < 2 else b"")
            for path in ("/v1/overview", "/livez", "/metrics"):
                assert running.ask("GET", path).status == 200
    assert running.state == before
