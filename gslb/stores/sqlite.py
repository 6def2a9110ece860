"""The embedded store: one SQLite file, one process, one thread that may wait for the disk.

Everything runs in a daemon thread of its own, so that a disk that hangs holds up neither the loop
nor the end of the process; the caller bounds its wait (`store_timeout`). A call whose caller has
gone before it was begun is not carried out; one that was under way may have been: load again.
"""

import asyncio
import fcntl
import json
import os
import queue
import sqlite3
import threading
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from contextlib import asynccontextmanager, contextmanager, suppress
from pathlib import Path
from typing import Any, TypeVar
from uuid import uuid4

from pydantic import BaseModel, Field

from gslb.domain.errors import StoreConflict, StoreError
from gslb.ports import Adapter, Document, Entry, Kept, Query

SCHEMA = 1
WAITING_MAX = 1000
CLOSE_S = 2.0
TABLES = """
CREATE TABLE IF NOT EXISTS identity (
    one INTEGER PRIMARY KEY CHECK (one = 1), schema INTEGER, instance TEXT, epoch INTEGER,
    revision INTEGER);
CREATE TABLE IF NOT EXISTS documents (key TEXT PRIMARY KEY, body TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS journal (
    seq INTEGER PRIMARY KEY AUTOINCREMENT, wall_s REAL NOT NULL, body TEXT NOT NULL);
"""
SENTENCES = {
    sqlite3.SQLITE_FULL: "the disk is full",
    sqlite3.SQLITE_READONLY: "it cannot be written (read-only file or folder)",
    sqlite3.SQLITE_CANTOPEN: "it cannot be opened (does its folder exist, may gslb write there?)",
    sqlite3.SQLITE_BUSY: "another process has it open; a store belongs to one process",
    sqlite3.SQLITE_NOTADB: "it is no SQLite file; move it aside, and a new one is made",
    sqlite3.SQLITE_CORRUPT: "it is damaged; move it aside, and a new one is made (then `adopt`)",
    sqlite3.SQLITE_IOERR: "the disk gives an I/O error (full, over a limit, or broken)",
}
T = TypeVar("T")


class Settings(BaseModel, frozen=True, extra="forbid"):
    """Where the file is, and how many events it keeps."""

    path: Path
    journal_max: int = Field(default=100_000, ge=1)


class SqliteStore:
    """A store in one file. Offers `ports.Store`; opened by `open_sqlite`."""

    def __init__(self, settings: Settings) -> None:
        self._path, self._journal_max = settings.path, settings.journal_max
        self._calls: queue.SimpleQueue[Callable[[], None] | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._serve, name="gslb-store", daemon=True)
        self._db = sqlite3.Connection(":memory:", check_same_thread=False)
        self._lock_file: int | None = None
        self._closed = False
        self._epoch = 0

    async def load(self) -> Kept:
        """Everything but the journal."""
        return await self._send(self._load)

    async def commit(
        self,
        puts: Mapping[str, Document | None],
        *,
        if_revision: int | None = None,
        if_epoch: int | None = None,
    ) -> int:
        """As `ports.Store.commit`; on disk when it returns."""
        rows = {key: None if body is None else json.dumps(body) for key, body in puts.items()}
        return await self._send(lambda: _commit(self._db, rows, if_revision, if_epoch))

    async def append(self, documents: Sequence[Document]) -> int:
        """As `ports.Store.append`. The field `at` of an event is what `since_wall_s` reads."""
        rows = [(document.get("at", 0.0), json.dumps(document)) for document in documents]
        return await self._send(lambda: _append(self._db, rows, self._journal_max))

    async def read(self, query: Query) -> Sequence[Entry]:
        """As `ports.Store.read`."""
        return await self._send(lambda: _read(self._db, query))

    async def open(self) -> None:
        """Take the lock, open the file and begin a term. Raises StoreError."""
        self._thread.start()
        await self._send(self._open)

    async def close(self) -> None:
        """Wait for what is under way, but no longer than CLOSE_S: a disk may hang."""
        with suppress(TimeoutError):
            await asyncio.wait_for(self._send(self._shut), CLOSE_S)
        self._closed = True
        self._calls.put(None)

    async def _send(self, work: Callable[[], T]) -> T:
        """Have it done in the thread."""
        if self._closed:
            raise StoreError(f"{self._path}: the store is closed")
        if self._calls.qsize() >= WAITING_MAX:
            raise StoreError(f"{self._path}: the disk hangs, {WAITING_MAX} calls wait for it")
        answer: Future[T] = Future()

        def run() -> None:
            if not answer.set_running_or_notify_cancel():
                return
            try:
                answer.set_result(work())
            except StoreError as refused:
                answer.set_exception(refused)
            except (sqlite3.Error, OSError) as error:
                answer.set_exception(StoreError(f"{self._path}: {_sentence(error)}"))

        self._calls.put(run)
        return await asyncio.wrap_future(answer)

    def _serve(self) -> None:
        while (call := self._calls.get()) is not None:
            call()

    def _open(self) -> None:
        self._lock_file = _lock(self._path)
        self._db.close()
        self._db = sqlite3.connect(self._path, timeout=0, isolation_level=None)
        for pragma in ("locking_mode = EXCLUSIVE", "journal_mode = WAL", "synchronous = FULL"):
            self._db.execute(f"PRAGMA {pragma}")
        self._epoch = _begin_term(self._db, self._path)

    def _shut(self) -> None:
        self._db.close()
        if self._lock_file is not None:
            os.close(self._lock_file)
            self._lock_file = None

    def _load(self) -> Kept:
        instance, revision = self._db.execute("SELECT instance, revision FROM identity").fetchone()
        rows = self._db.execute("SELECT key, body FROM documents")
        return Kept(instance, self._epoch, revision, {key: json.loads(body) for key, body in rows})


