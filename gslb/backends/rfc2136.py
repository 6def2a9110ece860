"""Name servers that take dynamic updates (RFC 2136): signed (RFC 8945), fenced by prerequisites."""

import asyncio
from bisect import bisect_left
from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Annotated, Any, cast

import dns.exception
import dns.name
import dns.rcode
import dns.rdata
import dns.update
from dns.rdata import Rdata
from dns.rdataclass import IN
from dns.rdatatype import AAAA, CNAME, TXT, A, RdataType
from dns.rdtypes.ANY.TXT import TXT as TXTRecord
from pydantic import AfterValidator, BaseModel, Field

from gslb.domain.errors import BackendError, BackendFenced, BackendRefused, WireError
from gslb.domain.health import Cause
from gslb.domain.topology import ServiceName
from gslb.domain.traffic import Answer, Change, Generation, Plan, Pool, Reading, Shape, Target
from gslb.ports import Adapter
from gslb.wire.credentials import Secret
from gslb.wire.dns import (
    Server,
    Unsent,
    canonical,
    exchange,
    generation_of,
    kind_of,
    look_up,
    parse_key,
    parse_name,
    parse_server,
)
from gslb.wire.points import point

UPDATE_BYTES_MAX = 48 * 1024
COMPARED_NAMES_MAX = 200
IN_FLIGHT_MAX = 32
ROOM_BYTES = 512
"""Kept free in each update, for the signature."""
GENERATION_TTL_S = 5
KINDS = (A, AAAA, CNAME)
BESIDE_NO_CNAME = ("TXT", "MX", "SRV", "CAA", "HTTPS", "SVCB", "NS", "NAPTR", "TLSA", "SSHFP")
"""What may stand at a name that has addresses: a CNAME would be ignored there, without an error."""
FENCED = {dns.rcode.NXRRSET, dns.rcode.YXRRSET, dns.rcode.NXDOMAIN, dns.rcode.YXDOMAIN}
REFUSED = {dns.rcode.NOTIMP, dns.rcode.NOTZONE, dns.rcode.FORMERR}
ServerText = Annotated[str, AfterValidator(lambda text: str(parse_server(text)))]
NameText = Annotated[str, AfterValidator(lambda text: str(parse_name(text)))]


class Settings(BaseModel, frozen=True, extra="forbid", hide_input_in_errors=True):
    """`server`: where updates go, in order; `check`: further authoritative servers, only read."""

    server: ServerText | tuple[ServerText, ...]
    check: tuple[ServerText, ...] = ()
    zone: NameText
    tsig: Secret | None = None
    generation: NameText | None = None
    timeout_s: float = Field(3.0, ge=0.1, le=30)


@lru_cache(maxsize=4096)
def _rdata(value: str) -> Rdata:
    text, kind = canonical(value), kind_of(value)
    return dns.rdata.from_text(IN, kind, _name(text).to_text() if kind == "CNAME" else text)


@dataclass(frozen=True, slots=True)
class Found:
    """What one server serves."""

    answers: Mapping[ServiceName, Answer | None]
    generation: Sequence[str]


