"""Importing the package costs nothing and touches nothing; its public names are there and explained."""

from __future__ import annotations

import ast
import inspect
from pathlib import Path

import pytest
from support import ROOT, run_python

import litellm_antigravity

PACKAGE = ROOT / "litellm_antigravity"
SEAMS = PACKAGE / "litellm"

# Notes every file that is opened, made or listed and every connection, but for what the import system itself reads.
WATCHING = """
    import sys

    touched = []

    def watch(event, args):
        if event in ("open", "sqlite3.connect", "os.mkdir", "socket.connect", "subprocess.Popen"):
            name = str(args[1] if event == "socket.connect" else args[0])
            if not name.endswith((".py", ".pyc", ".so", ".pyd")):
                touched.append(f"{event} {name}")

    sys.addaudithook(watch)
"""


def test_importing_the_package_imports_nothing_slow_and_opens_nothing() -> None:
    found = run_python(
        WATCHING
        + """
    before = set(sys.modules)  # whoever measures coverage has imported some
    import litellm_antigravity
    from support import answer

    slow = {"litellm", "diskcache", "httpx", "pydantic", "pydantic_settings", "aiohttp", "rich", "sqlite3", "json5"}
    new = set(sys.modules) - before
    answer([touched, sorted(slow & new), sorted(name for name in new if name.startswith("litellm_antig"))])
    """
    )
    touched, slow, own = found
    assert touched == []
    assert slow == []
    assert own == ["litellm_antigravity", "litellm_antigravity._version", "litellm_antigravity.unregistered"]


def test_the_watch_notices_what_is_opened(tmp_path: Path) -> None:
    touched = run_python(
        WATCHING
        + """
    import sqlite3
    from pathlib import Path
    from support import answer

    folder = Path(sys.argv[1])
    (folder / "made").mkdir()
    (folder / "antigravity.json").write_text("{}")
    sqlite3.connect(folder / "cache.db").close()
    answer(touched)
    """,
        tmp_path,
    )
    for one in (f"os.mkdir {tmp_path / 'made'}", f"open {tmp_path / 'antigravity.json'}"):
        assert one in touched
    assert f"sqlite3.connect {tmp_path / 'cache.db'}" in touched


def test_all_public_names_and_a_registration_open_no_accounts_and_no_state(tmp_path: Path) -> None:
    home = tmp_path / "home"
    config = home / ".config" / "opencode"
    config.mkdir(parents=True)
    (config / "antigravity-accounts.json").write_text("this is not read")
    touched = run_python(
        WATCHING
        + """
    import litellm_antigravity
    from support import answer

    for name in litellm_antigravity.__all__:
        getattr(litellm_antigravity, name)
    litellm_antigravity.register()
    answer([one for one in touched if sys.argv[1] in one])
    """,
        home,
        env={
            "HOME": str(home),
            "XDG_CONFIG_HOME": str(home / ".config"),
            "XDG_STATE_HOME": str(home / "state"),
            "OPENCODE_CONFIG_DIR": str(config),
        },
    )
    assert touched == []
    assert sorted(path.name for path in home.rglob("*")) == [".config", "antigravity-accounts.json", "opencode"]


@pytest.mark.parametrize("name", litellm_antigravity.__all__)
def test_a_public_name_is_there_and_listed(name: str) -> None:
    assert getattr(litellm_antigravity, name) is not None
    assert name in dir(litellm_antigravity)


@pytest.mark.parametrize("name", sorted({*litellm_antigravity.__all__} - {"__version__"}))
def test_a_public_name_is_documented_and_so_are_its_public_methods(name: str) -> None:
    value = getattr(litellm_antigravity, name)
    kind = value if inspect.isclass(value) or inspect.isfunction(value) else type(value)
    assert vars(kind)["__doc__"] if inspect.isclass(kind) else kind.__doc__
    for method, body in vars(kind).items() if inspect.isclass(kind) else ():
        if inspect.isfunction(body) and not method.startswith("_"):
            assert body.__doc__, f"{name}.{method}"


def test_a_name_that_is_not_there_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="regster"):
        getattr(litellm_antigravity, "regster")  # noqa: B009 - mypy would refuse the plain spelling


def imported_by(path: Path, *, also_within_functions: bool) -> set[str]:
    """Return the top-level packages that a module imports."""
    tree = ast.parse(path.read_text("utf-8"))
    nodes = ast.walk(tree) if also_within_functions else iter(tree.body)
    found = set()
    for node in nodes:
        if isinstance(node, ast.Import):
            found |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            found.add((node.module or "").partition(".")[0])
    return found


def test_only_the_seams_know_litellm() -> None:
    modules = [path for path in PACKAGE.rglob("*.py") if SEAMS not in path.parents]
    assert len(modules) > 40
    at_import = {path.name for path in modules if "litellm" in imported_by(path, also_within_functions=False)}
    ever = {path.name for path in modules if "litellm" in imported_by(path, also_within_functions=True)}
    assert at_import == set()
    assert ever == {"demo_worker.py", "ask_call.py"}  # programs that use LiteLLM as their readers would
    assert "litellm" in imported_by(SEAMS / "seams" / "functions.py", also_within_functions=False)
