"""Domain values as JSON documents and back, for the store."""

import dataclasses
import logging
import types
from collections.abc import Mapping
from enum import Enum
from typing import Any, TypeVar, Union, get_args, get_origin, get_type_hints

from gslb.domain.control import Now
from gslb.domain.messages import Remembered
from gslb.domain.topology import BackendName, ServiceName
from gslb.domain.world import Memory
from gslb.ports import Kept

T = TypeVar("T")


def to_document(value: Any) -> Any:
    """Dataclasses become objects, enums their values, tuples arrays."""
    if dataclasses.is_dataclass(value):
        return {f.name: to_document(getattr(value, f.name)) for f in dataclasses.fields(value)}
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, Mapping):
        return {str(k): to_document(v) for k, v in value.items()}
    if isinstance(value, tuple | list):
        return [to_document(v) for v in value]
    return None if value == float("inf") else value


def from_document(kind: type[T], document: Any) -> T:
    """Raises ValueError, TypeError or KeyError when the document is not a `kind`."""
    found: T = _read(kind, document)
    return found


def _read(kind: Any, document: Any) -> Any:
    origin = get_origin(kind)
    if origin in (types.UnionType, Union):
        inner = [k for k in get_args(kind) if k is not type(None)]
        return None if document is None else _read(inner[0], document)
    if origin is tuple:
        return _read_tuple(get_args(kind), document)
    if dataclasses.is_dataclass(kind):
        if not isinstance(document, Mapping):
            raise TypeError(f"{document!r} is no object")
        hints = get_type_hints(kind)
        names = {f.name for f in dataclasses.fields(kind)}
        given = {k: _read(hints[k], v) for k, v in document.items() if k in names}
        return kind(**{k: v for k, v in given.items() if v is not None})  # type: ignore[operator]  # a class
    if isinstance(kind, type) and issubclass(kind, Enum):
        return kind(document)
    return _plain(getattr(kind, "__supertype__", kind), document)


def _read_tuple(kinds: tuple[Any, ...], document: Any) -> tuple[Any, ...]:
    if len(kinds) == 2 and kinds[1] is Ellipsis:
        return tuple(_read(kinds[0], v) for v in document)
    if len(kinds) != len(document):
        raise ValueError(f"{len(document)} values, {len(kinds)} are wanted")
    return tuple(_read(k, v) for k, v in zip(kinds, document, strict=True))


def _plain(kind: Any, document: Any) -> Any:
    if document is None:
        return None
    if kind is float and isinstance(document, int) and not isinstance(document, bool):
        return float(document)
    if not isinstance(document, kind):
        raise TypeError(f"{document!r} is not of {kind}")
    return document


def shifted(memory: Memory, by_s: float, last_s: float = float("inf")) -> Memory:
    """The same memory on another clock: boot time means nothing after a restart.

    Nothing of it lies after `last_s`: two wall clocks may differ.
    """

    def at(t: float | None) -> float | None:
        return None if t is None else min(t + by_s, last_s)

    return dataclasses.replace(
        memory,
        fell_at_s=at(memory.fell_at_s),
        failed_at_s=at(memory.failed_at_s),
        drains=tuple(min(t + by_s, last_s) for t in memory.drains),
        left=tuple((s, min(t + by_s, last_s), who) for s, t, who in memory.left),
        ramps=tuple((s, min(t + by_s, last_s)) for s, t in memory.ramps),
    )


def remembered(kept: Kept, now: Now) -> Remembered:
    """What the store holds of sites and backends. What cannot be read is left out, and said."""
    memories: list[Memory] = []
    adopted: dict[BackendName, tuple[ServiceName, ...]] = {}
    conflicts: dict[BackendName, str] = {}
    for key, document in kept.documents.items():
        kind, _, name = key.partition("/")
        try:
            if kind == "site":
                memory = from_document(Memory, document)
                memories.append(shifted(memory, now.boot_s - now.wall_s, now.boot_s))
            elif kind == "adopted":
                adopted[BackendName(name)] = tuple(ServiceName(s) for s in document["services"])
            elif kind == "conflict":
                conflicts[BackendName(name)] = str(document["text"])
        except (ValueError, TypeError, KeyError) as error:
            logging.getLogger("gslb").warning("the document %s is left out: %s", key, error)
    return Remembered(
        instance=kept.instance,
        memories=tuple(memories),
        adopted=adopted,
        conflicts=conflicts,
        incidents=int(kept.documents.get("incidents", {}).get("number", 0)),
    )
