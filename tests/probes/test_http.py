"""The generic HTTP probe: what it wants of an answer, and what it says when it is not so."""

import gzip
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gslb.domain.health import Finding
from gslb.probes.http import ADAPTER, Settings, open_probe, pointed
from gslb.wire import Wire
from gslb.wire.http import open_http
from tests.kit import free_port
from tests.wire.servers import always, by_path, certificates, page, server, silent

PACKED = gzip.compress(b"all is well", mtime=0)
JSON = '{"status": {"a/b": [1, {"~": "green"}]}, "n": null, "": 1, "ok": true, "one": 1}'


@pytest.fixture
async def wire() -> AsyncIterator[Wire]:
    async with open_http(["127.0.0.0/8"]) as http:
        yield Wire(http=http)


async def look(wire: Wire, port: int, **more: object) -> Finding:
    given = {"address": "127.0.0.1", "port": port, "name": "app.example", "tls": False}
    settings = Settings.model_validate({**given, "timeout_s": 5.0, **more})
    async with open_probe(settings, wire) as probe:
        (finding,) = (await probe.run()).findings
    assert finding.aspect == "http"
    return finding


def said(finding: Finding) -> str:
    return f"{finding.outcome} {finding.cause}" if finding.cause else finding.outcome


def test_the_adapter_is_named_as_its_file() -> None:
    assert (ADAPTER.kind, ADAPTER.settings, ADAPTER.open) == ("http", Settings, open_probe)


@pytest.mark.parametrize(
    ("answer", "wants", "wanted"),
    [
        (page(200), {}, "pass"),
        (page(204), {}, "fail mismatch"),
        (page(204), {"status": [200, 204]}, "pass"),
        (page(503), {"status": [503]}, "pass"),
        (page(302, "", "Location: /"), {}, "fail mismatch"),
        (page(500), {}, "fail mismatch"),
        (page(403), {}, "fail mismatch"),
        (page(502), {}, "fail gateway"),
        (page(503), {}, "fail gateway"),
        (page(504), {}, "fail gateway"),
        (page(429), {}, "fail overload"),
        (b"no http\r\n\r\n", {}, "fail mismatch"),
        (page(200, "all is well"), {"body": r"\bwell$"}, "pass"),
        (page(200, "all is ill"), {"body": "well"}, "fail mismatch"),
        (page(200, b"\xff well"), {"body": "well"}, "pass"),
        (page(200, b"x" * 70_000 + b"well"), {"body": "well"}, "fail mismatch"),
        (page(200, PACKED, "Content-Encoding: gzip"), {"body": "well"}, "fail mismatch"),
        (page(200, JSON), {"pointer": "/status/a~1b/1/~0", "equals": "green"}, "pass"),
        (page(200, JSON), {"pointer": "/status/a~1b/1/~0", "equals": "red"}, "fail unhealthy"),
        (page(200, JSON), {"pointer": "/n"}, "pass"),
        (page(200, JSON), {"pointer": "/n", "equals": None}, "pass"),
        (page(200, JSON), {"pointer": "/ok", "equals": None}, "fail unhealthy"),
        (page(200, JSON), {"pointer": "/ok", "equals": 1}, "fail unhealthy"),
        (page(200, JSON), {"pointer": "/absent"}, "fail mismatch"),
        (page(200, JSON), {"pointer": "/status/a~1b/2"}, "fail mismatch"),
        (page(200, JSON), {"pointer": "/status/a~1b/-1"}, "fail mismatch"),
        (page(200, JSON), {"pointer": "/one/x"}, "fail mismatch"),
        (page(200, "nonsense"), {"pointer": "/x"}, "fail mismatch"),
        (page(200, "[" * 60_000), {"pointer": "/x"}, "fail mismatch"),
    ],
)  # fmt: skip
async def test_an_answer_is_what_it_should_be_or_the_finding_says_why_not(
    wire: Wire, answer: bytes, wants: dict[str, object], wanted: str
) -> None:
    async with server(always(answer)) as port:
        finding = await look(wire, port, **wants)
    assert said(finding) == wanted
    assert bool(finding.detail) == (wanted != "pass")


async def test_what_never_answers_and_what_is_not_there(wire: Wire) -> None:
    assert said(await look(wire, free_port())) == "fail refused"
    async with server(silent) as port:
        finding = await look(wire, port, timeout_s=0.1)
    assert (said(finding), finding.detail) == ("fail timeout", "/: no answer after 0.1 s")
    assert said(await look(wire, 80, address="no-such-name.invalid")) == "fail unresolved"


async def test_a_redirect_is_followed_as_far_as_was_said(wire: Wire) -> None:
    pages = {"/": page(302, "", "Location: /a"), "/a": page(302, "", "Location: /b")}
    async with server(by_path({**pages, "/b": page(200)})) as port:
        found = [said(await look(wire, port, follow=n)) for n in range(3)]
    assert found == ["fail mismatch", "fail mismatch", "pass"]


async def test_path_and_name_are_asked_for(wire: Wire) -> None:
    heard: list[bytes] = []
    async with server(always(page(200), heard)) as port:
        await look(wire, port, path="/ready?deep=1")
    assert heard[0].startswith(b"GET /ready?deep=1 HTTP/1.1\r\n")
    assert f"Host: app.example:{port}".encode() in heard[0]


async def test_trouble_with_tls_and_with_our_own_ca_are_two_things(
    wire: Wire, tmp_path: Path
) -> None:
    certs = certificates(tmp_path)
    secure = {"tls": True, "name": "quay.example"}
    async with server(always(page(200)), tls=certs.server) as port:
        found = [
            said(await look(wire, port, **secure, ca=ca))
            for ca in (certs.ca, None, tmp_path / "absent.pem")
        ]
    assert found == ["pass", "fail tls", "blind local"]


@pytest.mark.parametrize(
    "wrong",
    [
        *({"body": "("}, {"pointer": "no-slash"}, {"pointer": "/~2"}, {"path": "x"}),
        *({"follow": 6}, {"port": 0}, {"status": []}, {"sattus": [200]}),
    ],
)
def test_settings_that_cannot_be_meant_are_refused(wrong: dict[str, object]) -> None:
    given = {"address": "192.0.2.1", "name": "app.example"}
    with pytest.raises(ValueError, match=next(iter(wrong))):
        Settings.model_validate({**given, **wrong})


@given(
    st.recursive(
        st.integers(),
        lambda inner: st.lists(inner, min_size=1) | st.dictionaries(st.text(), inner, min_size=1),
    ),
    st.data(),
)
def test_every_value_of_a_document_has_its_pointer(document: object, data: st.DataObject) -> None:
    pointer, value = "", document
    while isinstance(value, list | dict) and data.draw(st.booleans()):
        keys = list(value) if isinstance(value, dict) else range(len(value))
        key = data.draw(st.sampled_from(keys))
        value = value[key]
        pointer += "/" + str(key).replace("~", "~0").replace("/", "~1")
    assert pointed(document, pointer) == value
