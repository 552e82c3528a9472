"""A script's text, YAML or JSON, as a `Script`; what is wrong is said with its line and its field."""

from __future__ import annotations

import itertools
import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeAlias, cast

from pydantic import BaseModel, TypeAdapter, ValidationError

from litellm_antigravity.masking import shown
from litellm_antigravity.settings.names import nearest
from litellm_antigravity.simulator.scripts.document import Action, Script

if TYPE_CHECKING:
    from importlib.resources.abc import Traversable

MAX_BYTES: Final = 1 << 20
"""Of a script's text; the ready ones have some thousands."""

_ACTIONS: Final = TypeAdapter(tuple[Action, ...])
_SHOWN: Final = 80  # characters of a wrong word
_SUFFIXES: Final = (".yaml", ".yml", ".json")
_MAX_FIELDS: Final = 100_000  # YAML's aliases make many of a few characters


class ScriptError(ValueError):
    """A script cannot be read. The message has one line per problem, each with line and field."""


def ready_scripts() -> dict[str, Script]:
    """Return the scripts that come with the package, by name."""
    return {name: script_of(text, name) for name, text in sorted(_ready_texts().items())}


def ready_script(name: str) -> Script:
    """Return a script that comes with the package.

    Raises:
        ScriptError: when there is none of this name.
    """
    texts = _ready_texts()
    if name not in texts:
        meant = nearest(name, texts)
        hint = f"Did you mean {meant}?" if meant else f"There are {', '.join(sorted(texts))}."
        msg = f"There is no ready script {shown(name)!r}. {hint} A file's name ends with {', '.join(_SUFFIXES)}."
        raise ScriptError(msg)
    return script_of(texts[name], name)


def load_script(named: str) -> Script:
    """Return the script that a command line names: a file, or one of those that come with the package.

    Raises:
        ScriptError: when there is none, or when it is wrong.
    """
    path = Path(named)
    if path.suffix.lower() not in _SUFFIXES and not path.is_file():
        return ready_script(named)
    try:
        with path.open("rb") as file:
            raw = file.read(MAX_BYTES + 1)
    except OSError as error:
        msg = f"{named} cannot be read: {error.strerror}."
        raise ScriptError(msg) from error
    return script_of(raw, named)


def script_of(text: str | bytes, source: str) -> Script:
    """Return the script in a text.

    Args:
        text: YAML, or JSON.
        source: what messages call it.

    Raises:
        ScriptError: when it is wrong.
    """
    return cast("Script", _checked(text, source, Script, Script.model_validate))


def actions_of(text: str | bytes, source: str) -> tuple[Action, ...]:
    """Return the actions in a text: one, or a list of them.

    Args:
        text: YAML, or JSON.
        source: what messages call it.

    Raises:
        ScriptError: when it is wrong.
    """

    def check(value: Any) -> tuple[Action, ...]:
        return _ACTIONS.validate_python(value) if isinstance(value, list) else (Action.model_validate(value),)

    return cast("tuple[Action, ...]", _checked(text, source, Action, check))


def _checked(text: str | bytes, source: str, root: type[BaseModel], check: Callable[[Any], object]) -> object:
    if len(text) > MAX_BYTES:
        msg = f"{source} is longer than a script can be ({MAX_BYTES:,} bytes)."
        raise ScriptError(msg)
    try:
        decoded = text if isinstance(text, str) else text.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = text[: error.start].count(b"\n") + 1 if isinstance(text, bytes) else 1
        msg = f"{source}, line {line}: not UTF-8."
        raise ScriptError(msg) from None
    value, lines = _parsed(decoded, source)
    try:
        return check(value)
    except ValidationError as error:
        problems = error.errors(include_url=False)
        places = {one["loc"] for one in problems}
        told = [
            _told(one, source, root, lines)
            for one in problems
            # A list in which every item is wrong is said to have none.
            if one["type"] != "too_short" or not any(place[:-1][: len(one["loc"])] == one["loc"] for place in places)
        ]
        raise ScriptError("\n".join(told)) from None


def _ready_texts() -> dict[str, str]:
    folder: Traversable = files("litellm_antigravity.simulator.scripts") / "ready"
    found = [one for one in folder.iterdir() if one.name.endswith(".yaml")]
    return {one.name.removesuffix(".yaml"): one.read_text("utf-8") for one in found}


# Reading with lines

_Place: TypeAlias = "tuple[str | int, ...]"
_Lines: TypeAlias = "Mapping[_Place, int]"


