"""How the tests are laid out: each file stands alone, in the folder of what it tests, and can be read."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from support import ROOT

pytestmark = pytest.mark.once

TESTS = ROOT / "tests"
IMPORTS_A_TEST = re.compile(r"^\s*(?:from|import) +(?:\w+\.)*test_\w+", re.MULTILINE)
LONGEST_FILE = 600
LONGER = {"proxy/test_proxy.py": "its tests share proxies, which cost seconds to start"}
FOLDERS = {
    "hosts": "several of them, joined",
    "pool": "`pool.py` and the modules that stand beside it",
    "project": "the house itself",
    "proxy": "LiteLLM's proxy with the package in it",
}
"""Those that are none of the package's, and what each is for."""


def name_of(path: Path) -> str:
    return path.relative_to(TESTS).as_posix()


def test_no_test_module_imports_another_one() -> None:
    """Nor does a program that is written down in one. What several need is in `tests/helpers`."""
    assert [name_of(path) for path in TESTS.rglob("*.py") if IMPORTS_A_TEST.search(path.read_text("utf-8"))] == []


def test_no_test_file_is_too_long_to_be_read() -> None:
    lengths = {name_of(path): len(path.read_text("utf-8").splitlines()) for path in TESTS.rglob("test_*.py")}
    assert {name for name, lines in lengths.items() if lines > LONGEST_FILE} == LONGER.keys()


def test_the_tests_stand_in_folders_as_the_package_does() -> None:
    rooms = {path.name for path in (ROOT / "litellm_antigravity").iterdir() if path.is_dir()}
    folders = {path.parent.relative_to(TESTS).as_posix() for path in TESTS.rglob("test_*.py")}
    assert folders - rooms == FOLDERS.keys()
