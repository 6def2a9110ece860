"""Strict YAML 1.2 (JSON too) to plain values, and where in which file each of them stands."""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeAlias

import yaml
from yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from gslb.domain.errors import ConfigError

At: TypeAlias = tuple[str | int, ...]
"""The way to a value: ("sites", "fra", "address", 0)."""
STR = "tag:yaml.org,2002:str"
SIZE_MAX, TEXT_MAX = 1 << 20, 500
SCALARS = (
    ("null", r"~|null|Null|NULL|", "~nN"),
    ("bool", r"true|True|TRUE|false|False|FALSE", "tTfF"),
    ("int", r"[-+]?(?:0|[1-9][0-9]{0,17})", "-+0123456789"),
    ("float", r"[-+]?(?:\d+\.\d*|\.\d+|\d+(?=[eE]))(?:[eE][-+]?\d+)?", "-+.0123456789"),
)


class Strict(yaml.SafeLoader):
    """YAML 1.2 scalars, no aliases, no merge keys: what the operator typed is what we read."""

    yaml_implicit_resolvers: dict[str, list[tuple[str, re.Pattern[str]]]] = {}  # noqa: RUF012

    def compose_node(self, parent: Node | None, index: int) -> Node | None:
        if self.check_event(yaml.AliasEvent):
            mark = self.peek_event().start_mark  # type: ignore[no-untyped-call]  # not in the stubs
            raise yaml.MarkedYAMLError(problem="aliases are not allowed", problem_mark=mark)
        return super().compose_node(parent, index)


for tag, pattern, first in SCALARS:
    rule = (f"tag:yaml.org,2002:{tag}", re.compile(f"^(?:{pattern})$"))
    for letter in (*first, "") if tag == "null" else first:
        Strict.yaml_implicit_resolvers.setdefault(letter, []).append(rule)


@dataclass(frozen=True, slots=True, order=True)
class Place:
    """As editors count: both from 1."""

    file: str
    line: int
    column: int

    def __str__(self) -> str:
        return f"{self.file}:{self.line}:{self.column}"


@dataclass(slots=True)
class Document:
    """All files as one value; what was wrong on the way is collected, for one report."""

    name: str
    values: dict[str, Any] = field(default_factory=dict)
    places: dict[At, Place] = field(default_factory=dict)
    keys: dict[At, Place] = field(default_factory=dict)
    problems: list[tuple[Place, str]] = field(default_factory=list)
    warnings: list[tuple[Place, str]] = field(default_factory=list)

    def report(self, code: str, at: At, text: str, *, key: bool = False) -> None:
        """A mistake (E…) or a warning (W…) at a value, or at its key."""
        self.tell(code, self.place(at, key=key), ".".join(map(str, self._way(at))), text)

    def tell(self, code: str, place: Place, path: str, text: str) -> None:
        """The same at a place; each thing is told once."""
        kind, to = ("error", self.problems) if code[0] == "E" else ("warning", self.warnings)
        text = f"{path}: {text}"
        text = text if len(text) < TEXT_MAX else f"{text[:300]} … {text[-100:]}"
        text = "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)
        said = (place, f"{place}: {kind}[{code}] {text}")
        if said not in to:
            to.append(said)

    def place(self, at: At, *, key: bool = False) -> Place:
        """Of the value (or its key), or of the key of what would enclose it."""
        way = self._way(at)
        for end in range(len(way), 0, -1):
            places = self.keys if key or end < len(way) else self.places
            if way[:end] in places or way[:end] in self.places:
                return places.get(way[:end]) or self.places[way[:end]]
        return Place(self.name, 1, 1)

    def _way(self, at: At) -> At:
        """Without the number of what is no list in the file: one address, one storage."""
        way: At = ()
        for step in at:
            if isinstance(step, str) or (*way, step) in self.places:
                way = (*way, step)
        return way


def read(source: Path | str, name: str) -> Document:
    """Read a file (or its text) and what it includes. Raises ConfigError where it is no YAML."""
    document = Document(name)
    folder = (source if isinstance(source, Path) else Path(name)).parent
    root = _compose(source, name)
    _check(document, root, ())
    lists = [v for k, v in root.value if k.value == "include" and isinstance(v, SequenceNode)]
    for part in [part for value in lists for part in value.value]:
        for file in _included(document, folder, part):
            more = _compose(file, str(file))
            _check(document, more, ())
            _merge(document, root, more, ())
    try:
        document.values = Strict("").construct_document(root)
    except yaml.YAMLError as error:
        raise _broken(error, name) from error
    _mark(document, root, ())
    return document