class Rfc2136:
    """Raises BackendError and nothing else."""

    def __init__(self, settings: Settings) -> None:
        listed = (settings.server,) if isinstance(settings.server, str) else settings.server
        self._servers = [parse_server(text) for text in listed]
        self._readers = [parse_server(text) for text in settings.check]
        self._zone = dns.name.from_text(settings.zone)
        self._generation = dns.name.from_text(settings.generation or f"_gslb.{settings.zone}")
        self._tsig = settings.tsig
        self._timeout_s = settings.timeout_s

    async def read(self, pools: Sequence[Pool]) -> Reading:
        """Ask every listed server; believe the first that takes updates, compare the others."""
        servers = [*self._servers, *self._readers]
        found = await asyncio.gather(*(self._read_one(server, pools) for server in servers))
        writers = [one for one in found[: len(self._servers)] if isinstance(one, Found)]
        if not writers:
            raise BackendError("; ".join(str(one) for one in found[: len(self._servers)]))
        pairs = dict(zip(servers, found, strict=True))
        behind = {p.service: tuple(_differences(p.service, writers[0], pairs)) for p in pools}
        generation, foreign = generation_of(writers[0].generation)
        return Reading(
            answers=writers[0].answers,
            generation=generation,
            foreign_generation=foreign,
            behind={service: sentences for service, sentences in behind.items() if sentences},
        )

    async def apply(self, plan: Plan) -> None:
        """One signed UPDATE, or a chain of them: each expects what the one before has left."""
        assert plan.leaves is not None, "this backend is fenced"
        expects, leaves = plan.expects, plan.leaves
        # All is made before the first is sent: a name that cannot be written stops the whole. In a
        # thread, since a thousand names take half a second, and the loop is not to stand still.
        parts = await asyncio.to_thread(lambda: list(self._parts(plan)))
        for number, updates in enumerate(parts):
            if number:
                await point("between_updates")
            try:
                await self._send(self._message(expects, leaves, updates))
            except BackendError as error:
                if number == 0:
                    raise
                raise BackendError(f"{number} updates were made, the next not: {error}") from error
            expects, leaves = leaves, replace(leaves, seq=leaves.seq + 1)

    async def _read_one(self, server: Server, pools: Sequence[Pool]) -> Found | BackendError:
        asked = [(_name(pool.service), kind) for pool in pools for kind in (A, AAAA)]
        todo = deque([(self._generation, TXT), *asked])
        found: dict[tuple[dns.name.Name, RdataType], list[Rdata]] = {}

        async def ask() -> None:
            while todo:
                name, kind = todo.popleft()
                try:
                    found[name, kind] = await look_up(name, kind, server, self._timeout_s)
                except WireError:
                    todo.clear()  # One is enough: this server does not count now.
                    raise

        try:
            async with asyncio.timeout(5 * self._timeout_s):
                askers = (ask() for _ in range(IN_FLIGHT_MAX))
                results = await asyncio.gather(*askers, return_exceptions=True)
        except TimeoutError:
            return BackendError(f"{server}: not read within {5 * self._timeout_s:g} s")
        for trouble in filter(None, results):
            if not isinstance(trouble, WireError):
                raise trouble
            return BackendError(str(trouble))
        texts = {key: [_text(rdata) for rdata in found[key]] for key in found}
        names = [_name(pool.service) for pool in pools]
        both = [_answer(p, texts[n, A] + texts[n, AAAA]) for p, n in zip(pools, names, strict=True)]
        answers = {pool.service: answer for pool, answer in zip(pools, both, strict=True)}
        return Found(answers, texts[self._generation, TXT])

    def _update_of(self, change: Change, compared: bool) -> dns.update.UpdateMessage:
        """One change as a message of its own, without the generation."""
        name, update = _name(change.pool.service), dns.update.UpdateMessage(self._zone)
        before = [_rdata(t.value) for t in change.before.targets] if change.before else []
        after = [_rdata(target.value) for target in change.after.targets]
        enters = any(rdata.rdtype == CNAME for rdata in after)
        if not name.is_subdomain(self._zone) or (enters and name == self._zone):
            raise BackendRefused(f"{name} cannot be served so by the zone {self._zone}")
        if compared or enters:
            for rdata in before:
                update.present(name, rdata)
            missing = set(KINDS) - {rdata.rdtype for rdata in before}
            for kind in (*sorted(missing), *(BESIDE_NO_CNAME if enters else ())):
                update.absent(name, kind)
        # Deletes first, for nothing can be added beside a CNAME; and all that is wanted is added,
        # what stays too: so no delete, whatever else is found there, leaves the name empty.
        for rdata in before:
            if rdata not in after:
                update.delete(name, rdata)
        for rdata in after:
            update.add(name, max(1, round(change.pool.ttl_s)), rdata)
        return update

    def _parts(self, plan: Plan) -> Iterator[list[dns.update.UpdateMessage]]:
        """As few as fit 48 KiB each; at least one, for the generation."""
        compared = len(plan.changes) <= COMPARED_NAMES_MAX
        updates = [self._update_of(change, compared) for change in plan.changes]
        while True:
            # Asked of the message itself: how far names are compressed depends on where they stand.
            counts = range(1, len(updates) + 1)
            fit = bisect_left(counts, True, key=lambda n: self._overflows(plan, updates[:n]))
            part, updates = updates[: max(fit, 1)], updates[max(fit, 1) :]
            yield part
            if not updates:
                return

    def _overflows(self, plan: Plan, updates: Sequence[dns.update.UpdateMessage]) -> bool:
        assert plan.leaves is not None
        try:
            message = self._message(plan.expects, plan.leaves, updates)
            message.to_wire(max_size=UPDATE_BYTES_MAX - ROOM_BYTES)
        except dns.exception.TooBig:
            return True
        return False

    def _message(
        self, expects: Generation | None, leaves: Generation, updates: Iterable[dns.update.Update]
    ) -> dns.update.UpdateMessage:
        message = dns.update.UpdateMessage(self._zone)
        at = self._generation
        if expects is None:
            message.absent(at, TXT)
        else:
            message.present(at, TXT, f'"{expects}"')
            message.delete(at, TXT, f'"{expects}"')
        message.add(at, GENERATION_TTL_S, TXT, f'"{leaves}"')
        for update in updates:
            message.prerequisite.extend(update.prerequisite)
            message.update.extend(update.update)
        return message

    async def _send(self, message: dns.update.UpdateMessage) -> None:
        if self._tsig is not None:
            try:
                message.use_tsig(parse_key(self._tsig.read()))
            except (ValueError, WireError) as error:
                raise BackendError(f"tsig: {error}") from error
        unsent: list[str] = []
        for server in self._servers:
            try:
                reply = await exchange(message, server, self._timeout_s, tcp=True)
            except Unsent as error:
                unsent.append(str(error))
            except WireError as error:
                # Refused is refused; of anything else nobody knows whether it was carried out.
                denied = error.cause in (Cause.DENIED, Cause.CLOCK)
                raise (BackendRefused if denied else BackendError)(str(error)) from error
            else:
                return _judge(server, reply.rcode, reply.verified or self._tsig is None)
        raise BackendError("; ".join(unsent))