def _parsed(text: str, source: str) -> tuple[Any, _Lines]:
    """Return the value of a text, and the line of each of its fields.

    JSON is read as such where it is some: YAML reads its numbers and escapes a little differently.
    """
    import yaml

    try:
        value = json.loads(text)
        text = text.replace("\t", " ")  # white space there, and none in YAML
    except (ValueError, RecursionError):
        value = None
    loader = yaml.SafeLoader(text)
    try:
        node = loader.get_single_node()
        found = list(itertools.islice(_lines(node, (), source), _MAX_FIELDS))
        lines = dict(found)
        if len(found) == _MAX_FIELDS:
            msg = f"{source} has more fields than a script can have."
            raise ScriptError(msg)
        return (loader.construct_document(node) if value is None and node is not None else value), lines
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        where = "" if mark is None else f", line {mark.line + 1}, column {mark.column + 1}"
        msg = f"{source}{where}: neither YAML nor JSON: {error.problem or error.context}."
        raise ScriptError(shown(msg)) from None
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        if isinstance(error, ScriptError):
            raise
        msg = f"{source}: neither YAML nor JSON: {type(error).__name__}."
        raise ScriptError(msg) from None
    finally:
        loader.dispose()


def _lines(node: Any, place: _Place, source: str) -> Iterator[tuple[_Place, int]]:
    """Yield the line of each field; refuse two fields of one name, of which one would be lost."""
    if node is None:
        return
    yield place, node.start_mark.line + 1
    if node.id == "sequence":
        for index, inner in enumerate(node.value):
            yield from _lines(inner, (*place, index), source)
    if node.id == "mapping":
        seen: set[str] = set()
        for key, inner in node.value:
            name = str(key.value)
            if name in seen:
                msg = f"{source}, line {key.start_mark.line + 1}: {_spelled((*place, name))} is there twice."
                raise ScriptError(msg)
            seen.add(name)
            yield from _lines(inner, (*place, name), source)
            yield (*place, name), key.start_mark.line + 1  # its value may begin in the next line


def _told(problem: Any, source: str, root: type[BaseModel], lines: _Lines) -> str:
    place = tuple(problem["loc"])
    while place and place not in lines:  # a part of pydantic's own, or a field that is missing
        place = place[:-1]
    at = lines.get(place)
    where = f"{source}, line {at}" if at is not None else source
    field = _spelled(tuple(problem["loc"]) if problem["type"] == "missing" else place)
    return shown(f"{where}: {field + ': ' if field else ''}{_reason(problem, root)}")


def _reason(problem: Any, root: type[BaseModel]) -> str:
    kind = problem["type"]
    if kind == "missing":
        return "is missing."
    if kind == "extra_forbidden":
        owner = _owner(problem["loc"], root)
        meant = nearest(str(problem["loc"][-1]), owner)
        return f"is not known; did you mean {meant}?" if meant else f"is not known; known are {', '.join(owner)}."
    if kind == "value_error":
        said = str(problem["ctx"]["error"])
        return said if said.endswith(".") else f"{said}."
    if kind == "literal_error" and isinstance(problem["input"], str):
        allowed = re.findall(r"'([^']+)'", problem["ctx"]["expected"])
        meant = nearest(problem["input"], allowed)
        hint = f"did you mean {meant}?" if meant else f"it may be {', '.join(allowed)}."
        return f"cannot be {shown(problem['input'], _SHOWN)!r}; {hint}"
    if kind in ("model_type", "dict_type"):
        return "has to be an object."
    if kind == "too_short":
        return "has to have at least one item."
    return f"{_in_plain_words(problem['msg'])}."


def _in_plain_words(said: str) -> str:
    """Return what pydantic says of a value in the words of YAML and JSON."""
    words = {"Input should be a valid": "has to be a", "Input should": "has to", "a tuple": "a list"}
    for pydantics, ours in {**words, "a integer": "an integer", "True": "true"}.items():
        said = said.replace(pydantics, ours)
    return said


def _owner(loc: Iterable[str | int], root: type[BaseModel]) -> list[str]:
    """Return the fields of the model in which a place's last part stands."""
    owner = root
    for part in list(loc)[:-1]:
        known = owner.model_fields.get(part) if isinstance(part, str) else None
        owner = next(iter(_models(known.annotation)), owner) if known is not None else owner
    return list(owner.model_fields)


def _models(kind: Any) -> Iterator[type[BaseModel]]:
    """Yield the models in an annotation."""
    if isinstance(kind, type) and issubclass(kind, BaseModel):
        yield kind
        return
    for inner in getattr(kind, "__args__", ()):
        yield from _models(inner)


def _spelled(place: Iterable[str | int]) -> str:
    text = ""
    for part in place:
        text += f"[{part}]" if isinstance(part, int) else f"{'.' if text else ''}{part}"
    return text


__all__ = ["MAX_BYTES", "ScriptError", "actions_of", "load_script", "ready_script", "ready_scripts", "script_of"]
