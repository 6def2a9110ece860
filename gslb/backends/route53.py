"""Amazon Route 53: weighted record sets, one for each site and type; a site that is out has none.

One atomic batch a plan, fenced by the generation TXT: an exact DELETE of the old, a CREATE of the
new (ChangeResourceRecordSets, API of 2013-04-01).
"""

import asyncio
import re
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from functools import partial
from typing import Any, TypeVar

from pydantic import BaseModel, Field

from gslb.domain.errors import BackendError, BackendFenced, BackendRefused, WireError
from gslb.domain.traffic import Answer, Plan, Pool, Reading, Shape, Target
from gslb.ports import Adapter
from gslb.wire.credentials import Keys, Secret, aws_keys
from gslb.wire.dns import canonical, generation_of, kind_of

T = TypeVar("T")
Set = dict[str, Any]
"""A ResourceRecordSet, as the API gives it: a DELETE must repeat it exactly."""
KINDS = ("A", "AAAA", "CNAME")
GENERATION_TTL_S = 60
RECORDS_MAX = 1000
POLL_MAX_S = 5.0
DENIED = re.compile(
    "AccessDenied|InvalidClientToken|SignatureDoesNotMatch|NoSuchHostedZone|Expired"
)
STALE = re.compile("not found|do not match|already exists")


class Settings(BaseModel, frozen=True, extra="forbid", hide_input_in_errors=True):
    """`zone` is the hosted zone's id; without `keys`, those that AWS' own tools find."""

    zone: str = Field(pattern=r"^[A-Z0-9]+$")
    keys: Secret | None = None
    endpoint: str | None = None
    region: str = "us-east-1"
    generation: str | None = None
    insync_s: float = Field(60.0, ge=0.1, le=600)
    timeout_s: float = Field(10.0, ge=0.1, le=60)


class Route53:
    """Raises BackendError and nothing else."""

    def __init__(self, settings: Settings, threads: ThreadPoolExecutor) -> None:
        self._settings, self._threads = settings, threads
        self._client: tuple[Keys | None, Any] | None = None

    async def read(self, pools: Sequence[Pool]) -> Reading:
        """By the API, which shows a batch as soon as it is accepted (before it is INSYNC)."""
        sets = await self._call(self._list)
        texts = [text for one in self._generations(sets) for text in _texts(one)]
        generation, foreign = generation_of(texts)
        answers = {pool.service: _answer(pool, sets) for pool in pools}
        return Reading(answers=answers, generation=generation, foreign_generation=foreign)

    async def apply(self, plan: Plan) -> None:
        """One batch, and wait until all name servers have it (INSYNC)."""
        assert plan.leaves is not None, "this backend is fenced"
        sets = await self._call(self._list)
        for change in plan.changes:
            if (served := _answer(change.pool, sets)) != change.before:
                raise BackendFenced(f"{change.pool.service} is not as expected: {served}")
        held = self._generations(sets)
        expected = [str(plan.expects)] if plan.expects else []
        if [text for one in held for text in _texts(one)] != expected:
            raise BackendFenced(f"the generation is not {plan.expects}")
        leaves = _set(self._generation_name(sets), "TXT", GENERATION_TTL_S, [f'"{plan.leaves}"'])
        batch = [("DELETE", one) for one in held] + [("CREATE", leaves)]
        for change in plan.changes:
            old, new = _at(change.pool, sets), list(_wanted(change.pool, change.after))
            batch += [("DELETE", one) for one in old if one not in new]
            batch += [("CREATE", one) for one in new if one not in old]
        records = sum(len(one.get("ResourceRecords", [1])) for _, one in batch)
        if records > RECORDS_MAX:
            raise BackendRefused(f"{records} records in one batch; Route 53 takes {RECORDS_MAX}")
        # Deletes first: a CNAME and addresses never stand side by side, not even in the request.
        batch.sort(key=lambda pair: pair[0], reverse=True)
        await self._in_sync(await self._call(partial(self._send, batch)))

    async def _in_sync(self, change: dict[str, Any]) -> None:
        pause_s = 0.1
        try:
            async with asyncio.timeout(self._settings.insync_s):
                while change["Status"] != "INSYNC":
                    await asyncio.sleep(pause_s)
                    pause_s = min(2 * pause_s, POLL_MAX_S)
                    change = await self._call(partial(self._status, change["Id"]))
        except TimeoutError:
            late = f"it is not INSYNC after {self._settings.insync_s:g} s"
            raise BackendError(f"Route 53 took the batch, but {late}") from None

    async def _call(self, work: Callable[[Any], T]) -> T:
        """In our own threads, never in the default pool: past the deadline nobody knows."""
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(self._settings.timeout_s):
                return await loop.run_in_executor(self._threads, self._guarded, work)
        except TimeoutError:
            text = f"Route 53: no answer within {self._settings.timeout_s:g} s"
            raise BackendError(text) from None

    def _guarded(self, work: Callable[[Any], T]) -> T:
        from botocore.exceptions import BotoCoreError, ClientError

        try:
            return work(self._connected())
        except ClientError as error:
            code = str(error.response.get("Error", {}).get("Code"))
            text = f"Route 53: {error}"
            if code == "InvalidChangeBatch":
                raise (BackendFenced if STALE.search(text) else BackendRefused)(text) from error
            raise (BackendRefused if DENIED.search(code) else BackendError)(text) from error
        except (BotoCoreError, WireError) as error:
            raise BackendError(f"Route 53: {error}") from error

    def _connected(self) -> Any:
        """A client; a new one when the keys were changed."""
        import boto3
        from botocore.config import Config

        keys = aws_keys(self._settings.keys) if self._settings.keys else None
        if self._client is None or self._client[0] != keys:
            session = boto3.Session(
                aws_access_key_id=keys and keys.access,
                aws_secret_access_key=keys and keys.secret,
                aws_session_token=keys and keys.token,
                region_name=self._settings.region,
            )
            # One attempt: the loop is the retry, and a repeated batch would meet its own traces.
            limits = Config(connect_timeout=2, read_timeout=5, retries={"total_max_attempts": 1})
            endpoint = self._settings.endpoint
            self._client = keys, session.client("route53", endpoint_url=endpoint, config=limits)
        return self._client[1]

    def _list(self, client: Any) -> list[Set]:
        pages = client.get_paginator("list_resource_record_sets")
        found = pages.paginate(HostedZoneId=self._settings.zone)
        return [one for page in found for one in page["ResourceRecordSets"]]

    def _send(self, batch: Sequence[tuple[str, Set]], client: Any) -> dict[str, Any]:
        changes = [{"Action": action, "ResourceRecordSet": one} for action, one in batch]
        answer = client.change_resource_record_sets(
            HostedZoneId=self._settings.zone, ChangeBatch={"Changes": changes}
        )
        return dict(answer["ChangeInfo"])

    def _status(self, change: str, client: Any) -> dict[str, Any]:
        return dict(client.get_change(Id=change)["ChangeInfo"])

    def _generation_name(self, sets: Sequence[Set]) -> str:
        apex = next((_name(one) for one in sets if one["Type"] == "SOA"), "")
        return self._settings.generation or f"_gslb.{apex}"

    def _generations(self, sets: Sequence[Set]) -> list[Set]:
        name = canonical(self._generation_name(sets))
        return [one for one in sets if one["Type"] == "TXT" and _name(one) == name]


