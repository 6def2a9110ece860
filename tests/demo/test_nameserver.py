"""The imitation nameserver: its answers, and RFC 2136 with real and with written clients."""

import asyncio
import base64
from collections.abc import AsyncIterator

import dns.asyncquery
import dns.message
import dns.rcode
import dns.rdatatype
import dns.tsig
import dns.tsigkeyring
import dns.update
import pytest

from gslb.demo.nameserver import Nameserver
from tests.kit import need

ZONE = """
@ 60 IN SOA ns hostmaster 1 3600 600 86400 5
@ 60 IN NS ns
ns 60 IN A 127.0.0.1
quay 30 IN A 127.0.0.11
quay 30 IN A 127.0.0.12
quay 30 IN AAAA ::1
www 30 IN CNAME quay
away 30 IN CNAME quay.example.
lost 30 IN CNAME none
ring 30 IN CNAME ring
deep.er 30 IN TXT "hello"
"""
SECRET = base64.b64encode(b"fake-secret").decode()
OTHER = base64.b64encode(b"fake-other-secret").decode()


@pytest.fixture
async def server() -> AsyncIterator[Nameserver]:
    keys = {"gslb": SECRET, "narrow": OTHER}
    async with Nameserver("demo", ZONE, keys, may={"narrow": ("quay.demo",)}) as opened:
        yield opened


async def ask(server: Nameserver, name: str, rdtype: str = "A", tcp: bool = False) -> str:
    """`NOERROR: TYPE TYPE / AUTHORITY`."""
    query = dns.message.make_query(name, rdtype)
    way = dns.asyncquery.tcp if tcp else dns.asyncquery.udp
    said = await way(query, server.address, port=server.port, timeout=5)
    types = [f"{dns.rdatatype.to_text(r.rdtype)}*{len(r)}" for r in said.answer]
    ends = [dns.rdatatype.to_text(r.rdtype) for r in said.authority]
    return f"{dns.rcode.to_text(said.rcode())}: {' '.join(types)} / {' '.join(ends)}"


@pytest.mark.parametrize("tcp", [False, True])
@pytest.mark.parametrize(
    ("name", "rdtype", "wanted"),
    [
        ("quay.demo", "A", "NOERROR: A*2 / "),
        ("QUAY.demo", "AAAA", "NOERROR: AAAA*1 / "),
        ("quay.demo", "TXT", "NOERROR:  / SOA"),
        ("demo", "SOA", "NOERROR: SOA*1 / "),
        ("demo", "NS", "NOERROR: NS*1 / "),
        ("none.demo", "A", "NXDOMAIN:  / SOA"),
        ("er.demo", "A", "NOERROR:  / SOA"),
        ("www.demo", "A", "NOERROR: CNAME*1 A*2 / "),
        ("www.demo", "CNAME", "NOERROR: CNAME*1 / "),
        ("www.demo", "TXT", "NOERROR: CNAME*1 / SOA"),
        ("away.demo", "A", "NOERROR: CNAME*1 / "),
        ("lost.demo", "A", "NXDOMAIN: CNAME*1 / SOA"),
        ("elsewhere.example", "A", "REFUSED:  / "),
    ],
)
async def test_it_answers(server: Nameserver, name: str, rdtype: str, tcp: bool, wanted: str):
    assert await ask(server, name, rdtype, tcp) == wanted


async def test_a_ring_of_names_ends(server: Nameserver):
    assert (await ask(server, "ring.demo")).startswith("NOERROR: CNAME*1")


async def test_what_does_not_fit_is_cut_and_comes_whole_by_tcp():
    many = ZONE + "\n".join(f"many 30 IN A 127.1.0.{n}" for n in range(100))
    async with Nameserver("demo", many) as server:
        query = dns.message.make_query("many.demo", "A")
        said, tcp = await dns.asyncquery.udp_with_fallback(
            query, server.address, port=server.port, timeout=5
        )
        assert tcp
        assert len(said.answer[0]) == 100


