"""The live feed: snapshot, changes, resume, gaps, and slow readers."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from tests.api.fake_operator import FakeOperator
from tests.api.live import Live, live
from tests.kit import until


@dataclass
class Reader:
    """One reader of the feed."""

    response: aiohttp.ClientResponse

    async def message(self) -> dict[str, Any]:
        """The next message; a comment is `{"comment": …}`."""
        seen: dict[str, Any] = {}
        async with asyncio.timeout(5):
            while line := (await self.response.content.readline()).decode().rstrip("\n"):
                name, _, text = line.partition(": ")
                seen[name or "comment"] = json.loads(text) if name == "data" else text
        return seen

    async def end(self) -> bytes:
        """What is left, once the server has closed."""
        async with asyncio.timeout(5):
            return await self.response.content.read()


@asynccontextmanager
async def follow(api: Live, last: str | None = None) -> AsyncIterator[Reader]:
    """Read the feed."""
    headers = {"Accept": "text/event-stream", "Authorization": "Bearer fake-read"}
    headers |= {} if last is None else {"Last-Event-ID": last}
    async with api.session.get(f"{api.served.url}/v1/events", headers=headers) as response:
        assert response.status == 200
        assert response.content_type == "text/event-stream"
        yield Reader(response)


async def journal(count: int) -> FakeOperator:
    """An operator to whom `count` things have happened."""
    operator = FakeOperator()
    for n in range(count):
        await operator.tell(f"event {n + 1}")
    return operator


async def test_a_reader_gets_a_snapshot_and_then_each_change_with_its_number(
    tmp_path: Path,
) -> None:
    operator = await journal(3)
    async with live(tmp_path, operator) as api, follow(api) as reader:
        first = await reader.message()
        await operator.tell("eu up -> down", site="eu")
        await operator.become(operator.world)
        await operator.tell("eu is out")
        second, third = await reader.message(), await reader.message()
    assert (first["event"], first["id"]) == ("snapshot", "3")
    assert first["data"]["cluster"] == "test"
    assert (second["event"], second["id"]) == ("change", "4")
    assert second["data"]["seq"] == 4
    assert (second["data"]["text"], second["data"]["site"]) == ("eu up -> down", "eu")
    assert second["data"]["at"] == "2027-01-15T08:00:00Z"
    assert third["id"] == "5", "a cycle without an event says nothing"


async def test_a_reader_who_comes_back_gets_what_was_missed_and_no_snapshot(
    tmp_path: Path,
) -> None:
    operator = await journal(5)
    async with live(tmp_path, operator) as api, follow(api, "3") as reader:
        missed = [await reader.message(), await reader.message()]
        await operator.tell("event 6")
        live_ = await reader.message()
    assert [(m["event"], m["id"]) for m in [*missed, live_]] == [
        ("change", "4"),
        ("change", "5"),
        ("change", "6"),
    ]


async def test_a_reader_who_missed_nothing_goes_on(tmp_path: Path) -> None:
    operator = await journal(2)
    async with live(tmp_path, operator) as api, follow(api, "2") as reader:
        assert "comment" in await reader.message()
        await operator.tell("event 3")
        assert (await reader.message())["id"] == "3"


async def test_a_gap_is_said_and_everything_told_again(tmp_path: Path) -> None:
    operator = await journal(5)
    operator.journal = operator.journal[3:]
    async with live(tmp_path, operator) as api:
        for last in ("1", "99"):
            async with follow(api, last) as reader:
                gap, snapshot = await reader.message(), await reader.message()
            assert gap["event"] == "gap"
            assert gap["data"]["after"] == int(last)
            assert (snapshot["event"], snapshot["id"]) == ("snapshot", "5")


async def test_a_journal_that_cannot_be_read_is_a_gap_and_not_silence(tmp_path: Path) -> None:
    operator = await journal(5)
    operator.store_fails = True
    async with live(tmp_path, operator) as api, follow(api, "3") as reader:
        assert (await reader.message())["event"] == "gap"
        assert (await reader.message())["event"] == "snapshot"
        await operator.tell("event 6")
        assert (await reader.message())["id"] == "6"


async def test_a_quiet_feed_shows_that_it_lives(tmp_path: Path) -> None:
    async with live(tmp_path, ping_s=0.02) as api, follow(api) as reader:
        await reader.message()
        assert "comment" in await reader.message()
        assert "comment" in await reader.message()


async def test_a_feed_that_the_loop_cuts_ends_with_a_gap(tmp_path: Path) -> None:
    operator = await journal(1)
    async with live(tmp_path, operator) as api, follow(api) as reader:
        await reader.message()
        operator.cut()
        assert (await reader.message())["event"] == "gap"
        assert await reader.end() == b""


async def test_a_reader_who_does_not_read_is_cut(tmp_path: Path) -> None:
    operator = FakeOperator()
    async with live(tmp_path, operator, write_s=0.1) as api, follow(api) as reader:
        await reader.message()
        for _ in range(40):
            await operator.tell("x" * 1_000_000)
        await until(lambda: operator.feeds == 0, 20)


async def test_a_reader_who_leaves_is_no_error(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    operator = FakeOperator()
    async with live(tmp_path, operator, ping_s=0.02) as api:
        async with follow(api) as reader:
            await reader.message()
        await until(lambda: ("request", "/v1/events", "GET", 200) in api.counted)
    assert [record.getMessage() for record in caplog.records] == []


async def test_only_so_many_feeds_are_open_and_a_closed_one_makes_room(tmp_path: Path) -> None:
    operator, counts = FakeOperator(), []
    async with live(
        tmp_path, operator, feeds=1, ping_s=0.02, put=lambda _, n: counts.append(n)
    ) as api:
        async with follow(api) as reader:
            await reader.message()
            refused = await api.get("/v1/events", Accept="text/event-stream")
            assert refused.status == 503
            assert counts == [1.0]
        await until(lambda: counts[-1] == 0.0)
        async with follow(api) as reader:
            assert (await reader.message())["event"] == "snapshot"


async def test_a_feed_ends_when_the_server_does(tmp_path: Path) -> None:
    async with live(tmp_path) as api, follow(api) as reader:
        await reader.message()
    assert api.operator.feeds == 0


async def test_a_feed_needs_a_token(tmp_path: Path) -> None:
    async with live(tmp_path) as api:
        said = await api.get("/v1/events", None, Accept="text/event-stream")
    assert said.status == 401
