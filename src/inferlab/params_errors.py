"""What is wrong with a row of params.yaml, in the words of the file and not of pydantic."""

import re
import types
import typing
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import BaseModel, ValidationError

from inferlab.errors import ParamsError, near_match
from inferlab.models.base import Model
from inferlab.studies.base import Study

if TYPE_CHECKING:
    from pydantic_core import ErrorDetails

LIMITS = {
    "greater_than": "a number above {gt}",
    "greater_than_equal": "at least {ge}",
    "less_than": "a number below {lt}",
    "less_than_equal": "at most {le}",
    "literal_error": "{expected}",
    "too_short": "a list of at least {min_length} item(s)",
}
KINDS = {"int": "a whole number", "float": "a number", "string": "text", "bool": "true or false"}


def explained(error: ValidationError, cls: type[BaseModel], row: Any, key: str) -> ParamsError:
    """The first complaint of pydantic as a ParamsError; of a misspelt key, rather than of the one that it stood for."""
    complaints = error.errors()
    first = next((found for found in complaints if found["type"] == "extra_forbidden"), complaints[0])
    path = [part for part in first["loc"] if not (isinstance(part, str) and part.startswith(("function-", "tagged-")))]
    full = key + "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in path)
    value = _at(row, path)
    if first["type"] == "missing":
        return ParamsError(full, None, "this key is required")
    if first["type"] == "extra_forbidden":
        fields = _field_names(_class_at(cls, path[:-1]))
        return ParamsError(full, value, f"one of {', '.join(fields)}", near_match(str(path[-1]), fields))
    near = None
    if first["type"] == "literal_error":
        near = near_match(str(value), re.findall(r"'([^']*)'", first["ctx"]["expected"]))
    return ParamsError(full, value, _allowed(first, cls, path), near)


def _allowed(complaint: "ErrorDetails", cls: type[BaseModel], path: list[Any]) -> str:
    """What is allowed, in the words of the file and not of pydantic."""
    kind, _, _ = complaint["type"].partition("_")
    if complaint["type"] in LIMITS:
        bounds = {name: str(bound).removesuffix(".0") for name, bound in complaint["ctx"].items()}
        return LIMITS[complaint["type"]].format(**bounds)
    if kind == "tuple":
        return f"a list of {_items_at(cls, path)}"
    if kind in ("model", "dict"):
        return f"a mapping of {', '.join(_field_names(_class_at(cls, path)))}"
    return KINDS.get(kind, complaint["msg"].removeprefix("Value error, "))


def _items_at(cls: type[BaseModel], path: list[Any]) -> str:
    """What the list at `path` holds."""
    item = typing.get_args(_class_at(cls, path[:-1]).model_fields[path[-1]].annotation)[0]
    if typing.get_origin(item) is Annotated:
        item = typing.get_args(item)[0]
    return {str: "texts", int: "whole numbers"}.get(item, "values")


def _class_at(cls: type[BaseModel], path: list[Any]) -> type[BaseModel]:
    """The class that validates the value at `path`."""
    for part in path:
        if isinstance(part, int) or part not in cls.model_fields:
            continue
        annotation = cls.model_fields[part].annotation
        candidates = [annotation, *typing.get_args(annotation)]
        if isinstance(annotation, types.UnionType):
            candidates.extend(annotation.__args__)
        classes = [item for item in candidates if isinstance(item, type) and issubclass(item, BaseModel)]
        if classes:
            cls = classes[0]
    return cls


def _field_names(cls: type[BaseModel]) -> list[str]:
    """The keys that a row of the class may have; a model's and a study's name is the key of its row."""
    return [name for name in cls.model_fields if name != "name" or not issubclass(cls, (Model, Study))]


def _at(row: Any, path: list[Any]) -> Any:
    for part in path:
        try:
            row = row[part]
        except (KeyError, IndexError, TypeError):
            return None
    return row