def _name(one: Set) -> str:
    """The name as people write it; the API has `\\052` for `*`."""
    return canonical(re.sub(r"\\([0-7]{3})", lambda m: chr(int(m[1], 8)), one["Name"]))


def _texts(one: Set) -> Iterator[str]:
    for record in one.get("ResourceRecords", []):
        yield "".join(re.findall(r'"([^"]*)"', record["Value"]))


def _at(pool: Pool, sets: Sequence[Set]) -> list[Set]:
    return [one for one in sets if one["Type"] in KINDS and _name(one) == canonical(pool.service)]


def _answer(pool: Pool, sets: Sequence[Set]) -> Answer | None:
    known = {canonical(value): value for member in pool.members for value in member.values}
    targets: dict[str, Target] = {}
    for one in _at(pool, sets):
        alias = [{"Value": one["AliasTarget"]["DNSName"]}] if "AliasTarget" in one else []
        for record in one.get("ResourceRecords", alias):
            text = canonical(record["Value"])
            value, weight = known.get(text, text), one.get("Weight", 1)
            if weight:
                targets[value] = Target(value, weight, pool.site_of(value))
    return Answer(name=pool.service, targets=tuple(targets.values())) if targets else None


def _set(name: str, kind: str, ttl_s: float, values: Sequence[str]) -> Set:
    records = [{"Value": value} for value in values]
    name = f"{canonical(name)}."
    return {"Name": name, "Type": kind, "TTL": max(1, round(ttl_s)), "ResourceRecords": records}


def _wanted(pool: Pool, after: Answer) -> Iterator[Set]:
    """One weighted set for each site and type; the set identifier is the site's name."""
    groups: dict[tuple[str, str], list[Target]] = {}
    for target in after.targets:
        groups.setdefault((target.site or target.value, kind_of(target.value)), []).append(target)
    for (identifier, kind), targets in groups.items():
        values = [canonical(target.value) for target in targets]
        yield _set(pool.service, kind, pool.ttl_s, values) | {
            "SetIdentifier": identifier,
            "Weight": targets[0].weight,
        }


@asynccontextmanager
async def open_route53(settings: Settings, wire: Any) -> AsyncIterator[Route53]:
    threads = ThreadPoolExecutor(2, thread_name_prefix="route53")
    try:
        yield Route53(settings, threads)
    finally:
        threads.shutdown(wait=False, cancel_futures=True)


def shape(settings: Settings) -> Shape:
    """Weights of 1 to 255."""
    return Shape(weights=True, weight_max=255)


ADAPTER = Adapter(kind="route53", settings=Settings, open=open_route53, shape=shape)