def _lock(path: Path) -> int:
    """One process a file, for its life; a lock of the kernel ends with its holder, however it ends.
    The file is left: to remove it would let two processes each lock a file of their own."""
    descriptor = os.open(f"{path}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, str(os.getpid()).encode(), 0)
    except BlockingIOError:
        holder = os.pread(descriptor, 20, 0).decode(errors="replace").strip() or "unknown"
        os.close(descriptor)
        raise StoreError(
            f"{path}: another gslb (process {holder}) holds this store; "
            "stop it first, or give this one a store of its own"
        ) from None
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


def _begin_term(db: sqlite3.Connection, path: Path) -> int:
    """Make what is missing, and give the epoch, which is one higher at each start."""
    with _transaction(db):
        held = db.execute("SELECT 1 FROM sqlite_master WHERE name = 'identity'").fetchone()
        found = held and db.execute("SELECT schema FROM identity").fetchone()
        if found and found[0] > SCHEMA:
            raise StoreError(
                f"{path}: written by a newer gslb (schema {found[0]}, this one knows {SCHEMA})"
            )
        for statement in TABLES.split(";")[:-1]:
            db.execute(statement)
        birth = (SCHEMA, uuid4().hex[:12])
        db.execute("INSERT OR IGNORE INTO identity VALUES (1, ?, ?, 0, 0)", birth)
        row = db.execute("UPDATE identity SET epoch = epoch + 1 RETURNING epoch").fetchall()[0]
    return int(row[0])


def _commit(
    db: sqlite3.Connection, rows: Mapping[str, str | None], expects: int | None, term: int | None
) -> int:
    with _transaction(db):
        revision, epoch = map(int, db.execute("SELECT revision, epoch FROM identity").fetchone())
        if term not in (None, epoch):
            raise StoreConflict(f"the store is in term {epoch}, not {term}")
        if expects not in (None, revision):
            raise StoreConflict(f"the store is at revision {revision}, not {expects}")
        for key, body in rows.items():
            if body is None:
                db.execute("DELETE FROM documents WHERE key = ?", (key,))
            else:
                db.execute("INSERT OR REPLACE INTO documents VALUES (?, ?)", (key, body))
        revision += any(key.startswith("control/") for key in rows)
        db.execute("UPDATE identity SET revision = ?", (revision,))
    return revision


def _append(db: sqlite3.Connection, rows: Sequence[tuple[float, str]], keep: int) -> int:
    with _transaction(db):
        db.executemany("INSERT INTO journal (wall_s, body) VALUES (?, ?)", rows)
        last = db.execute("SELECT coalesce(max(seq), 0) FROM journal").fetchone()[0]
        db.execute("DELETE FROM journal WHERE seq <= ?", (last - keep,))
    return int(last)


def _read(db: sqlite3.Connection, query: Query) -> Sequence[Entry]:
    """Newest first and turned round, unless they are wanted from a number on."""
    where = ["seq > ?", "wall_s >= ?"]
    values: list[float | str] = [query.after or 0, query.since_wall_s or 0.0]
    for key, value in query.match.items():
        where.append("json_extract(body, ?) = ?")
        values += [f'$."{key}"', value]
    order = "DESC" if query.after is None else "ASC"
    sql = f"SELECT seq, body FROM journal WHERE {' AND '.join(where)} ORDER BY seq {order} LIMIT ?"
    rows = [Entry(seq, json.loads(body)) for seq, body in db.execute(sql, [*values, query.limit])]
    return rows[::-1] if query.after is None else rows


@contextmanager
def _transaction(db: sqlite3.Connection) -> Iterator[None]:
    """All of the block or nothing of it; durable at its end."""
    db.execute("BEGIN IMMEDIATE")
    try:
        yield
        db.execute("COMMIT")
    except BaseException:
        if db.in_transaction:  # A full disk has ended it already.
            db.execute("ROLLBACK")
        raise


def _sentence(error: sqlite3.Error | OSError) -> str:
    """What the operator reads. Extended codes carry the plain one in their low byte."""
    if isinstance(error, OSError):
        return error.strerror or str(error)
    return f"{SENTENCES.get(getattr(error, 'sqlite_errorcode', -1) & 0xFF, 'it failed')} ({error})"


@asynccontextmanager
async def open_sqlite(settings: Settings, wire: Any) -> AsyncIterator[SqliteStore]:
    """Open the file, made if it is not there, and begin a new term. Raises StoreError."""
    store = SqliteStore(settings)
    try:
        await store.open()
        yield store
    finally:
        await store.close()


ADAPTER = Adapter(kind="sqlite", settings=Settings, open=open_sqlite)
