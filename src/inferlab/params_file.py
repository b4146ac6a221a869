"""Reading params.yaml and files of its kind: YAML as DVC reads it, as plain values, bounded in size and depth."""

import math
import re
from collections.abc import Collection, Hashable, Iterator
from pathlib import Path
from typing import Any

import yaml

from inferlab.errors import ParamsError, UserError, near_match

MAX_PARAMS_BYTES = 1_000_000
MAX_VALUES, MAX_DEPTH = 100_000, 16
"""Anchors let a small file stand for any number of values, or for itself."""
NOT_DECIMAL = re.compile(r"[-+]?0[0-9_bx].*|.*:.*")
"""Numbers of base 2, 8, 16 and 60. DVC reads the same file as YAML 1.2, which takes 010 for ten and 1:30 for text."""


def read_sections(path: Path, names: Collection[str]) -> dict[str, Any]:
    """The file's sections, which are exactly `names`.

    Raises UserError where the file cannot be read as such, and ParamsError naming the section or value that is wrong.
    """
    try:
        if path.stat().st_size > MAX_PARAMS_BYTES:
            raise UserError(f"{path} is larger than {MAX_PARAMS_BYTES} bytes")
        with path.open(encoding="utf-8") as stream:
            content = yaml.load(stream, _Loader)  # noqa: S506 (a SafeLoader)
    except FileNotFoundError:
        raise UserError(f"{path} is missing; run from the repository's root") from None
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror}") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise UserError(f"{path} is not YAML: {error}") from None
    except RecursionError:
        raise UserError(f"{path} is nested deeper than {MAX_DEPTH} levels") from None
    for count, (key, value) in enumerate(_values(content, "", 0, path.name)):
        if count > MAX_VALUES:
            raise UserError(f"{path} holds more than {MAX_VALUES} values")
        _require_plain(key, value, path.name)
    if not isinstance(content, dict):
        raise UserError(f"{path} holds no sections; expected: {', '.join(names)}")
    for name in content:
        if name not in names:
            raise ParamsError(str(name), "unknown section", ", ".join(names), near_match(str(name), names), path.name)
    for name in names:
        if name not in content:
            raise ParamsError(name, None, "this section is required", file=path.name)
    return content


class _Loader(yaml.SafeLoader):
    """YAML in which a key that stands twice is an error, and a number is what DVC takes it for."""

    def construct_object(self, node: yaml.Node, deep: bool = False) -> Any:
        number = node.tag.endswith((":int", ":float"))
        if number and isinstance(node, yaml.ScalarNode) and NOT_DECIMAL.fullmatch(node.value):
            raise _unread(node, "is not a decimal number")
        try:
            return super().construct_object(node, deep)
        except (AttributeError, LookupError, ValueError):
            # What PyYAML's constructors raise on a scalar that looks like a value of its tag and is none.
            raise _unread(node, f"is no {node.tag.rpartition(':')[2]}") from None

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        lines: dict[Hashable, int] = {}
        for key_node, _ in node.value:
            key, line = self.construct_object(key_node, deep=True), key_node.start_mark.line + 1
            if not isinstance(key, Hashable):
                continue  # PyYAML names it
            if key in lines:
                raise UserError(
                    f"{Path(self.name).name}: {key} stands in line {lines[key]} and again in line {line}; "
                    "allowed: each key once"
                )
            lines[key] = line
        return super().construct_mapping(node, deep)


def _unread(node: yaml.Node, problem: str) -> yaml.YAMLError:
    return yaml.constructor.ConstructorError(None, None, f"{node.value!r} {problem}", node.start_mark)


def _values(value: Any, key: str, depth: int, file: str) -> Iterator[tuple[str, Any]]:
    """Every value with its key, lists and mappings before what they hold."""
    if depth > MAX_DEPTH:
        raise UserError(f"{file}: {key} is nested deeper than {MAX_DEPTH} levels")
    yield key, value
    if isinstance(value, dict):
        for name, inner in value.items():
            if not isinstance(name, str):
                raise ParamsError(key or "a section", name, "keys that are text; put quotes around it", file=file)
            yield from _values(inner, f"{key}.{name}" if key else name, depth + 1, file)
    elif isinstance(value, list):
        for index, inner in enumerate(value):
            yield from _values(inner, f"{key}[{index}]", depth + 1, file)


def _require_plain(key: str, value: Any, file: str) -> None:
    """Refuse what JSON has no word for, and numbers that nothing can be made of."""
    if isinstance(value, float) and not math.isfinite(value):
        raise ParamsError(key, value, "a finite number", file=file)
    if isinstance(value, int) and abs(value) >= 2**63:
        raise ParamsError(key, value, "a whole number of at most 64 bits", file=file)
    if not isinstance(value, str | int | float | list | dict | None):
        allowed = "text, a number, true, false, null, a list or a mapping; quote a text"
        raise ParamsError(key, value, allowed, file=file)