async def test_rubbish_gets_formerr_or_nothing(server: Nameserver):
    wire = dns.message.make_query("quay.demo", "A").to_wire()
    assert (said := server.answer(wire[:-3]))
    assert dns.message.from_wire(said).rcode() == dns.rcode.FORMERR
    assert server.answer(b"xy") is None
    assert (said := server.answer(wire))
    assert server.answer(said) is None


def begin(key: str = "gslb", secret: str = SECRET, zone: str = "demo") -> dns.update.UpdateMessage:
    ring = dns.tsigkeyring.from_text({key: secret})
    return dns.update.UpdateMessage(zone, keyring=ring, keyalgorithm=dns.tsig.HMAC_SHA256)


async def send(server: Nameserver, update: dns.update.UpdateMessage) -> str:
    said = await dns.asyncquery.tcp(update, server.address, port=server.port, timeout=5)
    return dns.rcode.to_text(said.rcode())


def change(update: dns.update.UpdateMessage, line: str) -> None:
    """`add quay A 127.0.0.13`, `present quay`, `absent quay TXT`, `delete quay A` …"""
    verb, *rest = line.split()
    match verb:
        case "add":
            update.add(rest[0], 30, rest[1], " ".join(rest[2:]))
        case "delete":
            update.delete(*rest)
        case "present":
            update.present(*rest)
        case "absent":
            update.absent(*rest)


async def told(server: Nameserver, story: str, **given: str) -> str:
    update = begin(**given)
    for line in story.split("; "):
        change(update, line)
    return await send(server, update)


@pytest.mark.parametrize(
    ("prerequisites", "wanted"),
    [
        ("present quay", "NOERROR"),
        ("present none", "NXDOMAIN"),
        ("present er", "NXDOMAIN"),
        ("present quay A", "NOERROR"),
        ("present quay TXT", "NXRRSET"),
        ("present quay A 127.0.0.12; present quay A 127.0.0.11", "NOERROR"),
        ("present quay A 127.0.0.11", "NXRRSET"),
        ("present quay A 127.0.0.11; present quay A 127.0.0.13", "NXRRSET"),
        ("absent none", "NOERROR"),
        ("absent quay", "YXDOMAIN"),
        ("absent quay TXT", "NOERROR"),
        ("absent quay A", "YXRRSET"),
    ],
)
async def test_an_update_is_done_only_if_its_prerequisites_hold(
    server: Nameserver, prerequisites: str, wanted: str
):
    before = dict(server.records)
    assert await told(server, f"{prerequisites}; add new A 127.0.0.9; delete www") == wanted
    if wanted == "NOERROR":
        assert server.answers("new.demo") == ("127.0.0.9",)
        assert server.answers("www.demo", "CNAME") == ()
        assert server.serial == 2
    else:
        assert server.records == before


@pytest.mark.parametrize(
    ("story", "name", "rdtype", "wanted"),
    [
        ("add quay A 127.0.0.13", "quay", "A", "127.0.0.11 127.0.0.12 127.0.0.13"),
        ("add quay A 127.0.0.11", "quay", "A", "127.0.0.11 127.0.0.12"),
        ("delete quay A 127.0.0.11", "quay", "A", "127.0.0.12"),
        ("delete quay A", "quay", "A", ""),
        ("delete quay", "quay", "AAAA", ""),
        ("delete quay A; add quay A 127.0.0.9", "quay", "A", "127.0.0.9"),
        ("add quay A 127.0.0.9; delete quay A", "quay", "A", ""),
        ("add quay CNAME ns", "quay", "CNAME", ""),
        ("add www A 127.0.0.1", "www", "A", ""),
        ("add www CNAME ns", "www", "CNAME", "ns.demo."),
        ("delete @", "@", "NS", "ns.demo."),
        ("delete @ NS ns", "@", "NS", "ns.demo."),
        ("delete none A", "none", "A", ""),
    ],
)
async def test_the_records_change_as_the_rfc_says(
    server: Nameserver, story: str, name: str, rdtype: str, wanted: str
):
    assert await told(server, story) == "NOERROR"
    full = "demo" if name == "@" else f"{name}.demo"
    assert " ".join(server.answers(full, rdtype)) == wanted