def _judge(server: Server, rcode: dns.rcode.Rcode, proven: bool) -> None:
    """NOERROR is done only when it is signed by our key (and is not yet what is served)."""
    says = f"{server} says {dns.rcode.to_text(rcode)}"
    if rcode in FENCED:
        raise BackendFenced(f"{says}: it holds something else than expected")
    if rcode in REFUSED:
        raise BackendRefused(f"{says}: it takes no such update")
    if rcode != dns.rcode.NOERROR or not proven:
        raise BackendError(says if proven else f"{says}, but did not sign it")


def _name(text: str) -> dns.name.Name:
    try:
        return parse_name(text)
    except ValueError as error:
        raise BackendRefused(str(error)) from error


def _text(rdata: Rdata) -> str:
    """A TXT record's text; of others their value, host names without the last dot."""
    if rdata.rdtype == TXT:
        return b"".join(cast(TXTRecord, rdata).strings).decode("utf-8", "replace")
    return canonical(rdata.to_text())


def _answer(pool: Pool, texts: Iterable[str]) -> Answer | None:
    known = {canonical(v): Target(v, site=m.site) for m in pool.members for v in m.values}
    targets = tuple(known.get(text, Target(text)) for text in dict.fromkeys(texts))
    return Answer(name=pool.service, targets=targets) if targets else None


def _differences(
    service: ServiceName, first: Found, found: Mapping[Server, Found | BackendError]
) -> Iterator[str]:
    for server, other in found.items():
        if isinstance(other, BackendError):
            yield str(other)
        elif other.answers[service] != first.answers[service]:
            served = other.answers[service]
            values = ", ".join(t.value for t in served.targets) if served else "nothing"
            yield f"{server} serves {values}"


def open_rfc2136(settings: Settings, wire: Any) -> nullcontext[Rfc2136]:
    return nullcontext(Rfc2136(settings))


def shape(settings: Settings) -> Shape:
    """Addresses of both families or one host name, all alike."""
    return Shape(weights=False)


ADAPTER = Adapter(kind="rfc2136", settings=Settings, open=open_rfc2136, shape=shape)
