"""pydantic's complaints as one sentence each, with code, place and what would be right."""

import difflib
import re
from collections.abc import Mapping
from types import UnionType
from typing import Annotated, Any, TypeVar, Union, get_args, get_origin

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails, PydanticCustomError

from gslb.config.document import At, Document
from gslb.config.values import duration
from gslb.wire.credentials import LITERAL

M = TypeVar("M", bound=BaseModel)
BOUNDS = ("greater_than", "less_than", "too_short", "too_long")
SHAPES = {type(None): "nothing", list: "a list", dict: "keys and values"}
SHOULD = {
    "less than or equal to": "at most",
    "greater than or equal to": "at least",
    "Input should": "it should",
    "a valid boolean": "true or false",
    "a valid list": "a list",
    "a valid tuple": "a list",
}


def nearest(name: str, known: list[str]) -> str:
    """What was meant, as the end of a sentence."""
    close = difflib.get_close_matches(name, known, 1, 0.6)
    if close:
        return f"did you mean `{close[0]}`?"
    return f"known: {', '.join(sorted(known)) or 'none'}"


def settings(
    document: Document,
    at: At,
    model: type[M],
    given: Mapping[str, Any],
    ours: Mapping[str, Any],
) -> M | None:
    """An adapter's settings: `given` stands in the file at `at`, `ours` is added where the adapter
    takes it. A key `timeout` with a unit becomes its field `timeout_s`."""
    fields = model.model_fields
    values = {key: value for key, value in ours.items() if key in fields}
    for key, value in given.items():
        if f"{key}_s" in fields:
            try:
                values[f"{key}_s"] = duration(value)
            except PydanticCustomError as error:
                document.report(error.type, (*at, key), error.message())
        else:
            values[key] = value
    try:
        return model.model_validate(values)
    except ValidationError as error:
        explain(document, at, model, error)
    return None


def explain(document: Document, at: At, model: type[BaseModel], error: ValidationError) -> None:
    """Report every mistake at its place: what is misspelt is not missing too, and of several
    things that a value could be, the one it comes closest to is told."""
    found = error.errors(include_url=False)
    spelt = [_sentence(one, model)[1] for one in found if one["type"] == "extra_forbidden"]
    told: dict[At, tuple[str, str]] = {}
    for one in found:
        code, text = _sentence(one, model)
        if code == "E010" and any(f"did you mean `{one['loc'][-1]}`" in said for said in spelt):
            continue
        told.setdefault(_way(document, at, one["loc"], missing=code == "E010"), (code, text))
    for path, (code, text) in told.items():
        if code in ("E010", "E012") or not any(way[: len(path)] == path != way for way in told):
            document.report(code, path, text, key=code in ("E010", "E012"))


def _way(document: Document, at: At, loc: At, *, missing: bool) -> At:
    """The path in the file: pydantic's has names of its own steps in it, and our `_s`."""
    way = at
    for step in loc:
        name = step.removesuffix("_s") if isinstance(step, str) else step
        found = [(*way, n) for n in (step, name) if (*way, n) in document.places]
        if found:
            way = found[0]
        elif missing and step == loc[-1]:
            way = (*way, name)
    return way


def _sentence(error: ErrorDetails, model: type[BaseModel]) -> tuple[str, str]:
    """Code and words of one of pydantic's errors, or of our own (`values.wrong`)."""
    kind, given = error["type"], error.get("input")
    said = error["msg"].removeprefix("Value error, ")
    if kind[0] == "E" and kind[1:].isdigit():
        return kind, said
    if kind == "extra_forbidden":
        *way, name = error["loc"]
        if re.search("secret|passw|token|access_key", str(name)):
            return "E040", LITERAL
        return "E012", f"unknown key `{name}` ({nearest(str(name), _keys(model, tuple(way)))})"
    shown = repr(given) if isinstance(given, str | int | float) else SHAPES.get(type(given), "this")
    said = re.sub("a valid dictionary( or instance of [A-Za-z]+)?", "keys and values", said)
    if isinstance(given, str) and kind.startswith(BOUNDS[:2]):  # a duration
        said += "s"
    for old, new in SHOULD.items():
        said = said.replace(old, new)
    match kind:
        case "value_error":
            return "E040" if said == LITERAL else "E011", said
        case "missing":
            return "E010", "is missing, and has no default"
        case "literal_error":
            return "E011", f"{given!r} is not known here (write {error['ctx']['expected']})"
        case "string_pattern_mismatch":
            return "E011", f"{given!r} is no name (letters, digits, hyphens; at most 63)"
        case _:
            return "E014" if kind.startswith(BOUNDS) else "E011", f"{shown} does not fit ({said})"


def _keys(model: Any, way: At) -> list[str]:
    """The keys that a model knows at a path."""
    kind: Any = model
    for step in way:
        kind = _bare(kind)
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            kind = kind.model_fields[str(step)].annotation
        elif get_args(kind):
            kind = get_args(kind)[-1 if get_origin(kind) is dict else 0]
    kind = _bare(kind)
    fields = kind.model_fields if isinstance(kind, type) and issubclass(kind, BaseModel) else {}
    return [field.alias or name.removesuffix("_s") for name, field in fields.items()]


def _bare(kind: Any) -> Any:
    while get_origin(kind) in (Annotated, Union, UnionType):
        kind = get_args(kind)[0]
    return kind