def _compose(source: Path | str, name: str) -> MappingNode:
    try:
        text = source.read_text(encoding="utf-8") if isinstance(source, Path) else source
        if len(text) > SIZE_MAX:
            raise ConfigError((f"{name}:1:1: error[E001] (file): is larger than 1 MiB",))
        if text.lstrip()[:1] == "{":  # JSON may be indented by tabs, YAML may not.
            text = text.replace("\t", " ")
        loader = Strict(text)
        loader.name = name
        node = loader.get_single_node()
    except (OSError, UnicodeDecodeError) as error:
        why = getattr(error, "strerror", None) or error
        raise ConfigError((f"{name}:1:1: error[E001] (file): cannot be read: {why}",)) from error
    except (yaml.YAMLError, RecursionError) as error:
        raise _broken(error, name) from error
    if node is not None and not isinstance(node, MappingNode):
        said = f"{name}:1:1: error[E002] (file): must be keys and values (`sites: …`)"
        raise ConfigError((said,))
    return node or MappingNode("tag:yaml.org,2002:map", [])


def _broken(error: Exception, name: str) -> ConfigError:
    mark = getattr(error, "problem_mark", None)
    place = _place(mark) if mark else Place(name, 1, 1)
    why = getattr(error, "problem", None) or str(error).splitlines()[0]
    if isinstance(error, RecursionError):
        why = "it is nested too deeply"
    return ConfigError((f"{place}: error[E002] (file): is no YAML: {why}",))


def _place(mark: Any) -> Place:
    return Place(mark.name, mark.line + 1, mark.column + 1)


def _included(document: Document, folder: Path, node: Node) -> Iterator[Path]:
    pattern = str(node.value)
    found = sorted(folder.glob(pattern)) if "*" in pattern else [folder / pattern]
    for file in found:
        if file.is_file():
            yield file
        else:
            text = f"there is no file {node.value} beside this one (create it, or take it out)"
            document.tell("E004", _place(node.start_mark), "include", text)


def _check(document: Document, node: Node, at: At) -> None:
    """Refuse keys that are no text or stand twice; only the first stays."""
    if isinstance(node, SequenceNode):
        for index, value in enumerate(node.value):
            _check(document, value, (*at, index))
    if not isinstance(node, MappingNode):
        return
    seen: dict[str, int] = {}
    for pair in list(node.value):
        key, value = pair
        place, text = _place(key.start_mark), None
        if not isinstance(key, ScalarNode) or key.tag != STR:
            text = "a key must be text (put it in quotes)"
        elif key.value in seen:
            text = f"stands twice, first at line {seen[key.value]} (keep one)"
        if text:
            path = ".".join(map(str, (*at, getattr(key, "value", "?"))))
            document.tell("E003", place, path, text)
            node.value.remove(pair)
        else:
            seen[key.value] = place.line
            _check(document, value, (*at, key.value))


def _merge(document: Document, into: MappingNode, more: MappingNode, at: At) -> None:
    """Maps merge, lists append; anything else stands in one file only."""
    have = {key.value: value for key, value in into.value}
    for key, value in more.value:
        old = have.get(key.value)
        if key.value == "include" and not at:
            text = "stands in a file that is included itself (name all in the first file)"
            document.tell("E004", _place(key.start_mark), "include", text)
        elif old is None:
            into.value.append((key, value))
        elif isinstance(old, MappingNode) and isinstance(value, MappingNode):
            _merge(document, old, value, (*at, key.value))
        elif isinstance(old, SequenceNode) and isinstance(value, SequenceNode):
            old.value.extend(value.value)
        else:
            text = f"is set twice, here and at {_place(old.start_mark)} (keep one)"
            path = ".".join(map(str, (*at, key.value)))
            document.tell("E005", _place(key.start_mark), path, text)


def _mark(document: Document, node: Node, at: At) -> None:
    document.places[at] = _place(node.start_mark) if node.start_mark else Place(document.name, 1, 1)
    if isinstance(node, MappingNode):
        for key, value in node.value:
            document.keys[(*at, key.value)] = _place(key.start_mark)
            _mark(document, value, (*at, key.value))
    elif isinstance(node, SequenceNode):
        for index, value in enumerate(node.value):
            _mark(document, value, (*at, index))