async def test_the_serial_grows_by_one_for_a_change_and_not_for_none(server: Nameserver):
    await told(server, "add quay A 127.0.0.11")
    assert server.serial == 1
    await told(server, "add a A 127.0.0.1; add b A 127.0.0.1")
    assert server.serial == 2


async def test_a_new_ttl_is_a_change_too(server: Nameserver):
    update = begin()
    update.add("quay", 5, "A", "127.0.0.11")
    assert await send(server, update) == "NOERROR"
    query = dns.message.make_query("quay.demo", "A")
    said = await dns.asyncquery.udp(query, server.address, port=server.port, timeout=5)
    assert (said.answer[0].ttl, len(said.answer[0]), server.serial) == (5, 2, 2)


async def test_who_may_not_is_refused_and_nothing_changes(server: Nameserver):
    before = dict(server.records)
    unsigned = dns.update.UpdateMessage("demo")
    unsigned.add("quay", 30, "A", "127.0.0.9")
    assert await send(server, unsigned) == "REFUSED"
    assert await told(server, "add new A 127.0.0.9", key="narrow", secret=OTHER) == "REFUSED"
    assert await told(server, "add x A 127.0.0.9", zone="other") == "NOTAUTH"
    assert await told(server, "add x.example. A 127.0.0.9") == "NOTZONE"
    assert server.records == before
    assert await told(server, "add quay A 127.0.0.9", key="narrow", secret=OTHER) == "NOERROR"


@pytest.mark.parametrize(("key", "secret"), [("gslb", OTHER), ("nobody", SECRET)])
async def test_a_wrong_signature_is_notauth(server: Nameserver, key: str, secret: str):
    update = begin(key, secret)
    update.add("quay", 30, "A", "127.0.0.9")
    said = server.answer(update.to_wire())
    assert said is not None
    assert said[3] & 15 == dns.rcode.NOTAUTH
    assert "127.0.0.9" not in server.answers("quay.demo")


async def test_a_signed_question_gets_a_signed_answer(server: Nameserver):
    query = dns.message.make_query("quay.demo", "A")
    query.use_tsig(dns.tsigkeyring.from_text({"gslb": SECRET}), algorithm=dns.tsig.HMAC_SHA256)
    said = await dns.asyncquery.udp(query, server.address, port=server.port, timeout=5)
    assert said.had_tsig


async def run(*command: str, say: str = "") -> str:
    process = await asyncio.create_subprocess_exec(
        *command,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    said, _ = await asyncio.wait_for(process.communicate(say.encode()), 20)
    return said.decode()


@pytest.mark.real
async def test_dig_and_nsupdate_get_along_with_it(server: Nameserver):
    dig = (need("dig"), "@127.0.0.1", "-p", str(server.port), "+tries=1")
    short = await run(*dig, "+short", "quay.demo", "A")
    assert sorted(short.split()) == ["127.0.0.11", "127.0.0.12"]
    assert "status: NXDOMAIN" in await run(*dig, "none.demo", "A")
    assert "flags: qr aa rd;" in await run(*dig, "+tcp", "demo", "SOA")
    nsupdate = (need("nsupdate"), "-y", f"hmac-sha256:gslb:{SECRET}")
    begun = f"server 127.0.0.1 {server.port}\nzone demo\n"
    story = "prereq yxrrset {}.demo A\nupdate delete quay.demo A 127.0.0.11\nsend\n"
    assert await run(*nsupdate, say=begun + story.format("quay")) == ""
    assert server.answers("quay.demo") == ("127.0.0.12",)
    assert "NXRRSET" in await run(*nsupdate, say=begun + story.format("none"))
    assert "REFUSED" in await run(
        nsupdate[0], say=begun + "update add x.demo 5 A 127.0.0.1\nsend\n"
    )
    wrong = f"hmac-sha256:gslb:{OTHER}"
    assert "NOTAUTH" in await run(nsupdate[0], "-y", wrong, say=begun + story.format("quay"))
