"""Does a name server at the site answer, and what it should?"""

from contextlib import nullcontext
from dataclasses import replace
from typing import Annotated, Literal

import dns.message
import dns.rcode
from pydantic import AfterValidator, BaseModel, Field

from gslb.domain.errors import WireError
from gslb.domain.health import Cause, Finding
from gslb.ports import Adapter
from gslb.wire import Wire
from gslb.wire.dns import canonical, exchange, parse_name, parse_server
from gslb.wire.stream import Once

Type = Literal["A", "AAAA", "CNAME", "MX", "NS", "SOA", "SRV", "TXT"]


class Settings(BaseModel, frozen=True, extra="forbid"):
    """What is asked, of whom (else the site's address), and what must be among the answers."""

    address: str = Field(min_length=1)
    server: Annotated[str, AfterValidator(lambda text: str(parse_server(text)))] | None = None
    port: int = Field(53, ge=1, le=65_535)
    name: Annotated[str, AfterValidator(lambda text: str(parse_name(text)))]
    type: Type = "A"
    expect: str | tuple[str, ...] = ()
    timeout_s: float = Field(2.0, gt=0, le=600)


def open_probe(settings: Settings, wire: Wire) -> nullcontext[Once]:
    """`dns`: pass, or why not. We send no key, so REFUSED is the answer, and not ours to mend."""
    given = f"[{settings.address}]" if ":" in settings.address else settings.address
    server = parse_server(settings.server or f"{given}:{settings.port}")
    expected = (settings.expect,) if isinstance(settings.expect, str) else settings.expect

    async def ask() -> tuple[Finding, ...]:
        asked = f"{settings.name} {settings.type}"
        query = dns.message.make_query(settings.name, settings.type)
        there = replace(server, host=await wire.http.locate(server.host))
        try:
            reply = await exchange(query, there, settings.timeout_s)
        except WireError as error:
            cause = Cause.MISMATCH if error.cause == Cause.DENIED else error.cause
            raise WireError(cause, f"{asked}: {error}") from error
        found = [canonical(r.to_text().strip('"')) for a in reply.message.answer for r in a]
        missing = [text for text in expected if canonical(text) not in found]
        if reply.rcode != dns.rcode.NOERROR or not found:
            says = dns.rcode.to_text(reply.rcode) if reply.rcode else "nothing"
            raise WireError(Cause.MISMATCH, f"{asked}: {there} says {says}")
        if missing:
            text = f"{asked}: {there} says {', '.join(found)[:200]}, not {', '.join(missing)}"
            raise WireError(Cause.MISMATCH, text)
        return (Finding.of("dns"),)

    return nullcontext(Once("dns", ask, settings.timeout_s))


async def resolve(resolver: str, name: str) -> tuple[tuple[str, ...], float]:
    """What a resolver answers for `name`, and for how long it may keep it (s). Raises WireError."""
    values, ttls = list[str](), list[float]()
    for kind in ("A", "AAAA"):
        query, server = dns.message.make_query(name, kind), parse_server(resolver)
        reply = await exchange(query, server, 1.0)
        if reply.rcode not in (dns.rcode.NOERROR, dns.rcode.NXDOMAIN):
            text = f"{server} says {dns.rcode.to_text(reply.rcode)} of {name}"
            raise WireError(Cause.MISMATCH, text)
        for found in reply.message.answer:
            if found.name == query.question[0].name:
                values += [canonical(rdata.to_text()) for rdata in found]
                ttls.append(float(found.ttl))
    return tuple(values), min(ttls, default=0.0)


ADAPTER = Adapter(kind="dns", settings=Settings, open=open_probe)
