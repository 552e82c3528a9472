"""How the package is built: layers, from the ground up, without circles; modules and functions of a size to be read."""

from __future__ import annotations

import ast
import functools
from collections.abc import Iterator
from pathlib import Path

import pytest
from support import ROOT

PACKAGE = "litellm_antigravity"

LAYERS = (
    # What everything may use.
    ("__init__", "_version", "clock", "cooldowns", "deadlines", "errors", "events", "forking", "identity", "logs",
     "masking", "models", "redaction", "threads", "unregistered"),
    ("settings",),
    # Rules without I/O: of one account, of a crowd of requests, of time.
    ("selection.__init__", "selection.binding", "selection.bucket", "selection.fairness", "selection.health",
     "selection.patience", "selection.ramp", "selection.retry_budget", "selection.scoreboard", "selection.turns",
     "selection.vitals"),
    ("refusals",),
    ("accounts",),
    ("wire", "time_budget"),
    ("state",),
    ("credentials",),
    ("login",),
    ("lease",),
    # Who is free, and who is chosen.
    ("selection",),
    ("admission", "aftermath", "binding", "decision_log", "presence", "recording", "standing", "telling", "wording"),
    ("fair_share", "waiting"),
    ("pool",),
    ("reports",),
    ("attempts", "catalog", "dispatch", "request", "retries", "steps"),
    ("observability",),
    ("litellm",),
    ("simulator",),
    ("cli",),
)  # fmt: skip
"""From the ground up. A module belongs to the longest name that it begins with, and imports nothing from above."""

LONGEST_MODULE = 400
MOST_PARAMETERS = 7
LISTS_OF_FIELDS = {
    "Account.create": "the fields of an account",
    "Simulator.__init__": "everything that a test may want of upstream",
    "Upstream.__init__": "the same, passed on",
    "serve_forever": "the same, from the command line",
    "add": "the options of a command",
    "ask": "what a request of HTTP is made of",
    "simulate": "the options of a command",
    "from_gemini": "what a reply of LiteLLM's is made of",
}
"""Functions whose parameters are a list that somebody reads by name, and why."""


def modules() -> dict[str, Path]:
    """Return the package's modules by their names within it."""
    folder = ROOT / PACKAGE
    return {".".join(path.relative_to(folder).with_suffix("").parts): path for path in folder.rglob("*.py")}


MODULES = modules()


def layer_of(module: str) -> int:
    """Return the layer of a module; -1 when it has none."""
    found = [
        (len(name), number)
        for number, names in enumerate(LAYERS)
        for name in names
        if module == name or module.startswith(f"{name}.")
    ]
    return max(found, default=(0, -1))[1]


def imported(path: Path) -> Iterator[str]:
    """Yield the package's own modules that a module imports, within functions as well; not those for types alone."""
    waiting: list[ast.AST] = [ast.parse(path.read_text("utf-8"))]
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            waiting.extend(node.orelse)
            continue
        waiting.extend(ast.iter_child_nodes(node))
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        else:
            continue
        for name in names:
            parts = name.split(".")
            if parts[0] == PACKAGE:
                yield module_of(parts[1:])


def module_of(parts: list[str]) -> str:
    """Return the module that is meant by a dotted name, which may end with something inside it."""
    for end in range(len(parts), -1, -1):
        for name in (".".join(parts[:end]), ".".join([*parts[:end], "__init__"])):
            if name in MODULES:
                return name
    raise AssertionError(parts)


@functools.cache
def imports() -> dict[str, set[str]]:
    """Return what each module imports of the others."""
    return {name: {one for one in imported(path) if one != name} for name, path in MODULES.items()}


def test_the_modules_are_found_and_so_are_their_imports() -> None:
    assert len(MODULES) > 150
    assert {"pool", "errors", "lease", "models"} <= imports()["dispatch"] | imports()["pool"]
    assert "state.backends" in imports()["pool"]  # within a function


def test_every_module_has_a_layer() -> None:
    assert [name for name in MODULES if layer_of(name) < 0] == []


def test_nothing_imports_what_is_above_it() -> None:
    upwards = [
        f"{name} imports {other}"
        for name, others in imports().items()
        for other in others
        if layer_of(other) > layer_of(name)
    ]
    assert sorted(upwards) == []


def test_no_module_imports_itself_round_a_corner() -> None:
    left = {name: set(others) for name, others in imports().items()}
    while True:
        done = {name for name, others in left.items() if not others}
        if not done:
            break
        left = {name: others - done for name, others in left.items() if name not in done}
    assert left == {}, "each of these imports, in the end, one of the others"


@pytest.mark.parametrize("name", ["cli", "litellm", "simulator"])
def test_the_core_knows_nothing_of_those_who_use_it(name: str) -> None:
    own = {one for one in MODULES if layer_of(one) == layer_of(name)}
    users = {one.partition(".")[0] for one, others in imports().items() if others & own}
    assert users <= {name, "cli"}


def test_no_module_is_too_long_to_be_read() -> None:
    lengths = {name: len(path.read_text("utf-8").splitlines()) for name, path in MODULES.items()}
    assert {name: lines for name, lines in lengths.items() if lines > LONGEST_MODULE} == {}


def functions() -> Iterator[tuple[str, list[str]]]:
    """Yield the name and the parameters of each function, methods with their class."""
    for path in MODULES.values():
        waiting: list[tuple[str, ast.AST]] = [("", ast.parse(path.read_text("utf-8")))]
        while waiting:
            prefix, node = waiting.pop()
            name = prefix
            if isinstance(node, ast.ClassDef):
                name = f"{node.name}."
            elif isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
                arguments = node.args
                every = (*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs)
                yield f"{prefix}{node.name}", [one.arg for one in every if one.arg not in ("self", "cls")]
                name = ""
            waiting.extend((name, child) for child in ast.iter_child_nodes(node))


def test_no_function_takes_more_than_one_can_keep_in_mind() -> None:
    many = {name for name, parameters in functions() if len(parameters) > MOST_PARAMETERS}
    assert many - LISTS_OF_FIELDS.keys() == set()
    assert LISTS_OF_FIELDS.keys() - many == set(), "these have become shorter: take them off the list"
