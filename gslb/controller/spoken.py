"""The words of people and alerts in the store: written first, then learned as an input."""

import asyncio
import contextlib
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

from gslb.controller.documents import from_document, to_document
from gslb.domain.control import Mode, Override, OwnerKind, Pause
from gslb.domain.errors import StoreConflict, StoreError
from gslb.domain.messages import ControlChanged, Input
from gslb.ports import Clock, Document, Kept, Store

PREFIX = "control/override/"
PAUSE, MODE = "control/pause", "control/mode"
STORE_TIMEOUT_S = 2.0
FOLLOW_S = 1.0
SAY_TRIES = 5
NOT_LEARNED = float("inf")
"""The end on a boot clock that may have been another one."""


class Spoken:
    """Overrides, pause and mode, as the store has them. Every change is durable when it returns."""

    def __init__(self, store: Store, clock: Clock, put: Callable[[Input], None]) -> None:
        self._store = store
        self._clock = clock
        self._put = put
        self._words: dict[str, Override] = {}
        self._pause: Pause | None = None
        self._unreadable = False
        self._mode = Mode.OBSERVE
        self._revision = 0
        self._turn = asyncio.Lock()
        self.pause_file: Path | None = None

    async def load(self) -> Kept:
        """Read everything again; what cannot be parsed is left out, a pause counts as paused."""
        kept = await self._fetch()
        self._take(kept)
        return kept

    async def follow(self) -> None:
        """Learn what is said at other replicas. Who cannot read it will lose the lease as well."""
        while True:
            await asyncio.sleep(FOLLOW_S)
            with contextlib.suppress(StoreError):
                kept = await self._fetch()
                if kept.revision != self._revision:
                    self._take(kept)

    async def _fetch(self) -> Kept:
        try:
            async with asyncio.timeout(STORE_TIMEOUT_S):
                return await self._store.load()
        except TimeoutError as error:
            raise StoreError("the store does not answer") from error

    def _take(self, kept: Kept) -> None:
        self._words = {}
        for key, document in kept.documents.items():
            if key.startswith(PREFIX):
                try:
                    word = replace(from_document(Override, document), ends_at_s=NOT_LEARNED)
                except (ValueError, TypeError, KeyError):
                    continue
                self._words[word.key] = word
        self._read_pause(kept.documents.get(PAUSE))
        self._mode = Mode((kept.documents.get(MODE) or {}).get("mode", Mode.OBSERVE))
        self._revision = kept.revision
        self.tell()

    def tell(self) -> None:
        """Give the loop what is in force now."""
        self._put(
            ControlChanged(
                revision=self._revision,
                overrides=tuple(self._words.values()),
                pause=self._pause,
                mode=self._mode,
                pause_file=self.pause_file is not None and self.pause_file.exists(),
                pause_unreadable=self._unreadable,
            )
        )

    async def set_override(self, word: Override, *, replace_other: bool) -> Override:
        """Keep one word. StoreConflict when another person speaks of the same already."""
        async with self._turn:
            for _ in range(SAY_TRIES):
                other = self._other(word)
                if other is not None and not replace_other:
                    raise StoreConflict(f"{other.owner} already says {other.action} {other.site}")
                word = replace(word, version=self._revision + 1)
                puts: dict[str, Document | None] = {PREFIX + word.key: to_document(word)}
                if other is not None:
                    puts[PREFIX + other.key] = None
                try:
                    await self._commit(puts, if_revision=self._revision)
                except StoreConflict:  # somebody spoke elsewhere: with that known, once more
                    await self.load()
                    continue
                if other is not None:
                    self._words.pop(other.key, None)
                self._words[word.key] = word
                self.tell()
                return word
            raise StoreError("others speak all the time; nothing was kept")

    async def drop(self, words: tuple[Override, ...]) -> tuple[Override, ...]:
        """Release these; gives those that there were."""
        async with self._turn:
            found = tuple(w for w in words if w.key in self._words)
            if found:
                await self._commit({PREFIX + w.key: None for w in found})
                for w in found:
                    self._words.pop(w.key, None)
                self.tell()
            return found

    async def set_pause(self, pause: Pause | None) -> None:
        """Stop automation, or let it go on."""
        async with self._turn:
            await self._commit({PAUSE: None if pause is None else to_document(pause)})
            self._pause, self._unreadable = pause, False
            self.tell()

    async def set_mode(self, mode: Mode) -> None:
        """Observe or live."""
        async with self._turn:
            await self._commit({MODE: {"mode": str(mode)}})
            self._mode = mode
            self.tell()

    async def forget(self, keys: tuple[str, ...]) -> None:
        """What has ended by itself is taken out. StoreError: it ends again after a restart."""
        if not keys:
            return
        async with self._turn:
            await self._commit({(PAUSE if k == "pause" else PREFIX + k): None for k in keys})
            for key in keys:
                self._words.pop(key, None)
            self._pause = None if "pause" in keys else self._pause
            self.tell()

    def _other(self, word: Override) -> Override | None:
        if word.owner.kind is OwnerKind.ALERT:
            return None
        now_s = self._clock.now().wall_s
        for other in self._words.values():
            same = other.site == word.site and set(other.services) == set(word.services)
            person = other.owner.kind is not OwnerKind.ALERT and other.owner != word.owner
            if same and person and other.ends_wall_s > now_s:
                return other
        return None

    def _read_pause(self, document: Document | None) -> None:
        self._unreadable = False
        self._pause = None
        if document is not None:
            try:
                self._pause = replace(from_document(Pause, document), ends_at_s=NOT_LEARNED)
            except (ValueError, TypeError, KeyError):
                self._unreadable = True

    async def _commit(
        self, puts: Mapping[str, Document | None], if_revision: int | None = None
    ) -> None:
        try:
            async with asyncio.timeout(STORE_TIMEOUT_S):
                revision = await self._store.commit(puts, if_revision=if_revision)
        except TimeoutError as error:
            raise StoreError("the store does not answer; nothing was kept") from error
        if revision == self._revision + 1:
            self._revision = revision
        else:  # another replica spoke meanwhile
            await self.load()
