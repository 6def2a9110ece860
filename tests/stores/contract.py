"""What every store must do. A test file inherits `Contract` and gives a fixture `store`."""

import pytest

from gslb.domain.errors import StoreConflict
from gslb.ports import Query, Store


class Contract:
    """One suite for all stores."""

    async def test_a_new_store_has_an_instance_a_first_epoch_and_nothing_else(
        self, store: Store
    ) -> None:
        kept = await store.load()
        assert len(kept.instance) >= 12
        assert " " not in kept.instance
        assert kept.epoch == 1
        assert kept.revision == 0
        assert kept.documents == {}

    async def test_what_is_committed_is_loaded(self, store: Store) -> None:
        document = {"site": "eu", "ends": 12.5, "tags": ["a", "é"], "none": None, "deep": {"x": 1}}
        await store.commit({"control/override": document, "memory/eu": {}})
        assert (await store.load()).documents == {"control/override": document, "memory/eu": {}}

    async def test_a_document_is_replaced_and_deleted(self, store: Store) -> None:
        await store.commit({"memory/eu": {"n": 1}, "memory/us": {"n": 1}})
        await store.commit({"memory/eu": {"n": 2}, "memory/us": None, "memory/never": None})
        assert (await store.load()).documents == {"memory/eu": {"n": 2}}

    async def test_only_control_documents_raise_the_revision_and_once_a_commit(
        self, store: Store
    ) -> None:
        assert await store.commit({"memory/eu": {}}) == 0
        assert await store.commit({"control/mode": {"mode": "live"}, "control/pause": {}}) == 1
        assert await store.commit({"control/pause": None}) == 2
        assert (await store.load()).revision == 2

    async def test_a_commit_on_an_old_revision_changes_nothing(self, store: Store) -> None:
        await store.commit({"control/mode": {"mode": "live"}})
        with pytest.raises(StoreConflict, match="revision 1, not 0"):
            await store.commit({"control/mode": {"mode": "observe"}, "m": {}}, if_revision=0)
        assert (await store.load()).documents == {"control/mode": {"mode": "live"}}
        assert await store.commit({"control/mode": {"mode": "observe"}}, if_revision=1) == 2

    async def test_a_commit_of_another_term_changes_nothing(self, store: Store) -> None:
        with pytest.raises(StoreConflict, match="term 1"):
            await store.commit({"plan/dns": {}}, if_epoch=2)
        assert (await store.load()).documents == {}
        await store.commit({"plan/dns": {}}, if_epoch=1)
        assert (await store.load()).documents == {"plan/dns": {}}

    async def test_nobody_holds_on_to_what_is_in_the_store(self, store: Store) -> None:
        document = {"tags": ["a"]}
        await store.commit({"memory/eu": document})
        document["tags"].append("b")
        (await store.load()).documents["memory/eu"]["tags"].append("c")
        assert (await store.load()).documents == {"memory/eu": {"tags": ["a"]}}

    async def test_the_journal_numbers_events_from_one(self, store: Store) -> None:
        assert await store.append([{"text": "a"}, {"text": "b"}]) == 2
        assert await store.append([]) == 2
        assert await store.append([{"text": "c"}]) == 3
        assert [(e.seq, e.document["text"]) for e in await store.read(Query())] == [
            (1, "a"),
            (2, "b"),
            (3, "c"),
        ]

    async def test_the_journal_is_read_from_its_end_or_from_a_number_on(self, store: Store) -> None:
        await store.append([{"n": n} for n in range(1, 10)])

        async def read(query: Query) -> list[int]:
            return [entry.seq for entry in await store.read(query)]

        assert await read(Query(limit=3)) == [7, 8, 9]
        assert await read(Query(after=2, limit=3)) == [3, 4, 5]
        assert await read(Query(after=0, limit=2)) == [1, 2]
        assert await read(Query(after=9)) == []

    async def test_the_journal_is_searched_by_fields_and_time(self, store: Store) -> None:
        await store.append(
            [
                {"kind": "site", "site": "eu", "at": 100.0},
                {"kind": "site", "site": "us", "at": 200.0},
                {"kind": "answer", "site": "eu", "at": 300.0},
                {"kind": "answer", "site": None, "at": 400.0},
            ]
        )

        async def read(**wanted: str) -> list[int]:
            return [entry.seq for entry in await store.read(Query(match=wanted))]

        assert await read(site="eu") == [1, 3]
        assert await read(site="eu", kind="answer") == [3]
        assert await read(colour="red") == []
        late = await store.read(Query(match={"site": "eu"}, since_wall_s=150.0))
        assert [entry.seq for entry in late] == [3]

    async def test_the_journal_keeps_the_newest_only(self, store: Store) -> None:
        """The fixture's store keeps 50."""
        for _ in range(6):
            await store.append([{"n": n} for n in range(20)])
        entries = await store.read(Query(after=0, limit=1000))
        assert [entry.seq for entry in entries] == list(range(71, 121))
